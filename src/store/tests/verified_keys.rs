//! The owner of the byte store puts an older record of the keys back. Whatever uses the keys refuses it before it does anything.

use super::tampering::{Rows, rows, write};
use super::*;
use crate::domain::audit::Outcome;
use crate::store::engine::audit::verify::Pace;
use crate::store::engine::audit::verify_tables::verify_tables;
use crate::store::tables::store as store_tables;

fn passphrase(text: &str) -> UnlockSecret {
    UnlockSecret::Passphrase(Zeroizing::new(text.to_owned()))
}

fn keys_row(rows: &Rows) -> Vec<u8> {
    rows[&store_tables::keys().to_vec()].clone()
}

async fn put_keys(world: &World, row: &Vec<u8>) {
    write(&world.kv, store_tables::keys().bytes(), Some(row)).await;
}

/// A store whose second key slot was removed, the record of the keys from before, and the one since.
async fn with_a_removed_slot() -> (World, Vec<u8>, Vec<u8>) {
    let world = World::new().await;
    world.shared("one", "1").await;
    let slot = world.store.add_keyslot(&world.operator, passphrase_slot("leaked")).await.unwrap();
    let before = keys_row(&rows(&world.kv).await);
    world.store.remove_keyslot(&world.operator, slot.id).await.unwrap();
    let now = keys_row(&rows(&world.kv).await);
    assert_ne!(before, now);
    (world, before, now)
}

async fn outcomes(store: &Store, caller: &Caller, action: &str, outcome: Outcome) -> usize {
    store.record_all_limited_events().await;
    let filter = AuditFilter { action: Some(action.into()), ..AuditFilter::default() };
    let found = store.audit(caller, &filter, PageAsk::default()).await.unwrap().items;
    found.iter().filter(|item| item.event.outcome == outcome).count()
}

#[tokio::test]
async fn a_removed_key_slot_that_was_put_back_unlocks_nothing() {
    let (world, before, now) = with_a_removed_slot().await;
    put_keys(&world, &before).await;
    // A server that has just started, and one that runs.
    for store in [world.another().await, world.store.clone()] {
        store.lock(&world.operator).await.unwrap();
        for text in ["leaked", PASSPHRASE] {
            let error = store.unlock(&world.operator, passphrase(text)).await.unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "{error}");
            assert!(store.is_locked());
        }
        assert!(outcomes(&store, &world.operator, "store.unlock", Outcome::Failed).await >= 2);
        let check = store.status(&world.operator).await.unwrap().state_check.unwrap();
        assert!(!check.ok && check.faults == 1);
    }
    // Recorded as a fault once, and not with each try.
    assert_eq!(outcomes(&world.store, &world.operator, "audit.verify", Outcome::Failed).await, 1);

    put_keys(&world, &now).await;
    assert!(world.verification().await.ok);
    world.unlock().await;
    let error = world.store.unlock(&world.operator, passphrase("leaked")).await.unwrap_err();
    assert_eq!(error.code(), Code::WrongPassphrase);
}

#[tokio::test]
async fn nothing_is_sealed_for_a_removed_key_slot_that_was_put_back() {
    let (world, before, now) = with_a_removed_slot().await;
    let slot = world.store.keyslots(&world.operator).await.unwrap()[0].id;
    put_keys(&world, &before).await;
    let stopped = world.another().await;
    let refused = [
        world.store.reencrypt_all(&world.operator).await.err(),
        world.store.reencrypt_compromised(&world.operator).await.err(),
        world.store.add_keyslot(&world.operator, passphrase_slot("third")).await.err(),
        world.store.remove_keyslot(&world.operator, slot).await.err(),
        stopped.remove_keyslot(&world.operator, slot).await.err(),
    ];
    for error in refused {
        assert_eq!(error.unwrap().code(), Code::Corrupt);
    }
    assert_eq!(keys_row(&rows(&world.kv).await), before, "nothing was written over it");
    for (action, count) in [("re_encrypt.start", 2), ("keyslot.add", 1), ("keyslot.remove", 2)] {
        assert_eq!(outcomes(&world.store, &world.operator, action, Outcome::Failed).await, count, "{action}");
    }
    put_keys(&world, &now).await;
    assert!(world.verification().await.ok);
    world.store.reencrypt_all(&world.operator).await.unwrap();
}

/// With the older generation, its release key would be used again.
#[tokio::test]
async fn an_older_generation_that_was_put_back_is_not_used() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let before = keys_row(&rows(&world.kv).await);
    world.store.reencrypt_compromised(&world.operator).await.unwrap();
    eventually(|| async { !world.store.reencrypt_progress(&world.operator).await.unwrap().running }).await;
    let now = keys_row(&rows(&world.kv).await);
    put_keys(&world, &before).await;
    let other = world.another().await;
    let error = other.unlock(&world.operator, passphrase(PASSPHRASE)).await.unwrap_err();
    assert_eq!(error.code(), Code::Corrupt);
    // The server that runs keeps the keys that it has.
    let error = world.store.add_keyslot(&world.operator, passphrase_slot("third")).await.unwrap_err();
    assert_eq!(error.code(), Code::Corrupt);
    assert_eq!(world.store.release().unwrap().ring.deposit_key().generation(), 2);
    put_keys(&world, &now).await;
    assert!(world.verification().await.ok);
    other.unlock(&world.operator, passphrase(PASSPHRASE)).await.unwrap();
}

/// A slot that is removed while a re-encryption is prepared must not come back with it.
#[tokio::test]
async fn a_run_that_was_put_back_drops_no_generation() {
    let world = World::new().await;
    world.shared("one", "1").await;
    world.store.reencrypt_all(&world.operator).await.unwrap();
    eventually(|| async { !world.store.reencrypt_progress(&world.operator).await.unwrap().running }).await;
    let before = rows(&world.kv).await;
    world.store.lock(&world.operator).await.unwrap();
    let run = store_tables::run().to_vec();
    assert!(!before.contains_key(&run));
    // As it was while the first one ran.
    let record = crate::store::tables::store::RunRecord::new(2);
    let plain = crate::store::engine::format::encode(&record).unwrap();
    let sealed = world.store.records().seal(&run, &plain);
    write(&world.kv, &run, Some(&sealed)).await;
    let error = world.store.unlock(&world.operator, passphrase(PASSPHRASE)).await.unwrap_err();
    assert_eq!(error.code(), Code::Corrupt);
}

/// A verification of the keys continues where the last one ended, whatever became of its record.
#[tokio::test]
async fn what_was_verified_before_is_not_read_again_and_cannot_be_misused() {
    let (world, removed, now) = with_a_removed_slot().await;
    let entries = async || verify(&world).await.unwrap().0.entries;
    let none = rows(&world.kv).await;
    let some = |count: u64| (0..count).map(move |i| format!("more-{count}-{i}"));
    for name in some(1001) {
        world.shared(&name, "1").await;
    }
    world.store.settle_all().await.unwrap();
    let all = entries().await;
    assert!(all > 1000);
    let again = entries().await;
    assert!(again < 100, "{again} of {all}");
    let verified = b"j".to_vec();
    let older = rows(&world.kv).await[&verified].clone();
    assert!(!none.contains_key(&verified));
    for name in some(1002) {
        world.shared(&name, "1").await;
    }
    let newer = entries().await;
    assert!(newer > 1001 && newer < all + 1002, "{newer} of {all}");
    // With the older record, none, and a damaged one, the keys that were put back are found, and the newest are not.
    let newest = rows(&world.kv).await[&verified].clone();
    let damaged = vec![7; 100];
    for record in [Some(&newest), Some(&older), None, Some(&damaged)] {
        for (keys, is_ok) in [(&removed, false), (&now, true)] {
            write(&world.kv, &verified, record).await;
            put_keys(&world, keys).await;
            let (verification, _) = verify(&world).await.unwrap();
            assert_eq!((verification.ok, verification.rows.unwrap().faults.is_empty()), (is_ok, is_ok));
        }
    }
    // The log is shorter than it was.
    write(&world.kv, &verified, Some(&newest)).await;
    world.store.close_journal_only().await;
    let now = rows(&world.kv).await;
    let is_log = |key: &[u8]| key[0] == b'A' || key[0] == b'a';
    for (key, _) in now.iter().filter(|(key, _)| is_log(key)) {
        write(&world.kv, key, none.get(key)).await;
    }
    let (verification, _) = verify(&world).await.unwrap();
    let fault = verification.chains[0].fault.clone().unwrap();
    assert!(!verification.ok && fault.contains("when it was verified"), "{fault}");
}

async fn verify(world: &World) -> Result<(Verification, Rows), crate::store::engine::failure::Failure> {
    let records = Records::new(Arc::clone(&world.kv), record_key(), Arc::new(KernelEntropy));
    verify_tables(&records, b"IKR", Pace::Full).await
}

/// Every entry, head and count counts: without one, nobody could tell which record of the keys is the newest.
#[tokio::test]
async fn a_log_that_lacks_a_row_or_has_an_older_one_proves_nothing() {
    let (world, ..) = with_a_removed_slot().await;
    let before = rows(&world.kv).await;
    world.shared("two", "2").await;
    // Another chain, which anchors the first one.
    let other = world.another().await;
    unlock(&other).await;
    other.close_journal_only().await;
    let now = rows(&world.kv).await;
    let is_log = |key: &[u8]| [b'A', b'a', b'G'].contains(&key[0]);
    let (mut lacking, mut older) = (0, 0);
    for (key, row) in now.iter().filter(|(key, _)| is_log(key)) {
        // With an older count, no chain is missing.
        let replayed = before.get(key).filter(|before| *before != row && key[0] != b'G');
        for changed in [Some(None), replayed.map(Some)].into_iter().flatten() {
            write(&world.kv, key, changed).await;
            assert!(!verify(&world).await.unwrap().0.ok, "{}", key[0] as char);
            *(if changed.is_none() { &mut lacking } else { &mut older }) += 1;
            write(&world.kv, key, Some(row)).await;
        }
    }
    assert!(verify(&world).await.unwrap().0.ok);
    assert!(lacking > 8 && older > 0, "{lacking} {older}");
}

/// What retention removes keeps its rows, whether the log was verified before or between.
#[tokio::test]
async fn pruned_entries_still_name_the_keys() {
    let day = Duration::from_secs(24 * 3600);
    let world = World::new().await;
    let change = QuotasChange { min_audit_days: Some(1), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), change).await.unwrap();
    let retention = RetentionChange { boots: None, audit: Some(1) };
    let change = PolicyChange { retention, ..PolicyChange::default() };
    world.store.set_policy(&world.admin, change).await.unwrap();
    for round in 0..3 {
        for i in 0..400 {
            world.shared(&format!("secret-{round}-{i}"), "1").await;
        }
        let slot = world.store.add_keyslot(&world.operator, passphrase_slot("extra")).await.unwrap();
        for i in 0..400 {
            world.shared(&format!("later-{round}-{i}"), "1").await;
        }
        assert!(verify(&world).await.unwrap().0.ok);
        world.store.remove_keyslot(&world.operator, slot.id).await.unwrap();
        for i in 0..400 {
            world.shared(&format!("last-{round}-{i}"), "1").await;
        }
        world.clock.advance(day * 2);
        world.store.prune_audit().await.unwrap();
        world.shared(&format!("after-{round}"), "1").await;
        let (verification, _) = verify(&world).await.unwrap();
        assert!(verification.ok, "{:?}", verification.chains);
        world.lock().await;
        world.unlock().await;
    }
}

/// The record of the regular verification, which is sealed and not in the log, cannot keep servers from verifying.
#[tokio::test]
async fn a_damaged_record_of_the_last_verification_stops_nothing() {
    let world = World::new().await;
    world.store.check_state_if_due().await.unwrap();
    write(&world.kv, b"h", Some(&vec![7; 100])).await;
    let status = world.store.status(&world.operator).await.unwrap();
    assert!(!status.state_check.unwrap().ok);
    world.store.check_state_if_due().await.unwrap();
    assert!(world.store.status(&world.operator).await.unwrap().state_check.unwrap().ok);
}
