//! Who may what, and that nothing crosses between organizations.

use super::*;
use crate::domain::role::{BOOT_VARIABLES, RetentionDays};

/// A server runs requests as tasks, so every operation must be one that may move between threads.
#[expect(dead_code, reason = "it is enough that it compiles")]
fn every_operation_is_a_task(
    store: &'static Store,
    caller: &'static Caller,
    credential: &'static Credential,
    filters: &'static (
        SecretFilter,
        BootFilter,
        AuditFilter,
        HoldersAsk,
        std::collections::BTreeMap<String, u64>,
    ),
    name: &'static MemberName,
    make: fn() -> (NewSecret, Replacement, NewKeyslot, UnlockSecret),
) {
    fn task<T>(_: impl Future<Output = T> + Send) {}

    let (new, replacement, slot, secret) = make();
    let id = SecretId::from_bytes([0; 16]);
    let (ticket, token) =
        (crate::domain::id::TicketId::from_bytes([0; 16]), crate::domain::id::TokenId::from_bytes([0; 16]));
    let boot = crate::domain::id::BootId::from_bytes([0; 16]);
    let report = Report { digest: String::new(), variables: 0 };
    task(store.authenticate(credential, None));
    task(store.create_secret(caller, new, None));
    task(store.replace_secret(caller, id, None, replacement));
    task(store.change_secret(caller, id, None, AttributesPatch::default()));
    task(store.secret(caller, id));
    task(store.find_secret(caller, "", ScopeKind::Shared, None));
    task(store.list_secrets(caller, &filters.0, PageAsk::default()));
    task(store.delete_secret(caller, id, None));
    task(store.reencrypt_secret(caller, id));
    task(store.reencrypt_all(caller));
    task(store.reencrypt_progress(caller));
    task(store.create_org(caller, NewOrg { name: org("a"), admin: name.clone() }, None));
    task(store.list_orgs(caller, PageAsk::default()));
    task(store.own_org(caller));
    task(store.set_policy(caller, PolicyChange::default()));
    task(store.create_member(caller, NewMember::person(name.clone(), Role::Admin), None));
    task(store.list_members(caller, PageAsk::default()));
    task(store.member(caller, name));
    task(store.set_role(caller, name, Role::Admin));
    task(store.remove_member(caller, name));
    task(store.create_token(caller, NewToken::default(), None));
    task(store.list_tokens(caller, None, PageAsk::default()));
    task(store.revoke_token(caller, token));
    task(store.create_ticket(caller, NewTicket::default(), None));
    task(store.list_tickets(caller, None, PageAsk::default()));
    task(store.ticket(caller, ticket));
    task(store.revoke_ticket(caller, ticket));
    task(store.boot(caller, BootAsk::default()));
    task(store.explain(caller, BootAsk::default()));
    task(store.report(caller, boot, report));
    task(store.boot_record(caller, boot));
    task(store.list_boots(caller, &filters.1, PageAsk::default()));
    task(store.holders(caller, &filters.3, PageAsk::default()));
    task(store.audit(caller, &filters.2, PageAsk::default()));
    task(store.verify_audit(caller, true));
    task(store.checkpoint_audit(caller, &filters.4));
    task(store.unlock(caller, secret));
    task(store.lock(caller));
    task(store.keyslots(caller));
    task(store.add_keyslot(caller, slot));
    task(store.remove_keyslot(caller, crate::domain::id::SlotId::from_bytes([0; 16])));
    task(store.deposit_info(caller, None));
    task(store.status(caller));
    task(store.healthy());
    task(store.close());
    task(async {
        let mut backup = store.backup(caller).await.unwrap();
        backup.next().await
    });
}

#[tokio::test]
async fn nothing_crosses_between_organizations() {
    let world = World::new().await;
    let new = NewOrg { name: org("other"), admin: member("admin") };
    let made = world.store.create_org(&world.operator, new.clone(), None).await.unwrap();
    let error = world.store.create_org(&world.operator, new, None).await.unwrap_err();
    assert_eq!(error.code(), Code::NameTaken);
    let issued = world.redeem(&made.enrolment.credential).await;
    let other = world.store.authenticate(&issued.credential, None).await.unwrap();
    assert_eq!(other.org().unwrap().1.as_str(), "other");

    let id = world.shared("one", "1").await;
    let ticket = world.store.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap();
    let token = world.store.create_token(&world.admin, NewToken::default(), None).await.unwrap();
    let caller = world.store.authenticate(&ticket.credential, None).await.unwrap();
    let boot = world.store.boot(&caller, BootAsk::default()).await.unwrap().boot;
    let store = &world.store;
    let by_id = HoldersAsk { secret: id.to_string(), outdated: false };
    let not_found = [
        store.secret(&other, id).await.err(),
        store.replace_secret(&other, id, None, replacement("2")).await.err(),
        store.change_secret(&other, id, None, AttributesPatch::default()).await.err(),
        store.delete_secret(&other, id, None).await.err(),
        store.reencrypt_secret(&other, id).await.err(),
        store.find_secret(&other, "one", ScopeKind::Shared, None).await.err(),
        store.holders(&other, &by_id, PageAsk::default()).await.err(),
        store.ticket(&other, ticket.ticket.id).await.err(),
        store.revoke_ticket(&other, ticket.ticket.id).await.err(),
        store.revoke_token(&other, token.token.id).await.err(),
        store.boot_record(&other, boot).await.err(),
    ];
    for error in not_found {
        assert_eq!(error.unwrap().code(), Code::NotFound);
    }
    assert!(
        store
            .list_secrets(&other, &SecretFilter::default(), PageAsk::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        store.list_boots(&other, &BootFilter::default(), PageAsk::default()).await.unwrap().items.is_empty()
    );
    assert!(store.list_tickets(&other, None, PageAsk::default()).await.unwrap().items.is_empty());
    assert_eq!(store.list_members(&other, PageAsk::default()).await.unwrap().items.len(), 1);
    assert_eq!(world.boot(&other).await, []);
    let theirs = store.audit(&other, &AuditFilter::default(), PageAsk::default()).await.unwrap().items;
    assert!(theirs.iter().all(|item| item.event.org == Some(made.org.id)));
    // The same id in both is two secrets.
    let names: Vec<_> = store.list_orgs(&world.operator, PageAsk::default()).await.unwrap().items;
    assert_eq!(names.len(), 2);
    assert_eq!(store.list_orgs(&world.admin, PageAsk::default()).await.unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn the_operator_has_no_say_inside_and_members_none_outside() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let (store, operator) = (&world.store, &world.operator);
    let inside = [
        store.create_secret(operator, new_secret("x", ScopeKind::Shared, "1"), None).await.err(),
        store.secret(operator, id).await.err(),
        store.delete_secret(operator, id, None).await.err(),
        store.list_secrets(operator, &SecretFilter::default(), PageAsk::default()).await.err(),
        store.create_member(operator, NewMember::person(member("x"), Role::Admin), None).await.err(),
        store.create_ticket(operator, NewTicket::default(), None).await.err(),
        store.list_boots(operator, &BootFilter::default(), PageAsk::default()).await.err(),
        store.set_policy(operator, PolicyChange::default()).await.err(),
        store.deposit_info(operator, None).await.err(),
        store
            .create_token(operator, NewToken { member: Some(member("admin")), ..NewToken::default() }, None)
            .await
            .err(),
    ];
    for error in inside {
        assert_eq!(error.unwrap().code(), Code::Forbidden);
    }
    for caller in [&world.admin, &world.member("bob", Role::Member).await, &world.ticket(&world.admin).await]
    {
        let outside = [
            store.lock(caller).await.err(),
            store.keyslots(caller).await.err(),
            store.reencrypt_all(caller).await.err(),
            store.create_org(caller, NewOrg { name: org("x"), admin: member("x") }, None).await.err(),
        ];
        for error in outside {
            assert_eq!(error.unwrap().code(), Code::Forbidden);
        }
    }
    assert!(!store.is_locked());
}

#[tokio::test]
async fn a_policy_may_keep_shared_secrets_to_admins() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let id = world.deposit(&bob, new_secret("bobs", ScopeKind::Shared, "1")).await;
    let change = PolicyChange { shared_by_members: Some(false), ..PolicyChange::default() };
    let org = world.store.set_policy(&world.admin, change).await.unwrap();
    assert!(!org.policy.shared_by_members);
    let issued = world.store.create_token(&bob, NewToken::default(), None).await.unwrap();
    let bob = world.store.authenticate(&issued.credential, None).await.unwrap();
    let error =
        world.store.create_secret(&bob, new_secret("more", ScopeKind::Shared, "1"), None).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    assert_eq!(world.store.delete_secret(&bob, id, None).await.unwrap_err().code(), Code::Forbidden);
    world.private(&bob, "own", "1").await;
    let low = PolicyChange { variable_ceiling: Some(0), ..PolicyChange::default() };
    assert_eq!(world.store.set_policy(&world.admin, low).await.unwrap_err().code(), Code::InvalidRequest);
}

/// The shared scope and any one private scope together reach one boot.
#[tokio::test]
async fn budgets_that_do_not_fit_together_into_a_boot_are_refused() {
    let world = World::new().await;
    let set = async |budgets| {
        let change = PolicyChange { budgets, ..PolicyChange::default() };
        world.store.set_policy(&world.admin, change).await
    };
    let shared_variables = Some(BOOT_VARIABLES);
    let too_much = BudgetsChange { shared_variables, ..BudgetsChange::default() };
    let error = set(too_much).await.unwrap_err();
    assert_eq!(error.code(), Code::Unprocessable);
    assert!(error.to_string().contains(&BOOT_VARIABLES.to_string()), "{error}");
    let moved = BudgetsChange { private_variables: Some(0), ..too_much };
    let budgets = set(moved).await.unwrap().policy.budgets;
    assert_eq!((budgets.shared_variables, budgets.private_variables), (BOOT_VARIABLES, 0));
    // Each change is checked with what is stored.
    let back = BudgetsChange { private_variables: Some(1), ..BudgetsChange::default() };
    assert_eq!(set(back).await.unwrap_err().code(), Code::Unprocessable);
    for member_share in [0, 101] {
        let change = PolicyChange { member_share: Some(member_share), ..PolicyChange::default() };
        let error = world.store.set_policy(&world.admin, change).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidRequest);
    }
}

#[tokio::test]
async fn retention_is_off_until_an_admin_sets_it() {
    let world = World::new().await;
    assert_eq!(
        world.store.own_org(&world.admin).await.unwrap().policy.retention,
        RetentionDays { boots: None, audit: None }
    );
    let set = async |boots, audit| {
        let retention = RetentionChange { boots, audit };
        let change = PolicyChange { retention, ..PolicyChange::default() };
        world.store.set_policy(&world.admin, change).await.map(|org| org.policy.retention)
    };
    let kept = |boots, audit| RetentionDays { boots, audit };
    assert_eq!(set(Some(90), None).await.unwrap(), kept(Some(90), None));
    assert_eq!(set(None, Some(400)).await.unwrap(), kept(Some(90), Some(400)));
    assert_eq!(set(Some(0), None).await.unwrap(), kept(None, Some(400)));
    assert_eq!(set(Some(36_501), None).await.unwrap_err().code(), Code::InvalidRequest);
}

#[tokio::test]
async fn an_admin_sees_private_secrets_of_others_and_neither_writes_nor_deletes_them() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let id = world.private(&bob, "bobs", "1").await;
    assert_eq!(world.store.secret(&world.admin, id).await.unwrap().owner, Some(member("bob")));
    let error = world.store.replace_secret(&world.admin, id, None, replacement("2")).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    let for_bob = NewSecret { owner: Some(member("bob")), ..new_secret("planted", ScopeKind::Private, "1") };
    assert_eq!(
        world.store.create_secret(&world.admin, for_bob, None).await.unwrap_err().code(),
        Code::Forbidden
    );
    let deleted = world.store.delete_secret(&world.admin, id, None).await;
    assert_eq!(deleted.unwrap_err().code(), Code::Forbidden);
    // The value stays the same, so that this is maintenance.
    world.store.reencrypt_secret(&world.admin, id).await.unwrap();
}

#[tokio::test]
async fn tokens_expire_are_revoked_and_the_operators_last_one_stays() {
    let world = World::new().await;
    let new = NewToken { ttl: Some(Duration::from_secs(10)), ..NewToken::default() };
    let issued = world.store.create_token(&world.admin, new, None).await.unwrap();
    world.store.authenticate(&issued.credential, None).await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.store.authenticate(&issued.credential, None).await.unwrap_err().code(), Code::Expired);

    let second = world.store.create_token(&world.operator, NewToken::default(), None).await.unwrap();
    let operator = world.store.authenticate(&second.credential, None).await.unwrap();
    let tokens = world.store.list_tokens(&operator, None, PageAsk::default()).await.unwrap().items;
    assert_eq!(tokens.len(), 2);
    let first = tokens.iter().find(|token| token.id != second.token.id).unwrap().id;
    world.store.revoke_token(&operator, first).await.unwrap();
    assert_eq!(
        world.store.revoke_token(&operator, second.token.id).await.unwrap_err().code(),
        Code::Conflict
    );
    assert_eq!(world.store.list_tokens(&operator, None, PageAsk::default()).await.unwrap().items.len(), 1);

    let bob = world.member("bob", Role::Member).await;
    let for_admin = NewToken { member: Some(member("admin")), ..NewToken::default() };
    assert_eq!(world.store.create_token(&bob, for_admin, None).await.unwrap_err().code(), Code::Forbidden);
    assert_eq!(world.store.list_tokens(&bob, None, PageAsk::default()).await.unwrap().items.len(), 1);
    let all = world.store.list_tokens(&world.admin, None, PageAsk::default()).await.unwrap().items;
    assert_eq!(all.len(), 3);
}
