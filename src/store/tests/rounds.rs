//! Operations that depend on many records: each reads them in few rounds, and one that needs too many fails alone.

use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::domain::id::TicketId;
use crate::store::engine::journal::Stop;
use crate::store::tables::tickets;

/// More than the journal has rounds for one batch.
const MANY: usize = 20;

fn names(of: &str) -> Vec<MemberName> {
    (0..MANY).map(|number| member(&format!("{of}-{number}"))).collect()
}

/// One member's request that read record after record made everybody's boots and writes fail.
#[tokio::test]
async fn an_operation_that_never_stops_reading_fails_alone() {
    let world = World::new().await;
    let asked = AtomicU8::new(0);
    let endless = world.store.journal().run(Vec::new(), move |tx| {
        // Another key each time.
        let id = TicketId::from_bytes([asked.fetch_add(1, Ordering::SeqCst); 16]);
        for number in 0..=id.as_bytes()[0] {
            tx.get(&tickets::ticket(TicketId::from_bytes([number; 16])))?;
        }
        Ok::<_, Stop<Error>>(())
    });
    // In the same batch, before it and after it.
    let other = || world.store.create_ticket(&world.admin, NewTicket::default(), None);
    let (first, endless, second) = tokio::join!(other(), endless, other());
    assert_eq!(endless.unwrap_err().code(), Code::Internal);
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn a_service_has_many_managers_and_a_person_becomes_one() {
    let world = World::new().await;
    let managers = names("m");
    for name in &managers {
        world.member(name.as_str(), Role::Member).await;
    }
    let store = &world.store;
    let service = NewMember::service(member("prod"), managers.clone());
    store.create_member(&world.admin, service, None).await.unwrap();
    // She manages many, of which one was removed since.
    let bob = world.member("bob", Role::Member).await;
    for name in names("s") {
        let service = NewMember::service(name, [member("bob")].into());
        store.create_member(&world.admin, service, None).await.unwrap();
    }
    store.remove_member(&world.admin, &member("s-3")).await.unwrap();
    let converted = store.convert_to_service(&bob, &member("bob"), &managers).await.unwrap();
    assert_eq!(converted.managers.len(), MANY);
}

#[tokio::test]
async fn an_enrolment_accepts_many_launchers() {
    let world = World::new().await;
    for name in names("l") {
        let created = world.store.create_member(&world.admin, NewMember::launcher(name), None).await.unwrap();
        world.redeem(&created.enrolment.unwrap().credential).await;
    }
    let new = NewMember::person(member("bob"), Role::Member);
    let created = world.store.create_member(&world.admin, new, None).await.unwrap();
    let redemption = Redemption { accept: names("l"), ..Redemption::default() };
    let code = created.enrolment.unwrap().credential;
    world.store.redeem_enrolment(&code, None, "r", redemption).await.unwrap();
}

/// After 12 times, every further one failed, and each replaced token went on counting.
#[tokio::test]
async fn a_launcher_replaces_its_token_any_number_of_times() {
    let world = World::new().await;
    let created =
        world.store.create_member(&world.admin, NewMember::launcher(member("l")), None).await.unwrap();
    let mut token = world.redeem(&created.enrolment.unwrap().credential).await.credential;
    let used = async || world.store.org_quotas(&world.operator, &org("default")).await.unwrap().used.tokens;
    let before = used().await;
    for _ in 0..MANY {
        let launcher = world.store.authenticate(&token, None).await.unwrap();
        token = world.store.create_token(&launcher, NewToken::default(), None).await.unwrap().credential;
    }
    // The one that asked last still works for ten minutes.
    assert_eq!(used().await, before + 1);
}

/// The count stayed at its quota for ever.
#[tokio::test]
async fn tickets_of_many_authors_that_expire_together_stop_counting() {
    let world = World::new().await;
    for name in names("m") {
        let author = world.member(name.as_str(), Role::Member).await;
        let new = NewTicket { ttl: Some(Duration::from_secs(60)), ..NewTicket::default() };
        world.store.create_ticket(&author, new, None).await.unwrap();
    }
    let quotas = QuotasChange { tickets: Some(MANY as u32), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), quotas).await.unwrap();
    let bob = world.member("bob", Role::Member).await;
    let create = async || world.store.create_ticket(&bob, NewTicket::default(), None).await;
    assert_eq!(create().await.unwrap_err().code(), Code::OverQuota);
    world.clock.advance(Duration::from_secs(3600));
    create().await.unwrap();
}
