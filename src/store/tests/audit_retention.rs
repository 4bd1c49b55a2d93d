//! Retention of audit entries: what is pruned is gone, what is kept still verifies, and no other change goes unnoticed.

use super::*;
use crate::domain::audit::AuditEvent;
use crate::store::engine::audit::verify::{Coverage, Pace};
use crate::store::engine::audit::{pruned, tables};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn events(store: &Store, caller: &Caller) -> Vec<AuditEvent> {
    let page = PageAsk { cursor: None, limit: Some(1000) };
    let found = store.audit(caller, &AuditFilter::default(), page).await.unwrap();
    found.items.into_iter().map(|item| item.event).collect()
}

fn count(events: &[AuditEvent], action: &str) -> usize {
    events.iter().filter(|event| event.action.as_str() == action).count()
}

async fn keep_for_days(world: &World, by: &Caller, days: u32) {
    let retention = RetentionChange { boots: None, audit: Some(days) };
    let change = PolicyChange { retention, ..PolicyChange::default() };
    world.store.set_policy(by, change).await.unwrap();
}

async fn allow_days(world: &World, days: u32) {
    let change = QuotasChange { min_audit_days: Some(days), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), change).await.unwrap();
}

async fn verify(memory: &Arc<Memory>) -> Verification {
    let records = Records::new(memory.clone(), record_key(), Arc::new(KernelEntropy));
    crate::store::engine::audit::verify::verify(&records, Coverage::Log, Pace::Full).await.unwrap()
}

async fn keys(memory: &Arc<Memory>, letter: u8) -> Vec<KvEntry> {
    memory.scan(&[letter], None, 1000).await.unwrap().entries
}

async fn write(memory: &Arc<Memory>, write: Write) {
    memory.commit(Vec::new(), vec![write]).await.unwrap();
}

/// An organization that keeps its log for a day, beside one that keeps it for ever; both wrote entries two days ago, the
/// first also since.
async fn pruned_world() -> (World, Arc<Memory>, Caller) {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let other = world.another_admin("other").await;
    allow_days(&world, 1).await;
    keep_for_days(&world, &world.admin, 1).await;
    for i in 0..60 {
        world.shared(&format!("old-{i}"), "1").await;
        if i % 20 == 0 {
            let new = new_secret(&format!("kept-{i}"), ScopeKind::Shared, "1");
            world.store.create_secret(&other, new, None).await.unwrap();
        }
    }
    world.clock.advance(DAY * 2);
    for i in 0..5 {
        world.shared(&format!("new-{i}"), "1").await;
    }
    world.store.prune_audit().await.unwrap();
    (world, memory, other)
}

#[tokio::test]
async fn old_entries_are_removed_only_where_the_organization_says_so() {
    let (world, memory, other) = pruned_world().await;
    let own = events(&world.store, &world.admin).await;
    assert_eq!((count(&own, "secret.create"), count(&own, "audit.prune")), (5, own.len() - 5));
    let pruned: u64 = own
        .iter()
        .filter_map(|event| {
            event.details.get(&crate::domain::audit::DetailKey::Count)?.as_str().parse::<u64>().ok()
        })
        .sum();
    assert!(pruned >= 61, "{pruned}");
    assert_eq!(count(&events(&world.store, &other).await, "secret.create"), 3);
    let verification = verify(&memory).await;
    assert!(verification.ok, "{verification:?}");
    // The runs between what is kept are a pruned run each.
    assert!(keys(&memory, b'D').await.len() <= 4);
    assert!(keys(&memory, b'a').await.len() < 35, "{}", keys(&memory, b'a').await.len());
    // A second pass finds nothing, and a later one extends the runs.
    let before = keys(&memory, b'a').await.len();
    world.store.prune_audit().await.unwrap();
    assert_eq!(keys(&memory, b'a').await.len(), before);
    world.clock.advance(DAY * 2);
    for i in 0..20 {
        world.shared(&format!("newer-{i}"), "1").await;
    }
    world.clock.advance(DAY * 2);
    world.store.prune_audit().await.unwrap();
    assert!(verify(&memory).await.ok);
    assert!(keys(&memory, b'D').await.len() <= 4);
    // A process that begins later anchors the pruned chain.
    let store = world.another().await;
    store.create_secret(&world.admin, new_secret("later", ScopeKind::Shared, "1"), None).await.unwrap();
    let verification = verify(&memory).await;
    assert!(verification.ok, "{verification:?}");
}

#[tokio::test]
async fn every_change_of_a_pruned_log_is_found() {
    let (_world, memory, _) = pruned_world().await;
    let (entries, runs) = (keys(&memory, b'a').await, keys(&memory, b'D').await);
    assert!(!runs.is_empty());
    for KvEntry { key, value, .. } in entries.iter().chain(&runs) {
        write(&memory, Write::Delete(key.clone())).await;
        assert!(!verify(&memory).await.ok, "a deleted record");
        let mut changed = value.clone();
        *changed.last_mut().unwrap() ^= 1;
        write(&memory, Write::Put(key.clone(), changed)).await;
        assert!(!verify(&memory).await.ok, "a changed record");
        write(&memory, Write::Put(key.clone(), value.clone())).await;
    }
    assert!(verify(&memory).await.ok);
    // A pruned run that hides more than was pruned, sealed under the record key itself, without its MAC.
    let records = Records::new(memory.clone(), record_key(), Arc::new(KernelEntropy));
    let (chain, end) = tables::pruned_parts(&runs[0].key).unwrap();
    let run: tables::PrunedRun = records.open(&runs[0].key, &runs[0].value).unwrap();
    let forged = tables::PrunedRun { begin: run.begin + 1, ..run.clone() };
    let key = tables::pruned(&chain, end);
    let plain = crate::store::engine::format::encode(&forged).unwrap();
    write(&memory, Write::Put(key.to_vec(), records.seal(key.bytes(), &plain))).await;
    assert!(!verify(&memory).await.ok, "a forged run");
    // The same entries, as of another chain.
    assert!(!pruned::is_authentic_run(&records, &[9; 16], end, &run));
}

#[tokio::test]
async fn without_a_policy_nothing_is_pruned() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    world.shared("old", "1").await;
    world.clock.advance(DAY * 3650);
    let before = keys(&memory, b'a').await.len();
    world.store.prune_audit().await.unwrap();
    assert_eq!(keys(&memory, b'a').await.len(), before);
}

/// An admin who keeps the log for a day removes the record of what they did before anybody has looked.
#[tokio::test]
async fn an_admin_keeps_entries_for_as_long_as_the_operator_demands() {
    let world = World::new().await;
    let set = async |days| {
        let retention = RetentionChange { boots: None, audit: Some(days) };
        let change = PolicyChange { retention, ..PolicyChange::default() };
        world.store.set_policy(&world.admin, change).await
    };
    let error = set(29).await.unwrap_err();
    assert_eq!(error.code(), Code::Unprocessable);
    assert!(error.to_string().contains("30 days") && error.hint().unwrap().contains("operator"), "{error}");
    set(30).await.unwrap();
    world.shared("mine", "1").await;
    world.clock.advance(DAY * 29);
    world.store.prune_audit().await.unwrap();
    assert_eq!(count(&events(&world.store, &world.admin).await, "secret.create"), 1);
    // What the operator demands later holds for a shorter retention that was chosen before.
    allow_days(&world, 60).await;
    world.clock.advance(DAY * 2);
    world.store.prune_audit().await.unwrap();
    assert_eq!(count(&events(&world.store, &world.admin).await, "secret.create"), 1);
    assert_eq!(set(59).await.unwrap_err().code(), Code::Unprocessable);
    allow_days(&world, 0).await;
    world.store.prune_audit().await.unwrap();
    assert_eq!(count(&events(&world.store, &world.admin).await, "secret.create"), 0);
    set(1).await.unwrap();
    set(0).await.unwrap();
}
