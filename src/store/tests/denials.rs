//! Denied attempts: one tenant's flood never hides another's, its exact count is on record, and its disk use is bounded.

use std::net::IpAddr;

use super::*;
use crate::domain::audit::{AuditEvent, DetailKey};

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn detail(event: &AuditEvent, key: DetailKey) -> Option<&str> {
    event.details.get(&key).map(|text| text.as_str())
}

/// How many attempts an entry stands for.
fn attempts(event: &AuditEvent) -> usize {
    detail(event, DetailKey::Count).map_or(1, |count| count.parse().unwrap())
}

/// The entries about presented credentials, newest first.
async fn authentications(store: &Store, caller: &Caller) -> Vec<AuditEvent> {
    let filter = AuditFilter { action: Some("authenticate".into()), ..AuditFilter::default() };
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.audit(caller, &filter, PageAsk { cursor, limit: Some(1000) }).await.unwrap();
        all.extend(page.items.into_iter().map(|item| item.event));
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// A ticket that was revoked.
async fn revoked_ticket(world: &World, by: &Caller) -> Credential {
    let issued = world.store.create_ticket(by, NewTicket::default(), None).await.unwrap();
    world.store.revoke_ticket(by, issued.ticket.id).await.unwrap();
    issued.credential
}

/// The admin of another organization.
async fn other_admin(world: &World, name: &str) -> Caller {
    world.another_admin(name).await
}

#[tokio::test]
async fn a_flood_of_one_organization_hides_no_attempt_of_another() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let other = other_admin(&world, "other").await;
    let (flooding, quiet) =
        (revoked_ticket(&world, &world.admin).await, revoked_ticket(&world, &other).await);
    for _ in 0..3000 {
        let error = world.store.authenticate(&flooding, address("192.0.2.1")).await.unwrap_err();
        assert_eq!(error.code(), Code::Revoked);
    }
    for i in 0..100 {
        let source = address(&format!("198.51.100.{}", i % 10));
        world.store.authenticate(&quiet, source).await.unwrap_err();
    }
    world.store.close_journal_only().await;

    // The count survives the end of the process.
    let store = world.another().await;
    let of_quiet = authentications(&store, &other).await;
    assert_eq!(of_quiet.iter().map(attempts).sum::<usize>(), 100);
    let sources: std::collections::BTreeSet<_> =
        of_quiet.iter().map(|event| detail(event, DetailKey::Source).unwrap().to_owned()).collect();
    assert_eq!(sources.len(), 10);
    let of_flood = authentications(&store, &world.admin).await;
    assert_eq!(of_flood.iter().map(attempts).sum::<usize>(), 3000);
}

#[tokio::test]
async fn twenty_thousand_denials_of_one_source_are_few_entries() {
    let world = World::new().await;
    let credential = revoked_ticket(&world, &world.admin).await;
    let before = world.verification().await.entries;
    for _ in 0..20_000 {
        world.store.authenticate(&credential, address("192.0.2.1")).await.unwrap_err();
    }
    world.store.record_all_limited_events().await;
    let after = world.verification().await.entries;
    // 100 single ones, one count, and the verification before.
    assert!(after - before <= 102, "{} entries", after - before);
    let found = authentications(&world.store, &world.admin).await;
    assert_eq!(found.iter().map(attempts).sum::<usize>(), 20_000);
}

#[tokio::test]
async fn a_flood_of_strangers_hides_neither_the_operator_nor_an_organization() {
    let world = World::new().await;
    let kind = crate::domain::credential::CredentialKind::Ticket;
    for i in 0..2000_u32 {
        let guess = Credential::new(kind, [9; 16], Zeroizing::new([1; 32]));
        let source = IpAddr::from([203, 0, 113, u8::try_from(i % 200).unwrap()]);
        world.store.authenticate(&guess, Some(source)).await.unwrap_err();
    }
    let wrong = UnlockSecret::Passphrase(Zeroizing::new("not the passphrase".to_owned()));
    world.store.unlock(&world.operator, wrong).await.unwrap_err();
    let credential = revoked_ticket(&world, &world.admin).await;
    world.store.authenticate(&credential, address("192.0.2.1")).await.unwrap_err();
    world.store.record_all_limited_events().await;

    let filter = AuditFilter { action: Some("store.unlock".into()), ..AuditFilter::default() };
    let page = world.store.audit(&world.operator, &filter, PageAsk::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(attempts(&page.items[0].event), 1);
    assert_eq!(authentications(&world.store, &world.admin).await.len(), 1);
    // The organization's attempt is among those that the operator sees.
    let all = authentications(&world.store, &world.operator).await;
    assert_eq!(all.iter().map(attempts).sum::<usize>(), 2001);
}

#[tokio::test]
async fn an_attempt_with_a_revoked_or_expired_credential_names_it_and_its_organization() {
    let world = World::new().await;
    let revoked = revoked_ticket(&world, &world.admin).await;
    let expired = NewTicket { ttl: Some(Duration::from_secs(1)), ..NewTicket::default() };
    let expired = world.ticket_for(&world.admin, expired).await;
    world.clock.advance(Duration::from_secs(2));
    for credential in [&revoked, &expired] {
        world.store.authenticate(credential, address("192.0.2.9")).await.unwrap_err();
    }
    world.store.record_all_limited_events().await;
    let found = authentications(&world.store, &world.admin).await;
    let reasons: Vec<_> = found.iter().map(|event| detail(event, DetailKey::Reason).unwrap()).collect();
    assert_eq!(reasons, ["expired", "revoked"]);
    for (event, credential) in found.iter().zip([expired, revoked]) {
        assert_eq!(event.outcome, crate::domain::audit::Outcome::Denied);
        assert_eq!(detail(event, DetailKey::Source), Some("192.0.2.9"));
        let target = event.target.as_ref().unwrap().id.as_ref().unwrap();
        assert_eq!(target.as_str(), credential.ticket_id().to_string());
    }
}
