//! The owner of the byte store replays, deletes, swaps and inserts rows. No boot releases a wrong value, and the verification finds
//! every row.

use std::collections::BTreeMap;

use super::*;
use crate::domain::audit::Outcome;
use crate::domain::secret::SecretMeta;
use crate::store::engine::audit::check::{self, CheckRecord};
use crate::store::engine::audit::rows::is_logged;
use crate::store::engine::audit::tables;
use crate::store::engine::audit::verify::{Coverage, Pace, verify};
use crate::store::engine::header;
use crate::store::tables::{scope_stamps, secrets as secret_tables};

/// The rows of a byte store, by key.
pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) async fn rows(kv: &Arc<dyn Kv>) -> Rows {
    let mut all = Rows::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = kv.scan(&[], after.as_deref(), 1000).await.unwrap();
        after = page.entries.last().map(|entry| entry.key.clone());
        all.extend(page.entries.into_iter().map(|entry| (entry.key, entry.value)));
        if !page.more {
            return all;
        }
    }
}

pub(super) async fn write(kv: &Arc<dyn Kv>, key: &[u8], value: Option<&Vec<u8>>) {
    let write = match value {
        Some(value) => Write::Put(key.to_vec(), value.clone()),
        None => Write::Delete(key.to_vec()),
    };
    kv.commit(Vec::new(), vec![write]).await.unwrap();
}

/// Everything that people and machines do, so that every table has rows.
async fn busy(world: &World) -> Caller {
    let bob = world.member("bob", Role::Member).await;
    for name in ["openai-api-key", "db-url", "stripe-key"] {
        world.shared(name, "shared value").await;
    }
    world.deposit(&bob, new_secret("openai-api-key", ScopeKind::Private, "bob's value")).await;
    world.boot(&bob).await;
    bob
}

async fn faults(world: &World) -> BTreeMap<(&'static str, &'static str), u64> {
    let records = Records::new(Arc::clone(&world.kv), record_key(), Arc::new(KernelEntropy));
    let found = verify(&records, Coverage::State, Pace::Full).await.unwrap();
    let rows = found.rows.unwrap();
    assert_eq!(found.ok, rows.faults.is_empty());
    rows.by_table().into_iter().map(|((table, kind), count)| ((table, kind.as_str()), count)).collect()
}

#[tokio::test]
async fn the_log_names_every_row_of_every_table() {
    let world = World::new().await;
    let bob = busy(&world).await;
    assert!(faults(&world).await.is_empty());
    world.store.settle_all().await.unwrap();
    let id = world.shared("deleted", "1").await;
    world.store.delete_secret(&world.admin, id, None).await.unwrap();
    world.boot(&bob).await;
    assert!(faults(&world).await.is_empty());
}

/// A replayed, a deleted and an inserted row of each table.
#[tokio::test]
async fn the_verification_finds_each_row_of_each_table() {
    let world = World::new().await;
    let bob = busy(&world).await;
    let mut before = rows(&world.kv).await;
    for _ in 0..2 {
        world.deposit(&bob, new_secret("db-url", ScopeKind::Private, "newer")).await;
        // Also what is deleted below.
        for (key, value) in rows(&world.kv).await {
            before.entry(key).or_insert(value);
        }
        world.boot(&bob).await;
        busy_again(&world, &bob).await;
    }
    // Nothing writes any more.
    world.store.close_journal_only().await;
    let now = rows(&world.kv).await;
    let (mut replayed, mut deleted, mut inserted) = (0, 0, 0);
    for (key, value) in &now {
        if !is_logged(key) {
            continue;
        }
        write(&world.kv, key, None).await;
        assert_eq!(faults(&world).await.values().sum::<u64>(), 1, "a deleted {}", key[0] as char);
        deleted += 1;
        if let Some(older) = before.get(key).filter(|older| *older != value) {
            write(&world.kv, key, Some(older)).await;
            let found = faults(&world).await;
            assert!(found.keys().all(|(_, kind)| *kind == "replaced") && found.len() == 1, "{found:?}");
            replayed += 1;
        }
        write(&world.kv, key, Some(value)).await;
        assert!(faults(&world).await.is_empty());
    }
    for (key, value) in before.iter().filter(|(key, _)| !now.contains_key(*key) && is_logged(key)) {
        write(&world.kv, key, Some(value)).await;
        let found = faults(&world).await;
        assert!(found.keys().all(|(_, kind)| *kind == "inserted") && found.len() == 1, "{found:?}");
        write(&world.kv, key, None).await;
        inserted += 1;
    }
    assert!(
        replayed > 3 && deleted > 30 && inserted > 0,
        "{replayed} replayed, {deleted} deleted, {inserted} inserted"
    );
}

async fn busy_again(world: &World, bob: &Caller) {
    let page = PageAsk::default();
    let found = world.store.list_secrets(bob, &SecretFilter::default(), page).await.unwrap();
    let is_own = |meta: &SecretMeta| meta.scope.kind() == ScopeKind::Private && meta.env.as_str() == "DB_URL";
    let own = found.items.iter().find(|secret| is_own(&secret.meta)).unwrap();
    world.store.delete_secret(bob, own.meta.id, None).await.unwrap();
}

/// What a boot of bob may receive at all: the newest of each name, private before shared.
#[tokio::test]
async fn a_boot_whose_scope_lost_a_row_or_holds_an_older_one_fails() {
    let world = World::new().await;
    let bob = busy(&world).await;
    let before = rows(&world.kv).await;
    world.deposit(&bob, new_secret("db-url", ScopeKind::Private, "newer")).await;
    world.store.settle_all().await.unwrap();
    let now = rows(&world.kv).await;
    let ticket = world.ticket(&bob).await;
    let is_secret = |key: &[u8]| key.first() == Some(&secret_tables::SECRETS.letter);
    let mut refused = 0;
    for (key, value) in now.iter().filter(|(key, _)| is_secret(key)) {
        for older in [None, before.get(key).filter(|older| *older != value)] {
            write(&world.kv, key, older).await;
            // A server that has read nothing yet.
            let store = open(Arc::clone(&world.kv), world.clock.clone()).await;
            unlock(&store).await;
            let error = store.boot(&ticket, BootAsk::default()).await.err().unwrap();
            assert_eq!(error.code(), Code::Corrupt, "{error}");
            let filter = AuditFilter { action: Some("boot".into()), ..AuditFilter::default() };
            let page = PageAsk { limit: Some(100), ..PageAsk::default() };
            store.record_all_limited_events().await;
            let boots = store.audit(&world.admin, &filter, page).await.unwrap().items;
            refused += 1;
            assert_eq!(boots.iter().filter(|boot| boot.event.outcome == Outcome::Failed).count(), refused);
            write(&world.kv, key, Some(value)).await;
        }
    }
    world.boot(&bob).await;
}

/// With the stamp rolled back too, a server that saw the newer one refuses, even if later changes have given the older stamp the
/// same version.
#[tokio::test]
async fn a_server_that_saw_a_newer_stamp_refuses_an_older_one() {
    let world = World::new().await;
    let bob = busy(&world).await;
    let ticket = world.ticket(&bob).await;
    world.store.settle_all().await.unwrap();
    let before = rows(&world.kv).await;
    world.deposit(&bob, new_secret("db-url", ScopeKind::Private, "newer")).await;
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    world.store.settle_all().await.unwrap();
    let is_scope =
        |key: &[u8]| [secret_tables::SECRETS.letter, scope_stamps::SCOPE_STAMPS.letter].contains(&key[0]);
    let now = rows(&world.kv).await;
    for (key, _) in now.iter().filter(|(key, value)| is_scope(key) && before.get(*key) != Some(*value)) {
        write(&world.kv, key, before.get(key)).await;
    }
    let refused = world.store.boot(&ticket, BootAsk::default()).await;
    assert_eq!(refused.err().unwrap().code(), Code::Corrupt);
    assert!(!faults(&world).await.is_empty());

    // This server does not build on what was rolled back. What others do in the same batch is done.
    let new = |name, scope| new_secret(name, scope, "1");
    let first = world.store.create_secret(&world.admin, new("first", ScopeKind::Shared), None);
    let own = world.store.create_secret(&bob, new("new-key", ScopeKind::Private), None);
    let second = world.store.create_secret(&world.admin, new("second", ScopeKind::Shared), None);
    let (first, refused, second) = tokio::join!(first, own, second);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(refused.unwrap_err().code(), Code::Corrupt);
    // Another server, which saw nothing newer, does: its stamp gets the version that this server has seen.
    let store = open(Arc::clone(&world.kv), world.clock.clone()).await;
    unlock(&store).await;
    store.create_secret(&bob, new("new-key", ScopeKind::Private), None).await.unwrap();
    store.close_journal_only().await;
    let refused = world.store.boot(&ticket, BootAsk::default()).await;
    assert_eq!(refused.err().unwrap().code(), Code::Corrupt);
}

/// The cache has the scope without the secret, and the stamp that the byte store has again.
#[tokio::test]
async fn a_stamp_that_is_put_back_as_a_server_has_cached_it_serves_no_older_scope() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let ticket = world.ticket(&bob).await;
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let before = rows(&world.kv).await;
    world.deposit(&bob, new_secret("db-url", ScopeKind::Private, "new")).await;
    let letters = [secret_tables::SECRETS.letter, scope_stamps::SCOPE_STAMPS.letter];
    for (key, _) in rows(&world.kv).await.iter().filter(|(key, _)| letters.contains(&key[0])) {
        write(&world.kv, key, before.get(key)).await;
    }
    let refused = world.store.boot(&ticket, BootAsk::default()).await;
    assert_eq!(refused.err().unwrap().code(), Code::Corrupt);
}

/// Many random histories, each with one change by the owner of the byte store.
#[tokio::test]
async fn random_histories_are_verified_and_random_changes_are_found() {
    // A linear congruential generator: the same histories in each run.
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..8 {
        let world = World::new().await;
        let bob = busy(&world).await;
        let mut past = vec![rows(&world.kv).await];
        for step in 0..6 {
            match random(4) {
                0 => drop(world.boot(&bob).await),
                1 => drop(world.shared(&format!("secret-{step}"), "1").await),
                2 => drop(
                    world.deposit(&bob, new_secret(&format!("own-{step}"), ScopeKind::Private, "1")).await,
                ),
                _ => world.store.settle_all().await.unwrap(),
            }
            past.push(rows(&world.kv).await);
        }
        world.store.close_journal_only().await;
        assert!(faults(&world).await.is_empty());
        let now = rows(&world.kv).await;
        let keys: Vec<&Vec<u8>> = past.iter().flat_map(Rows::keys).filter(|key| is_logged(key)).collect();
        for _ in 0..20 {
            let key = keys[random(keys.len())];
            let older = past[random(past.len())].get(key);
            if older == now.get(key) {
                continue;
            }
            write(&world.kv, key, older).await;
            assert_eq!(faults(&world).await.values().sum::<u64>(), 1);
            write(&world.kv, key, now.get(key)).await;
        }
        assert!(faults(&world).await.is_empty());
    }
}

/// The header is not sealed: lowered to an older format, it would make the next start record the rows as they are.
#[tokio::test]
async fn a_header_that_was_set_back_is_refused() {
    let world = World::new().await;
    busy(&world).await;
    world.store.close_journal_only().await;
    let key = header::HEADER.to_vec();
    let older = header::header_of_format(&record_key(), 4);
    write(&world.kv, &key, Some(&older)).await;
    let opened =
        Store::open(Arc::clone(&world.kv), record_key(), world.clock.clone(), Arc::new(KernelEntropy)).await;
    assert!(matches!(opened, Err(OpenError::Failure(crate::store::engine::failure::Failure::Corrupt))));
}

/// A store of an older format, whose log does not record rows: the first start records them, whenever it is cut short.
#[tokio::test]
async fn an_older_store_gets_its_rows_named_once() {
    for cut in 0..6 {
        let memory = Arc::new(Memory::new());
        let world = World::on(memory.clone()).await;
        let bob = busy(&world).await;
        world.store.close_journal_only().await;
        // Without its log, and with empty stamps, it is as an older program left it.
        let now = rows(&world.kv).await;
        for (key, _) in now.iter().filter(|(key, _)| !is_logged(key)) {
            write(&world.kv, key, None).await;
        }
        write(&world.kv, header::HEADER, Some(&header::header_of_format(&record_key(), 4))).await;
        let faulty = Faulty::after(&memory, cut, Fault::Full);
        let tried = Store::open(faulty, record_key(), world.clock.clone(), Arc::new(KernelEntropy)).await;
        drop(tried);
        let store = open(Arc::clone(&world.kv), world.clock.clone()).await;
        assert!(faults(&world).await.is_empty(), "cut short after {cut} commits");
        unlock(&store).await;
        let ticket = store.create_ticket(&bob, NewTicket::default(), None).await.unwrap().credential;
        let ticket = store.authenticate(&ticket, None).await.unwrap();
        assert_eq!(store.boot(&ticket, BootAsk::default()).await.unwrap().receipt.count(), 3);
        assert!(faults(&world).await.is_empty());
    }
}

/// The regular verification finds a replayed row, which is refused from then on, and can lock the store.
#[tokio::test]
async fn what_the_verification_finds_is_refused_and_can_lock_the_store() {
    let world = World::new().await;
    let bob = busy(&world).await;
    let ticket = world.ticket_for(&bob, NewTicket { uses: Some(1), ..NewTicket::default() }).await;
    let caller = world.store.authenticate(&ticket, None).await.unwrap();
    let before = rows(&world.kv).await;
    world.store.boot(&caller, BootAsk::default()).await.unwrap();
    let spent = world.store.boot(&caller, BootAsk::default()).await.err().unwrap();
    assert_eq!(spent.code(), Code::TicketSpent);
    let letter = crate::store::tables::tickets::TICKETS.letter;
    let now = rows(&world.kv).await;
    let (key, fresh) =
        now.iter().find(|(key, row)| key[0] == letter && before.get(*key) != Some(*row)).unwrap();
    write(&world.kv, key, before.get(key)).await;

    let check = world.store.check_state(Pace::Full).await.unwrap();
    assert!(!check.ok && check.rows.unwrap().faults.len() == 1);
    // A use is not to be had again.
    let refused = world.store.boot(&caller, BootAsk::default()).await.err().unwrap();
    assert_eq!(refused.code(), Code::Corrupt);
    let status = world.store.status(&world.operator).await.unwrap();
    let last = status.state_check.unwrap();
    assert!(!last.ok && last.faults == 1 && last.rows > 30 && last.ended_at.is_some() && !status.locked);
    // Another server that has not verified anything refuses the row too.
    let other = world.another().await;
    unlock(&other).await;
    other.check_state_if_due().await.unwrap();
    assert_eq!(other.boot(&caller, BootAsk::default()).await.err().unwrap().code(), Code::Corrupt);

    let locking = world.another().await.with_lock_on_fault(true);
    unlock(&locking).await;
    locking.check_state(Pace::Full).await.unwrap();
    assert!(locking.is_locked() && !other.is_locked());
    // The row is restored as it was.
    write(&world.kv, key, Some(fresh)).await;
    assert!(world.store.check_state(Pace::Full).await.unwrap().ok);
    let spent = world.store.boot(&caller, BootAsk::default()).await.err().unwrap();
    assert_eq!(spent.code(), Code::TicketSpent);
}

/// Whoever damages the record of the last verification would otherwise keep a used ticket usable.
#[tokio::test]
async fn a_damaged_record_of_the_last_verification_ends_no_verification() {
    let world = World::new().await;
    let bob = busy(&world).await;
    let ticket = world.ticket_for(&bob, NewTicket { uses: Some(1), ..NewTicket::default() }).await;
    let caller = world.store.authenticate(&ticket, None).await.unwrap();
    let before = rows(&world.kv).await;
    world.store.boot(&caller, BootAsk::default()).await.unwrap();
    world.store.check_state_if_due().await.unwrap();
    let letter = crate::store::tables::tickets::TICKETS.letter;
    for (key, row) in rows(&world.kv).await {
        if key[0] == letter && before.get(&key) != Some(&row) {
            write(&world.kv, &key, before.get(&key)).await;
        } else if key[0] == check::CHECK.letter {
            write(&world.kv, &key, Some(&row[1..].to_vec())).await;
        }
    }
    world.store.check_state_if_due().await.unwrap();
    assert_eq!(world.store.boot(&caller, BootAsk::default()).await.err().unwrap().code(), Code::Corrupt);
    let last = world.store.status(&world.operator).await.unwrap().state_check.unwrap();
    assert_eq!((last.ok, last.faults), (false, 1));
}

/// With an older count, the next chain takes a number that another one has.
#[tokio::test]
async fn a_count_of_chains_that_was_set_back_is_found() {
    let world = World::new().await;
    busy(&world).await;
    let key = tables::registry().to_vec();
    let before = rows(&world.kv).await;
    let start_chain = async |name: &str| {
        let new = new_secret(name, ScopeKind::Shared, "1");
        world.another().await.create_secret(&world.admin, new, None).await.unwrap();
    };
    start_chain("second-chain").await;
    assert!(world.verification().await.ok);
    write(&world.kv, &key, before.get(&key)).await;
    assert!(!world.verification().await.ok);
    start_chain("third-chain").await;
    assert!(!world.verification().await.ok);
}

/// One server verifies at a time, every ten minutes.
#[tokio::test]
async fn one_server_at_a_time_verifies_and_not_too_often() {
    let world = World::new().await;
    busy(&world).await;
    let started = async || world.store.records().last_check().await.unwrap().unwrap().0.started_at;
    world.store.check_state_if_due().await.unwrap();
    let first = started().await;
    world.clock.advance(Duration::from_secs(599));
    world.another().await.check_state_if_due().await.unwrap();
    assert_eq!(started().await, first);
    world.clock.advance(Duration::from_secs(1));
    world.another().await.check_state_if_due().await.unwrap();
    let (last, revision) = world.store.records().last_check().await.unwrap().unwrap();
    assert_eq!((last.started_at, last.period), (first.plus(Duration::from_secs(600)), Some(600_000)));
    // A server that begins at the same moment loses.
    let other = CheckRecord { started_at: world.clock.now(), ended_at: None, ..last };
    assert!(world.store.records().store_check(&other, Some(revision - 1)).await.unwrap().is_none());
}

/// A server notices at its next write that its own chain was cut, and compares all chains with what it saw.
/// The owner of the byte store puts an older one there for as long as a server compares, so that it never sees a longer log.
#[tokio::test]
async fn a_log_that_is_cut_whenever_it_is_compared_is_noticed() {
    let world = World::new().await;
    let bob = busy(&world).await;
    let before = rows(&world.kv).await;
    let earlier = world.store.follow_log_heads(None, None).await.unwrap();
    world.boot(&bob).await;
    let put = async |from: &Rows, to: &Rows| {
        for key in from.keys().chain(to.keys()).filter(|key| from.get(*key) != to.get(*key)) {
            write(&world.kv, key, to.get(key)).await;
        }
    };
    for seen in [None, Some(&*earlier)] {
        unlock(&world.store).await;
        let now = rows(&world.kv).await;
        put(&now, &before).await;
        assert!(world.store.follow_log_heads(seen, None).await.is_err() && world.store.is_locked());
        put(&before, &now).await;
        assert!(world.store.follow_log_heads(seen, None).await.is_ok());
    }
    put(&rows(&world.kv).await, &before).await;
    // What it keeps for its next start. Nothing was read after the boot.
    let known = world.store.known_log_heads(Some(&earlier));
    let other = world.another().await;
    assert!(other.follow_log_heads(Some(&earlier), None).await.is_ok());
    assert!(other.follow_log_heads(Some(&known), None).await.is_err());
}

#[tokio::test]
async fn a_log_that_is_shorter_than_a_server_has_seen_is_refused() {
    let world = World::new().await;
    let bob = busy(&world).await;
    let before = rows(&world.kv).await;
    let earlier = world.store.follow_log_heads(None, None).await.unwrap();
    world.boot(&bob).await;
    let seen = world.store.follow_log_heads(Some(&earlier), None).await.unwrap();
    assert!(seen != earlier && !world.store.is_locked());
    // The whole store is rolled back, so that every row fits its log.
    let now = rows(&world.kv).await;
    for key in now.keys().chain(before.keys()) {
        if now.get(key) != before.get(key) {
            write(&world.kv, key, before.get(key)).await;
        }
    }
    assert!(faults(&world).await.is_empty());
    let error = world.store.create_ticket(&bob, NewTicket::default(), None).await.err().unwrap();
    assert_eq!(error.code(), Code::Corrupt);

    // Another process that starts then, with the heads that the data folder has.
    let other = world.another().await;
    unlock(&other).await;
    assert!(other.follow_log_heads(Some(&seen), None).await.is_err() && other.is_locked());
    assert!(other.follow_log_heads(Some(&earlier), None).await.is_ok());
    // A chain that was cut and has grown again with other entries is not the same.
    for round in 0..20 {
        other
            .create_secret(&bob, new_secret(&format!("more-{round}"), ScopeKind::Private, "1"), None)
            .await
            .unwrap();
    }
    assert!(other.follow_log_heads(Some(&seen), None).await.is_err());
}
