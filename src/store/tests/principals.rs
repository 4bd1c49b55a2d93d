//! Persons, services and their managers: who acts for whom, and how a member gets in.

use std::net::IpAddr;

use super::*;
use crate::domain::audit::{AuditAction, DetailKey, Outcome};
use crate::domain::id::TicketId;
use crate::store::tables::tickets::{self, TicketRecord};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

fn of(name: &str) -> NewTicket {
    NewTicket { member: Some(member(name)), ..NewTicket::default() }
}

fn token_of(name: &str) -> NewToken {
    NewToken { member: Some(member(name)), ..NewToken::default() }
}

fn private_of(name: &str, secret: &str) -> NewSecret {
    NewSecret { owner: Some(member(name)), ..new_secret(secret, ScopeKind::Private, "1") }
}

async fn service(world: &World, name: &str, managers: &[&str]) {
    let managers = managers.iter().map(|name| member(name)).collect();
    let created = world.store.create_member(&world.admin, NewMember::service(member(name), managers), None);
    assert!(created.await.unwrap().enrolment.is_none());
}

/// What an older version stored: a ticket that an admin made for a person.
async fn legacy_ticket(world: &World, author: &Caller, of: &Caller) -> Credential {
    let issued = world.store.create_ticket(of, NewTicket::default(), None).await.unwrap();
    let key = tickets::ticket(issued.ticket.id);
    let author = author.member().unwrap().0;
    let changed = world.store.journal().run(vec![key.to_vec()], move |tx| {
        let ticket: TicketRecord = tx.get(&key)?.unwrap();
        tx.put(&key, &TicketRecord { author, ..ticket })?;
        Ok::<_, crate::store::engine::journal::Stop<Error>>(())
    });
    changed.await.unwrap();
    issued.credential
}

async fn entries(world: &World, action: AuditAction) -> Vec<AuditItem> {
    let filter = AuditFilter { action: Some(action.to_string()), ..AuditFilter::default() };
    world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items
}

fn detail(item: &AuditItem, key: DetailKey) -> Option<String> {
    item.event.details.get(&key).map(ToString::to_string)
}

/// An admin read any member's private secret: by a ticket for the member, or by a token in the member's name.
#[tokio::test]
async fn an_admin_does_not_act_for_a_person() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let id = world.private(&bob, "openai-api-key", "bobs").await;
    let (store, admin) = (&world.store, &world.admin);
    for refused in [
        store.create_ticket(admin, of("bob"), None).await.map(drop),
        store.create_token(admin, token_of("bob"), None).await.map(drop),
        store.create_secret(admin, private_of("bob", "planted"), None).await.map(drop),
        store.replace_secret(admin, id, None, replacement("2")).await.map(drop),
        store.change_secret(admin, id, None, AttributesPatch::default()).await.map(drop),
        store.delete_secret(admin, id, None).await.map(drop),
        store.convert_to_service(admin, &member("bob"), &[member("admin")]).await.map(drop),
        store.replace_enrolment(admin, &member("bob"), None, None).await.map(drop),
    ] {
        let code = refused.unwrap_err().code();
        assert!([Code::Forbidden, Code::Conflict].contains(&code), "{code}");
    }
    assert_eq!(world.boot(&bob).await, pairs(&[("OPENAI_API_KEY", "bobs")]));
    // What remains of the role: to see that it exists, and to remove access.
    assert_eq!(store.secret(admin, id).await.unwrap().owner, Some(member("bob")));
    let ticket = store.create_ticket(&bob, NewTicket::default(), None).await.unwrap().ticket;
    store.revoke_ticket(admin, ticket.id).await.unwrap();
}

#[tokio::test]
async fn a_member_is_enrolled_once_and_a_second_redemption_says_when_and_from_where() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    let created =
        store.create_member(admin, NewMember::person(member("bob"), Role::Member), None).await.unwrap();
    assert!(matches!(created.member.enrolment, Some(Enrolment::Pending { .. })));
    let first = created.enrolment.unwrap().credential;
    // A code is no credential for anything else.
    assert_eq!(store.authenticate(&first, None).await.unwrap_err().code(), Code::Unauthorized);
    assert!(store.log_in(&first, None, "r").await.is_err());

    let second = store.replace_enrolment(admin, &member("bob"), None, None).await.unwrap().credential;
    let replaced = store.redeem_enrolment(&first, None, "r", Redemption::default()).await.unwrap_err();
    assert_eq!(replaced.code(), Code::Revoked);

    let token = store.redeem_enrolment(&second, Some(HERE), "r", Redemption::default()).await.unwrap();
    assert_eq!(token.token.author, Some(member("bob")));
    let again = store.redeem_enrolment(&second, None, "r", Redemption::default()).await.unwrap_err();
    assert_eq!(again.code(), Code::EnrolmentRedeemed);
    assert!(again.to_string().contains("192.0.2.9"), "{again}");
    assert!(matches!(again, EnrolmentError::Redeemed { at, .. } if at == world.clock.now()));

    // An admin who redeemed it first is visible to everybody who may list members, and the member cannot be enrolled again.
    let shown = store.member(admin, &member("bob")).await.unwrap();
    assert_eq!(shown.enrolment, Some(Enrolment::Redeemed { at: world.clock.now(), from: Some(HERE) }));
    let error = store.replace_enrolment(admin, &member("bob"), None, None).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
    let redeemed = entries(&world, AuditAction::EnrolmentRedeem).await;
    let allowed = redeemed.iter().find(|item| item.event.outcome == Outcome::Allowed).unwrap();
    assert_eq!(detail(allowed, DetailKey::Source).as_deref(), Some("192.0.2.9"));
    let admin_id = admin.member().unwrap().0.to_string();
    assert_eq!(detail(allowed, DetailKey::Author), Some(admin_id));
}

#[tokio::test]
async fn an_enrolment_expires_and_ends_with_its_member() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    let add = async |name| {
        let new = NewMember::person(member(name), Role::Member);
        store.create_member(admin, new, None).await.unwrap().enrolment.unwrap().credential
    };
    let (late, gone) = (add("late").await, add("gone").await);
    store.remove_member(admin, &member("gone")).await.unwrap();
    let code = async |code: &Credential| {
        store.redeem_enrolment(code, None, "r", Redemption::default()).await.unwrap_err().code()
    };
    assert_eq!(code(&gone).await, Code::Revoked);
    world.clock.advance(ENROLMENT_TTL);
    assert_eq!(code(&late).await, Code::Expired);
    // Another kind of credential is not an enrolment.
    let token = store.create_token(admin, NewToken::default(), None).await.unwrap();
    assert_eq!(code(&token.credential).await, Code::Unauthorized);
}

/// A person who lost everything comes back under a new id, which inherits nothing.
#[tokio::test]
async fn a_member_who_is_removed_and_enrolled_again_inherits_nothing() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    service(&world, "prod", &["bob"]).await;
    world.private(&bob, "key", "1").await;
    let ticket = world.ticket(&bob).await;
    world.store.remove_member(&world.admin, &member("bob")).await.unwrap();
    let again = world.member("bob", Role::Member).await;
    assert_ne!(bob.member().unwrap().0, again.member().unwrap().0);
    assert!(again.manages().is_empty());
    assert_eq!(world.boot(&again).await, pairs(&[]));
    assert_eq!(world.store.list_tickets(&again, None, PageAsk::default()).await.unwrap().items.len(), 1);
    assert_eq!(world.store.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Revoked);
}

#[tokio::test]
async fn managers_act_for_a_service_and_an_admin_who_is_none_does_not() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    world.member("mia", Role::Member).await;
    service(&world, "prod", &["mia"]).await;
    // The appointment is in the caller of the next authentication.
    let mia = caller(&world, "mia").await;
    let id = store.create_secret(&mia, private_of("prod", "db-url"), None).await.unwrap().secret.meta.id;
    store.replace_secret(&mia, id, None, replacement("2")).await.unwrap();
    store.change_secret(&mia, id, None, AttributesPatch::default()).await.unwrap();
    let listed = store.list_secrets(&mia, &SecretFilter::default(), PageAsk::default()).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    let issued = store.create_ticket(&mia, of("prod"), None).await.unwrap();
    assert_eq!((issued.ticket.member, issued.ticket.author), (member("prod"), member("mia")));
    let ticket = store.authenticate(&issued.credential, None).await.unwrap();
    assert_eq!(variables(store.boot(&ticket, BootAsk::default()).await.unwrap()), pairs(&[("DB_URL", "2")]));
    assert_eq!(
        store.list_boots(&mia, &BootFilter::default(), PageAsk::default()).await.unwrap().items.len(),
        1
    );
    let token = store.create_token(&mia, token_of("prod"), None).await.unwrap();
    assert_eq!(token.token.author, Some(member("mia")));
    let prod = store.authenticate(&token.credential, None).await.unwrap();
    // The service sees every credential that acts for it, and who made it.
    assert_eq!(
        store.list_tokens(&prod, None, PageAsk::default()).await.unwrap().items[0].author,
        Some(member("mia"))
    );
    assert_eq!(
        store.list_tickets(&prod, None, PageAsk::default()).await.unwrap().items[0].author,
        member("mia")
    );

    for refused in [
        store.create_ticket(admin, of("prod"), None).await.map(drop),
        store.create_token(admin, token_of("prod"), None).await.map(drop),
        store.create_secret(admin, private_of("prod", "planted"), None).await.map(drop),
        store.delete_secret(admin, id, None).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
    }
    // To act for it, an admin must appoint itself, which is on record.
    store.add_manager(admin, &member("prod"), &member("admin")).await.unwrap();
    let appointed = entries(&world, AuditAction::ManagerAdd).await;
    assert_eq!(detail(&appointed[0], DetailKey::Manager).as_deref(), Some("admin"));
}

#[tokio::test]
async fn a_dismissed_manager_has_no_say_and_what_it_made_stops_at_once() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    world.member("mia", Role::Member).await;
    world.member("max", Role::Member).await;
    service(&world, "prod", &["mia", "max"]).await;
    let (mia, max) = (caller(&world, "mia").await, caller(&world, "max").await);
    let id = store.create_secret(&mia, private_of("prod", "key"), None).await.unwrap().secret.meta.id;
    let by_mia = store.create_ticket(&mia, of("prod"), None).await.unwrap();
    let by_max = store.create_ticket(&max, of("prod"), None).await.unwrap();
    let token = store.create_token(&mia, token_of("prod"), None).await.unwrap();
    let early = store.authenticate(&by_mia.credential, None).await.unwrap();

    store.remove_manager(admin, &member("prod"), &member("mia")).await.unwrap();
    // At once: neither an authentication nor a boot that was authenticated before.
    assert_eq!(store.authenticate(&by_mia.credential, None).await.unwrap_err().code(), Code::Revoked);
    assert_eq!(store.authenticate(&token.credential, None).await.unwrap_err().code(), Code::Revoked);
    assert_eq!(store.boot(&early, BootAsk::default()).await.unwrap_err().code(), Code::Revoked);
    store.authenticate(&by_max.credential, None).await.unwrap();
    // The caller was authenticated as a manager. The commit reads it again.
    let late = [
        store.create_secret(&mia, private_of("prod", "late"), None).await.map(drop),
        store.replace_secret(&mia, id, None, replacement("3")).await.map(drop),
        store.delete_secret(&mia, id, None).await.map(drop),
        store.create_ticket(&mia, of("prod"), None).await.map(drop),
        store.create_token(&mia, token_of("prod"), None).await.map(drop),
    ];
    for refused in late {
        assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
    }

    // The record follows, so that a new appointment does not bring the old ticket back.
    revoked_at(&world, by_mia.ticket.id).await;
    store.add_manager(admin, &member("prod"), &member("mia")).await.unwrap();
    assert_eq!(store.authenticate(&by_mia.credential, None).await.unwrap_err().code(), Code::Revoked);
    let mia = caller(&world, "mia").await;
    let fresh = store.create_ticket(&mia, of("prod"), None).await.unwrap();
    store.authenticate(&fresh.credential, None).await.unwrap();

    store.remove_member(admin, &member("max")).await.unwrap();
    assert_eq!(store.authenticate(&by_max.credential, None).await.unwrap_err().code(), Code::Revoked);
    revoked_at(&world, by_max.ticket.id).await;
}

/// An auditor receives no values, and so none by the tickets that it created as a manager.
#[tokio::test]
async fn a_manager_who_becomes_an_auditor_boots_no_service() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    world.member("mia", Role::Member).await;
    service(&world, "prod", &["mia"]).await;
    let mia = caller(&world, "mia").await;
    let ticket = store.create_ticket(&mia, of("prod"), None).await.unwrap();
    let token = store.create_token(&mia, token_of("prod"), None).await.unwrap();
    let booting = store.authenticate(&ticket.credential, None).await.unwrap();
    store.set_role(admin, &member("mia"), Role::Auditor).await.unwrap();
    for credential in [&ticket.credential, &token.credential] {
        assert_eq!(store.authenticate(credential, None).await.unwrap_err().code(), Code::Revoked);
    }
    assert_eq!(store.boot(&booting, BootAsk::default()).await.unwrap_err().code(), Code::Revoked);
    assert!(store.create_ticket(&mia, of("prod"), None).await.is_err());
}

/// What a service creates with a manager's token is by that manager: no second token outlives the dismissal.
#[tokio::test]
async fn what_a_service_creates_ends_with_the_manager_who_created_its_token() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    world.member("mia", Role::Member).await;
    world.member("max", Role::Member).await;
    service(&world, "prod", &["mia", "max"]).await;
    let (mia, max) = (caller(&world, "mia").await, caller(&world, "max").await);
    let first = store.create_token(&mia, token_of("prod"), None).await.unwrap();
    let by_max = store.create_token(&max, token_of("prod"), None).await.unwrap();
    let prod = store.authenticate(&first.credential, None).await.unwrap();
    let second = store.create_token(&prod, NewToken::default(), None).await.unwrap();
    assert_eq!(second.token.author, Some(member("mia")));
    let of_second = store.authenticate(&second.credential, None).await.unwrap();
    let third = store.create_token(&of_second, NewToken::default(), None).await.unwrap();
    let ticket = store.create_ticket(&of_second, NewTicket::default(), None).await.unwrap();
    assert_eq!(ticket.ticket.author, member("mia"));
    let booting = store.authenticate(&ticket.credential, None).await.unwrap();

    store.remove_manager(admin, &member("prod"), &member("mia")).await.unwrap();
    for credential in [&first.credential, &second.credential, &third.credential, &ticket.credential] {
        assert_eq!(store.authenticate(credential, None).await.unwrap_err().code(), Code::Revoked);
    }
    assert_eq!(store.boot(&booting, BootAsk::default()).await.unwrap_err().code(), Code::Revoked);
    assert!(store.create_token(&of_second, NewToken::default(), None).await.is_err());
    store.authenticate(&by_max.credential, None).await.unwrap();
}

/// Tickets from before a person's scope was theirs alone keep working, and the person sees and revokes them.
#[tokio::test]
async fn a_ticket_of_an_older_version_works_until_its_author_is_removed() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let ann = world.member("ann", Role::Admin).await;
    let ticket = legacy_ticket(&world, &ann, &bob).await;
    let other = legacy_ticket(&world, &ann, &bob).await;
    world.store.authenticate(&ticket, None).await.unwrap();
    let seen = world.store.list_tickets(&bob, None, PageAsk::default()).await.unwrap().items;
    assert!(seen.iter().all(|ticket| ticket.author == member("ann")));
    world.store.revoke_ticket(&bob, other.ticket_id()).await.unwrap();
    world.store.remove_member(&world.admin, &member("ann")).await.unwrap();
    assert_eq!(world.store.authenticate(&ticket, None).await.unwrap_err().code(), Code::Revoked);
    revoked_at(&world, ticket.ticket_id()).await;
}

#[tokio::test]
async fn only_the_person_becomes_a_service() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    let bot = world.member("bot", Role::Admin).await;
    world.member("mia", Role::Member).await;
    world.private(&bot, "key", "1").await;
    let none = store.convert_to_service(&bot, &member("bot"), &[]).await.unwrap_err();
    assert_eq!(none.code(), Code::InvalidRequest);
    let converted = store.convert_to_service(&bot, &member("bot"), &[member("mia")]).await.unwrap();
    assert_eq!((converted.role, converted.managers), (Role::Member, vec![member("mia")]));
    let mia = caller(&world, "mia").await;
    let ticket = store.create_ticket(&mia, of("bot"), None).await.unwrap().credential;
    let ticket = store.authenticate(&ticket, None).await.unwrap();
    assert_eq!(variables(store.boot(&ticket, BootAsk::default()).await.unwrap()), pairs(&[("KEY", "1")]));
    // A service lends its managers nothing beyond its own scope.
    let error = store.set_role(admin, &member("bot"), Role::Admin).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidRequest);
}

/// Until now, an entry by a token that an admin had minted for bob named bob, and nothing else.
#[tokio::test]
async fn every_entry_names_the_credential_and_who_made_it() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.private(&bob, "key", "1").await;
    let credential = world.ticket_for(&bob, NewTicket::default()).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let bob_id = bob.member().unwrap().0.to_string();
    let boot = entries(&world, AuditAction::Boot).await.remove(0);
    assert_eq!(detail(&boot, DetailKey::Credential), Some(credential.ticket_id().to_string()));
    assert_eq!(detail(&boot, DetailKey::Author), Some(bob_id.clone()));
    let created = entries(&world, AuditAction::SecretCreate).await.remove(0);
    assert!(detail(&created, DetailKey::Credential).unwrap().starts_with("tok_"));
    assert_eq!(detail(&created, DetailKey::Author), Some(bob_id));
    world.store.lock(&world.operator).await.unwrap();
    let all = world.store.audit(&world.operator, &AuditFilter::default(), PageAsk::default()).await;
    let locked = all.unwrap().items.into_iter().find(|item| item.event.action == AuditAction::StoreLock);
    assert_eq!(detail(&locked.unwrap(), DetailKey::Author).as_deref(), Some("operator"));
}

#[tokio::test]
async fn only_its_depositor_or_an_admin_changes_a_shared_secret() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    let (ann, bob) = (world.member("ann", Role::Member).await, world.member("bob", Role::Member).await);
    let id = world.deposit(&ann, new_secret("shared", ScopeKind::Shared, "1")).await;
    let tries = async |by: &Caller| {
        [
            store.replace_secret(by, id, None, replacement("2")).await.map(drop),
            store.change_secret(by, id, None, AttributesPatch::default()).await.map(drop),
            store.delete_secret(by, id, None).await.map(drop),
        ]
    };
    for refused in tries(&bob).await {
        assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
    }
    store.replace_secret(&ann, id, None, replacement("2")).await.unwrap();
    // What an admin took over is the admin's.
    store.replace_secret(admin, id, None, replacement("3")).await.unwrap();
    for refused in tries(&ann).await {
        assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
    }
    let everyone = PolicyChange {
        shared_changes: Some(crate::domain::role::SharedChanges::Everyone),
        ..PolicyChange::default()
    };
    store.set_policy(admin, everyone).await.unwrap();
    let bob = caller(&world, "bob").await;
    for done in tries(&bob).await {
        done.unwrap();
    }
}

/// A new caller for a member, with what its record says now.
async fn caller(world: &World, name: &str) -> Caller {
    let (org, _) = world.admin.org().unwrap();
    let id = world.store.member_record(org, &member(name)).await.unwrap().id;
    let (ids, _) = world.store.records().scan_all(&world.store.records().tokens(Some(org))).await.unwrap();
    let index = world.store.records().tokens(Some(org));
    let own = ids.iter().find(|found| found.record == Some(id)).and_then(|found| index.id(&found.key));
    let key = crate::store::tables::tokens::token(crate::domain::id::TokenId::from_bytes(own.unwrap()));
    let token = world.store.records().get(&key).await.unwrap().unwrap();
    world.store.check_token(token, None, None).await.unwrap()
}

async fn revoked_at(world: &World, ticket: TicketId) {
    eventually(|| async {
        let record = world.store.records().get(&tickets::ticket(ticket)).await.unwrap().unwrap();
        record.revoked_at.is_some()
    })
    .await;
}

/// A manager answers for the service, and could not read what had happened with it.
#[tokio::test]
async fn managers_see_the_entries_and_boots_of_their_service_and_of_nothing_else() {
    let world = World::new().await;
    let store = &world.store;
    world.member("mia", Role::Member).await;
    world.member("max", Role::Member).await;
    let eve = world.member("eve", Role::Member).await;
    service(&world, "prod", &["mia", "max"]).await;
    let (mia, max) = (caller(&world, "mia").await, caller(&world, "max").await);
    store.create_secret(&mia, private_of("prod", "db-url"), None).await.unwrap();
    store.create_secret(&mia, new_secret("mias-own", ScopeKind::Private, "1"), None).await.unwrap();
    let ticket = store.create_ticket(&mia, of("prod"), None).await.unwrap().credential;
    let ticket = store.authenticate(&ticket, None).await.unwrap();
    store.boot(&ticket, BootAsk::default()).await.unwrap();
    world.private(&eve, "eves", "1").await;

    let read = async |caller: &Caller, action: AuditAction| {
        let filter = AuditFilter { action: Some(action.to_string()), ..AuditFilter::default() };
        store.audit(caller, &filter, PageAsk::default()).await.unwrap().items
    };
    let names = |items: &[AuditItem]| -> Vec<String> {
        let targets = items.iter().filter_map(|item| item.event.target.clone()?.name);
        targets.map(|name| name.to_string()).collect()
    };
    // Of the other manager's work only what is about the service.
    assert_eq!(names(&read(&max, AuditAction::SecretCreate).await), ["db-url"]);
    assert_eq!(names(&read(&mia, AuditAction::SecretCreate).await), ["mias-own", "db-url"]);
    assert_eq!(names(&read(&eve, AuditAction::SecretCreate).await), ["eves"]);
    let boots = read(&max, AuditAction::Boot).await;
    assert_eq!(boots[0].released.as_ref().unwrap().len(), 1);
    assert_eq!(boots[0].author, Some(member("mia")));
    assert!(read(&eve, AuditAction::Boot).await.is_empty());
    let listed = async |caller: &Caller, name: Option<&str>| {
        let filter = BootFilter { member: name.map(member), ..BootFilter::default() };
        store.list_boots(caller, &filter, PageAsk::default()).await.map(|page| page.items.len())
    };
    assert_eq!(listed(&max, None).await.unwrap(), 1);
    assert_eq!(listed(&max, Some("prod")).await.unwrap(), 1);
    assert_eq!(listed(&eve, None).await.unwrap(), 0);
    assert_eq!(listed(&eve, Some("prod")).await.unwrap_err().code(), Code::Forbidden);

    store.remove_manager(&world.admin, &member("prod"), &member("max")).await.unwrap();
    let max = caller(&world, "max").await;
    assert!(read(&max, AuditAction::Boot).await.is_empty());
    assert_eq!(listed(&max, None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_manager_imports_for_a_service() {
    let world = World::new().await;
    let store = &world.store;
    let eve = world.member("eve", Role::Member).await;
    world.member("mia", Role::Member).await;
    service(&world, "prod", &["mia"]).await;
    let mia = caller(&world, "mia").await;
    let ask = |scope| ImportAsk { owner: Some(member("prod")), ..super::many::file("A=1\nB=2\n", scope) };
    assert!(store.import(&mia, ask(ScopeKind::Private), false).await.unwrap().stored);
    let filter = SecretFilter { owner: Some(member("prod")), ..SecretFilter::default() };
    let listed = store.list_secrets(&mia, &filter, PageAsk::default()).await.unwrap().items;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|secret| secret.owner == Some(member("prod"))));
    for (caller, scope, code) in [
        (&eve, ScopeKind::Private, Code::Forbidden),
        (&world.admin, ScopeKind::Private, Code::Forbidden),
        (&mia, ScopeKind::Shared, Code::InvalidRequest),
    ] {
        assert_eq!(store.import(caller, ask(scope), true).await.unwrap_err().code(), code);
    }
    // Authenticated as a manager, and dismissed since: the commit reads it again.
    store.remove_manager(&world.admin, &member("prod"), &member("mia")).await.unwrap();
    let late = ImportAsk { owner: Some(member("prod")), ..super::many::file("C=3\n", ScopeKind::Private) };
    assert_eq!(store.import(&mia, late, false).await.unwrap_err().code(), Code::Forbidden);
}
