//! Accounts that people link to themselves: only they do, and what an account opened ends with it.

use super::sign_in::{account, refusal};
use super::*;
use crate::domain::credential::CredentialKind;

fn staff(subject: &str) -> crate::domain::provider::ProvenAccount {
    account(subject, &[("default", Role::Member)])
}

#[tokio::test]
async fn an_account_is_linked_once_to_one_member_of_an_organization() {
    let world = World::new().await;
    let (ada, bob) = (world.member("ada", Role::Member).await, world.member("bob", Role::Member).await);
    let linked = world.link(&ada, account("s-ada", &[])).await;
    assert_eq!((linked.subject.as_str(), linked.shown.as_deref()), ("s-ada", Some("Ada")));
    // Again: the same one.
    assert_eq!(world.link(&ada, account("s-ada", &[])).await.id, linked.id);
    let taken = world.store.link_account(&bob, world.proof(account("s-ada", &[]))).await.unwrap_err();
    assert_eq!(taken.code(), Code::Conflict);
    assert!(world.store.linked_accounts(&bob).await.unwrap().is_empty());
    // In another organization the same person is another member.
    let shop = world.another_admin("shop").await;
    world.link(&shop, account("s-ada", &[])).await;
    // Unlinked, it can be linked to another one.
    world.store.unlink_account(&ada, linked.id).await.unwrap();
    world.link(&bob, account("s-ada", &[])).await;
    assert_eq!(world.store.linked_accounts(&ada).await.unwrap().len(), 0);
    let [of_bob] = &world.store.linked_accounts(&bob).await.unwrap()[..] else { panic!() };
    assert!(of_bob.used_at.is_none());
    world.store.sign_in_to_console(&in_default(&world, "s-ada")).await.unwrap();
    let [of_bob] = &world.store.linked_accounts(&bob).await.unwrap()[..] else { panic!() };
    assert_eq!(of_bob.used_at, Some(world.clock.now()));
}

fn in_default(world: &World, subject: &str) -> SignInRequest {
    SignInRequest { org: Some(org("default")), ..world.request(staff(subject)) }
}

#[tokio::test]
async fn nobody_unlinks_or_sees_the_account_of_another() {
    let world = World::new().await;
    let ada = world.member("ada", Role::Member).await;
    let linked = world.link(&ada, account("s-ada", &[])).await;
    let other = world.another_admin("shop").await;
    for stranger in [&world.admin, &other] {
        let denied = world.store.unlink_account(stranger, linked.id).await.unwrap_err();
        assert_eq!(denied.code(), Code::NotFound);
        assert!(world.store.linked_accounts(stranger).await.unwrap().is_empty());
    }
    for denied in [
        world.store.link_account(&world.operator, world.proof(account("s-x", &[]))).await.err(),
        world.store.unlink_account(&world.operator, linked.id).await.err(),
        world.store.linked_accounts(&world.operator).await.err(),
    ] {
        assert_eq!(denied.unwrap().code(), Code::Forbidden);
    }
    assert_eq!(world.sign_in(staff("s-ada")).await.unwrap().member, member("ada"));
}

#[tokio::test]
async fn an_account_that_was_unlinked_opens_nothing_until_it_is_linked_again() {
    let world = World::new().await;
    world.create_at_sign_in(&world.admin, true).await;
    let ada = world.member("ada", Role::Member).await;
    let linked = world.link(&ada, account("s-ada", &[])).await;
    let signed_in = world.sign_in(staff("s-ada")).await.unwrap();
    assert!(world.store.session(&signed_in.opened, None).await.is_ok());
    world.store.unlink_account(&ada, linked.id).await.unwrap();
    // The session that it started is over; no new member takes its place.
    assert!(matches!(world.store.session(&signed_in.opened, None).await, Err(AuthError::Revoked)));
    let SignInError::Refused(why) = world.sign_in(staff("s-ada")).await.unwrap_err() else { panic!() };
    assert_eq!(why, SignInRefusal::Unlinked);
    world.link(&ada, account("s-ada", &[])).await;
    assert!(world.store.session(&signed_in.opened, None).await.is_err(), "another link is another account");
    assert!(world.sign_in(staff("s-ada")).await.is_ok());
}

#[tokio::test]
async fn a_session_of_an_account_ends_as_others_do() {
    let world = World::new().await;
    let ada = world.member("ada", Role::Member).await;
    world.link(&ada, account("s-ada", &[])).await;
    let key = world.sign_in(staff("s-ada")).await.unwrap().opened;
    world.clock.advance(SESSION_IDLE);
    assert!(matches!(world.store.session(&key, None).await, Err(AuthError::Expired)));
    let key = world.sign_in(staff("s-ada")).await.unwrap().opened;
    for _ in 0..SESSION_LONGEST.as_secs() / 1200 {
        world.store.session(&key, None).await.unwrap();
        world.clock.advance(Duration::from_secs(1200));
    }
    assert!(matches!(world.store.session(&key, None).await, Err(AuthError::Expired)));
    let (key, other) = (
        world.sign_in(staff("s-ada")).await.unwrap().opened,
        world.sign_in(staff("s-ada")).await.unwrap().opened,
    );
    let caller = world.store.session(&key, None).await.unwrap();
    // Those that are over already count too.
    assert!(world.store.log_out_everywhere(&caller).await.unwrap() >= 2);
    assert!(world.store.session(&other, None).await.is_err());
    let key = world.sign_in(staff("s-ada")).await.unwrap().opened;
    world.store.remove_member(&world.admin, &member("ada")).await.unwrap();
    assert!(world.store.session(&key, None).await.is_err());
}

#[tokio::test]
async fn what_is_no_person_links_nothing_and_signs_in_nowhere() {
    let world = World::new().await;
    let manager = world.member("mia", Role::Member).await;
    let new = NewMember::service(member("svc"), vec![member("mia")]);
    world.store.create_member(&world.admin, new, None).await.unwrap();
    // What a caller manages is read with its credential.
    let again = world.store.create_token(&manager, NewToken::default(), None).await.unwrap();
    let manager = world.store.authenticate(&again.credential, None).await.unwrap();
    let new = NewToken { member: Some(member("svc")), ..NewToken::default() };
    let token = world.store.create_token(&manager, new, None).await.unwrap();
    assert_eq!(token.credential.kind, CredentialKind::Member);
    let service = world.store.authenticate(&token.credential, None).await.unwrap();
    let denied = world.store.link_account(&service, world.proof(account("s-svc", &[]))).await.unwrap_err();
    assert_eq!(denied.code(), Code::Forbidden);

    // A person who becomes a service loses the accounts, and the sessions that they started.
    let ada = world.member("ada", Role::Member).await;
    world.link(&ada, account("s-ada", &[])).await;
    let key = world.sign_in(staff("s-ada")).await.unwrap().opened;
    world.store.convert_to_service(&ada, &member("ada"), &[member("mia")]).await.unwrap();
    assert!(world.store.session(&key, None).await.is_err());
    let why = refusal(world.sign_in(staff("s-ada")).await);
    assert!(matches!(why, SignInRefusal::NotPerson | SignInRefusal::Unlinked), "{why:?}");
}

#[tokio::test]
async fn a_member_has_at_most_ten() {
    let world = World::new().await;
    let ada = world.member("ada", Role::Member).await;
    for n in 0..10 {
        world.link(&ada, account(&format!("s-{n}"), &[])).await;
    }
    let over = world.store.link_account(&ada, world.proof(account("s-10", &[]))).await.unwrap_err();
    assert_eq!(over.code(), Code::Conflict);
    assert_eq!(world.store.linked_accounts(&ada).await.unwrap().len(), 10);
}

#[tokio::test]
async fn linking_is_on_record_with_the_subject() {
    let world = World::new().await;
    let ada = world.member("ada", Role::Member).await;
    let linked = world.link(&ada, account("s-ada", &[])).await;
    world.store.unlink_account(&ada, linked.id).await.unwrap();
    let entries = world.entries(&world.admin, "account").await;
    let actions: Vec<_> = entries.iter().map(|event| event.action.to_string()).collect();
    assert_eq!(actions, ["account.unlink", "account.link"]);
    for event in &entries {
        let subject = event.details.get(&crate::domain::audit::DetailKey::Subject).unwrap();
        assert_eq!(subject.as_str(), "s-ada");
        assert_eq!(event.actor.name.as_ref().unwrap().as_str(), "ada");
    }
}

/// A sealed text opens in every process of the store, for its purpose alone.
#[tokio::test]
async fn what_is_sealed_for_a_client_is_this_stores_alone() {
    let world = World::new().await;
    let sealed = world.store.seal_text(SealedTextKind::PendingSignIn, b"canary").unwrap();
    assert!(!sealed.contains("canary"));
    let opened = world.another().await.open_text(SealedTextKind::PendingSignIn, &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"canary");
    assert!(world.store.open_text(SealedTextKind::SignInProof, &sealed).is_none());
    for at in [0, 10, sealed.len() - 1] {
        let mut changed = sealed.to_string();
        let letter = if &changed[at..=at] == "A" { "B" } else { "A" };
        changed.replace_range(at..=at, letter);
        assert!(world.store.open_text(SealedTextKind::PendingSignIn, &changed).is_none(), "{at}");
    }
    assert!(world.store.open_text(SealedTextKind::PendingSignIn, "").is_none());
    assert!(world.store.seal_text(SealedTextKind::PendingSignIn, &[0; 5000]).is_none());
}
