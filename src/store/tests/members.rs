//! Members: coming, changing, going.

use super::*;
use crate::domain::secret::Scope;
use crate::store::tables::members;

#[tokio::test]
async fn a_removed_member_leaves_nothing_that_works() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let (bob_id, _) = bob.member().unwrap();
    for i in 0..70 {
        world.private(&bob, &format!("secret-{i}"), "1").await;
    }
    let kept = world.deposit(&bob, new_secret("shared", ScopeKind::Shared, "1")).await;
    let token = world.store.create_token(&bob, NewToken::default(), None).await.unwrap();
    let ticket = world.store.create_ticket(&bob, NewTicket::default(), None).await.unwrap();
    let early = world.store.authenticate(&ticket.credential, None).await.unwrap();
    let secrets = SecretFilter { scope: Some(ScopeKind::Private), ..SecretFilter::default() };
    let one =
        world.store.list_secrets(&bob, &secrets, PageAsk::default()).await.unwrap().items.remove(0).meta.id;

    world.store.remove_member(&world.admin, &member("bob")).await.unwrap();
    // At once, whatever the records do.
    assert_eq!(world.store.authenticate(&token.credential, None).await.unwrap_err().code(), Code::Revoked);
    assert_eq!(world.store.authenticate(&ticket.credential, None).await.unwrap_err().code(), Code::Revoked);
    assert_eq!(world.store.boot(&early, BootAsk::default()).await.unwrap_err().code(), Code::Revoked);
    let late = new_secret("late", ScopeKind::Private, "1");
    assert_eq!(world.store.create_secret(&bob, late, None).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(world.store.secret(&world.admin, one).await.unwrap_err().code(), Code::NotFound);
    let listed = world.store.list_secrets(&world.admin, &secrets, PageAsk::default()).await.unwrap();
    assert!(listed.items.is_empty());
    assert!(world.store.list_members(&world.admin, PageAsk::default()).await.unwrap().items.len() == 1);
    assert!(world.store.list_tickets(&world.admin, None, PageAsk::default()).await.unwrap().items.is_empty());
    assert_eq!(world.store.member(&world.admin, &member("bob")).await.unwrap_err().code(), Code::NotFound);

    // What they wrote for all stays, and still has an author.
    let shared = world.store.secret(&world.admin, kept).await.unwrap();
    assert_eq!(shared.author, Some(member("bob")));

    // The records follow.
    let prefix = world.store.records().secrets(world.admin.org().unwrap().0, Scope::Private(bob_id));
    eventually(|| async { world.store.records().scan(&prefix, None, 1).await.unwrap().found.is_empty() })
        .await;
    eventually(|| async {
        let removals = members::removals();
        world.store.records().scan(&removals, None, 1).await.unwrap().found.is_empty()
    })
    .await;
    assert_eq!(world.store.authenticate(&ticket.credential, None).await.unwrap_err().code(), Code::Revoked);

    // The name is free, and another's.
    let bob = world.member("bob", Role::Member).await;
    assert_ne!(bob.member().unwrap().0, bob_id);
    assert_eq!(world.boot(&bob).await, pairs(&[("SHARED", "1")]));
}

#[tokio::test]
async fn the_last_admin_stays() {
    let world = World::new().await;
    let admin = member("admin");
    for role in [Role::Member, Role::Auditor] {
        let error = world.store.set_role(&world.admin, &admin, role).await.unwrap_err();
        assert_eq!(error.code(), Code::LastAdmin);
    }
    assert_eq!(world.store.remove_member(&world.admin, &admin).await.unwrap_err().code(), Code::LastAdmin);
    world.member("bob", Role::Member).await;
    world.store.set_role(&world.admin, &member("bob"), Role::Admin).await.unwrap();
    world.store.remove_member(&world.admin, &admin).await.unwrap();
    assert_eq!(
        world.store.set_role(&world.admin, &member("bob"), Role::Member).await.unwrap_err().code(),
        Code::LastAdmin
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_admins_who_remove_each_other_leave_one() {
    for _ in 0..10 {
        let world = World::new().await;
        let bob = world.member("bob", Role::Admin).await;
        let (store, admin) = (world.store.clone(), world.admin.clone());
        let one = tokio::spawn(async move { store.remove_member(&admin, &member("bob")).await });
        let (store, name) = (world.store.clone(), member("admin"));
        let other = tokio::spawn(async move { store.remove_member(&bob, &name).await });
        let done = [one.await.unwrap().is_ok(), other.await.unwrap().is_ok()];
        assert_eq!(done.iter().filter(|done| **done).count(), 1);
    }
}

#[tokio::test]
async fn names_are_unique_in_an_organization() {
    let world = World::new().await;
    world.member("bob", Role::Member).await;
    let again = NewMember::person(member("bob"), Role::Auditor);
    let error = world.store.create_member(&world.admin, again, None).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::NameTaken, "there is already a member of that name")
    );
}
