//! Boots end, by those whose boots they are, and then hold nothing.

use super::holders::holders;
use super::*;
use crate::domain::audit::DetailKey;
use crate::domain::boot::{BootStatus, EndSource};
use crate::domain::credential::CredentialKind;

async fn boot(world: &World, ticket: &Caller) -> Released {
    world.store.boot(ticket, BootAsk::default()).await.unwrap()
}

async fn with(world: &World, credential: &Credential) -> Caller {
    world.store.authenticate(credential, None).await.unwrap()
}

/// 300 runs of `exec true` left 300 holders for ever.
#[tokio::test]
async fn short_workloads_leave_no_holders() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let ticket = world.ticket(&world.admin).await;
    for number in 0..300 {
        let released = boot(&world, &ticket).await;
        let own = with(&world, &released.end_credential).await;
        let ending = Ending { status: Some(0), failed: number % 3 == 0 };
        world.store.end_boot(&own, released.boot, ending).await.unwrap();
    }
    assert_eq!(holders(&world, &world.admin, "one").await.counts, HolderCounts::default());
    let gone = world.store.delete_secret(&world.admin, id, None).await.unwrap();
    assert_eq!(gone.held_by.counts.outdated, 0);
    let live = BootFilter { live: true, ..BootFilter::default() };
    let live = world.store.list_boots(&world.admin, &live, PageAsk::default()).await.unwrap();
    assert!(live.items.is_empty());
}

#[tokio::test]
async fn an_end_credential_ends_its_own_boot_once_and_does_nothing_else() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.shared("one", "1").await;
    let ticket = world.ticket(&bob).await;
    let (first, second) = (boot(&world, &ticket).await, boot(&world, &ticket).await);
    let own = with(&world, &first.end_credential).await;
    let other = world.store.end_boot(&own, second.boot, Ending::default()).await.unwrap_err();
    assert_eq!(other.code(), Code::NotFound);
    assert_eq!(world.store.boot(&own, BootAsk::default()).await.unwrap_err().code(), Code::Forbidden);
    assert_eq!(world.store.explain(&own, BootAsk::default()).await.unwrap_err().code(), Code::Forbidden);
    let boots = world.store.list_boots(&own, &BootFilter::default(), PageAsk::default()).await;
    assert_eq!(boots.unwrap_err().code(), Code::Forbidden);

    world.store.end_boot(&own, first.boot, Ending { status: Some(3), failed: false }).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    // Repeated, and by another one: what was said first stays.
    world.store.end_boot(&own, first.boot, Ending { status: Some(0), failed: true }).await.unwrap();
    world.store.end_boot(&bob, first.boot, Ending::default()).await.unwrap();
    let shown = world.store.boot_record(&world.admin, first.boot).await.unwrap();
    let end = shown.end.unwrap();
    assert_eq!((shown.status, end.source, end.status), (BootStatus::Ended, EndSource::Agent, Some(3)));

    // The machine still knows when its workload ends, after its ticket was revoked and its member removed.
    world.store.revoke_ticket(&bob, ticket.ticket().unwrap()).await.unwrap();
    world.store.remove_member(&world.admin, &member("bob")).await.unwrap();
    let own = with(&world, &second.end_credential).await;
    world.store.end_boot(&own, second.boot, Ending { status: None, failed: true }).await.unwrap();
    let shown = world.store.boot_record(&world.admin, second.boot).await.unwrap();
    assert_eq!(shown.status, BootStatus::Failed);
}

#[tokio::test]
async fn a_forged_end_credential_is_unknown() {
    let world = World::new().await;
    let ticket = world.ticket(&world.admin).await;
    let released = boot(&world, &ticket).await;
    let (org, _) = world.admin.org().unwrap();
    let mut secret = Zeroizing::new([7; 32]);
    secret[..16].copy_from_slice(org.as_bytes());
    let forged = Credential::new(CredentialKind::Boot, *released.boot.as_bytes(), secret);
    assert_eq!(world.store.authenticate(&forged, None).await.unwrap_err().code(), Code::Unauthorized);
    let again = world.store.end_credential(org, released.boot);
    assert_eq!(*again.to_text(), *released.end_credential.to_text());
}

/// Who could end the boots of others could hide who holds a secret.
#[tokio::test]
async fn only_those_whose_boot_it_is_end_it() {
    let world = World::new().await;
    let (bob, eve) = (world.member("bob", Role::Member).await, world.member("eve", Role::Member).await);
    world.shared("one", "1").await;
    let ticket = world.ticket(&bob).await;
    let released = boot(&world, &ticket).await;
    for (caller, code) in [
        (&world.admin, Code::Forbidden),
        (&eve, Code::NotFound),
        (&ticket, Code::NotFound),
        (&world.operator, Code::Forbidden),
    ] {
        let error = world.store.end_boot(caller, released.boot, Ending::default()).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
    assert_eq!(holders(&world, &world.admin, "one").await.counts.current, 1);
    world.store.end_boot(&bob, released.boot, Ending::default()).await.unwrap();
    let shown = world.store.boot_record(&bob, released.boot).await.unwrap();
    assert_eq!(shown.end.unwrap().source, EndSource::Platform);
    assert_eq!((shown.identity, shown.author), (ticket.ticket().unwrap().into(), Some(member("bob"))));
    assert_eq!(holders(&world, &world.admin, "one").await.counts.current, 0);
}

/// Nobody was left who could end the boots of a removed member, and a wait for its last holder never ended.
#[tokio::test]
async fn an_admin_ends_the_boots_of_a_removed_member() {
    let world = World::new().await;
    let (bob, eve) = (world.member("bob", Role::Member).await, world.member("eve", Role::Member).await);
    world.shared("one", "1").await;
    let released = boot(&world, &world.ticket(&bob).await).await;
    let end = async |caller: &Caller| world.store.end_boot(caller, released.boot, Ending::default()).await;
    assert_eq!(end(&world.admin).await.unwrap_err().code(), Code::Forbidden);
    let may_end = async || world.store.boot_record(&world.admin, released.boot).await.unwrap().may_end;
    assert!(!may_end().await);
    world.store.remove_member(&world.admin, &member("bob")).await.unwrap();
    assert_eq!(end(&eve).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(holders(&world, &world.admin, "one").await.counts.current, 1);
    assert!(may_end().await);
    end(&world.admin).await.unwrap();
    assert_eq!(holders(&world, &world.admin, "one").await.counts.current, 0);
    let shown = world.store.boot_record(&world.admin, released.boot).await.unwrap();
    assert_eq!((shown.end.unwrap().source, shown.may_end), (EndSource::Admin, false));
    let filter = AuditFilter { action: Some("boot.end".to_owned()), ..AuditFilter::default() };
    let entries = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    let source = entries[0].event.details.get(&DetailKey::EndSource).unwrap();
    assert_eq!(source.as_str(), "admin");
}

#[tokio::test]
async fn a_boot_that_has_ended_is_not_tried_again() {
    let world = World::new().await;
    let ticket = world.ticket(&world.admin).await;
    let ask = || BootAsk { attempt: Some("key".to_owned()), ..BootAsk::default() };
    let released = world.store.boot(&ticket, ask()).await.unwrap();
    world.store.end_boot(&world.admin, released.boot, Ending::default()).await.unwrap();
    assert_eq!(world.store.boot(&ticket, ask()).await.unwrap_err().code(), Code::Conflict);
}

async fn with_policy(world: &World, change: impl FnOnce(&mut crate::domain::role::OrgPolicy)) {
    let (org, _) = world.admin.org().unwrap();
    let key = crate::store::tables::orgs::org(org);
    let mut record = world.store.records().get(&key).await.unwrap().unwrap();
    change(&mut record.policy);
    let stored = world.store.journal().run(Vec::new(), move |tx| {
        tx.put(&key, &record)?;
        Ok::<_, crate::store::engine::journal::Stop<Failure>>(())
    });
    stored.await.unwrap();
}

/// An unlimited ticket could fill the disk.
#[tokio::test]
async fn a_member_at_its_quota_loses_its_oldest_ended_boots_before_a_boot_is_refused() {
    let world = World::new().await;
    with_policy(&world, |policy| policy.quotas.boots_per_member = 20).await;
    let credential = world.ticket_for(&world.admin, NewTicket::default()).await;
    let ticket = with(&world, &credential).await;
    let mut boots = Vec::new();
    for _ in 0..20 {
        world.clock.advance(Duration::from_millis(1));
        boots.push(boot(&world, &ticket).await.boot);
    }
    let full = world.store.boot(&ticket, BootAsk::default()).await.unwrap_err();
    assert_eq!(full.code(), Code::OverQuota);
    assert!(full.hint().is_some());
    for ended in &boots[..5] {
        world.store.end_boot(&world.admin, *ended, Ending::default()).await.unwrap();
    }
    // Not at once: a refused client must not make the store read all boots each time.
    world.store.boot(&ticket, BootAsk::default()).await.unwrap_err();
    world.clock.advance(Duration::from_secs(60));
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let left =
        world.store.list_boots(&world.admin, &BootFilter::default(), PageAsk::default()).await.unwrap();
    let left: Vec<_> = left.items.iter().map(|boot| boot.id).collect();
    // The two oldest are gone, and none that runs.
    assert_eq!(left.len(), 19);
    assert!(!left.contains(&boots[0]) && !left.contains(&boots[1]) && left.contains(&boots[2]));
    assert!(boots[5..].iter().all(|boot| left.contains(boot)));
}

#[tokio::test]
async fn ended_boots_are_pruned_at_their_age_and_their_entries_stay() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let ticket = world.ticket(&world.admin).await;
    let (ended, running) = (boot(&world, &ticket).await.boot, boot(&world, &ticket).await.boot);
    world.store.end_boot(&world.admin, ended, Ending::default()).await.unwrap();
    let listed = async || {
        let page = world.store.list_boots(&world.admin, &BootFilter::default(), PageAsk::default()).await;
        page.unwrap().items.into_iter().map(|boot| boot.id).collect::<Vec<_>>()
    };
    world.clock.advance(Duration::from_secs(89 * 86_400));
    world.store.prune_boots().await.unwrap();
    assert_eq!(listed().await.len(), 2, "kept by default");
    with_policy(&world, |policy| policy.retention.boots = Some(90)).await;
    world.store.prune_boots().await.unwrap();
    assert_eq!(listed().await.len(), 2);
    world.clock.advance(Duration::from_secs(86_400));
    world.store.prune_boots().await.unwrap();
    assert_eq!(listed().await, [running]);
    assert_eq!(holders(&world, &world.admin, "one").await.counts.current, 1);
    assert!(world.verification().await.ok);
}
