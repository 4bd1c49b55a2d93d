//! Checkpoints of the audit log: what they prove stays provable, whatever the store removes from its log by itself.

use std::collections::BTreeMap;

use super::*;
use crate::crypto::checkpoint_file::{CheckpointFile, Continuity};
use crate::store::engine::audit::{pruned, tables};
use crate::store::engine::format::encode;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn checkpoint(world: &World, since: Option<&CheckpointFile>) -> CheckpointFile {
    let sizes: BTreeMap<String, u64> = since
        .iter()
        .flat_map(|file| &file.chains)
        .map(|(chain, known)| (chain.clone(), known.head.size))
        .collect();
    let text = world.store.checkpoint_audit(&world.operator, &sizes).await.unwrap();
    let file = CheckpointFile::parse(&text).unwrap();
    assert_eq!(file.find_unsigned(&file.key), None);
    file
}

fn states(old: &CheckpointFile, new: &CheckpointFile) -> Vec<Continuity> {
    old.compare(new).into_iter().map(|chain| chain.state).collect()
}

async fn prune(world: &World) {
    let quotas = QuotasChange { min_audit_days: Some(1), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), quotas).await.unwrap();
    let retention = RetentionChange { boots: None, audit: Some(1) };
    let change = PolicyChange { retention, ..PolicyChange::default() };
    world.store.set_policy(&world.admin, change).await.unwrap();
    world.clock.advance(DAY * 2);
    world.store.prune_audit().await.unwrap();
}

#[tokio::test]
async fn each_checkpoint_is_continued_by_all_later_ones() {
    let world = World::new().await;
    let mut files = vec![checkpoint(&world, None).await];
    for i in 0..20 {
        world.shared(&format!("s-{i}"), "1").await;
        if i % 7 == 0 {
            // A chain of its own, which ends.
            let store = world.another().await;
            store
                .create_secret(&world.admin, new_secret(&format!("o-{i}"), ScopeKind::Shared, "1"), None)
                .await
                .unwrap();
            store.close_journal_only().await;
        }
        for old in &files {
            let new = checkpoint(&world, Some(old)).await;
            assert_eq!(states(old, &new), vec![Continuity::Continued; old.chains.len()]);
        }
        files.push(checkpoint(&world, None).await);
    }
    assert_eq!(files.last().unwrap().chains.len(), 4);
    // The key is that of the record key, on each server.
    assert_eq!(files[0].key, checkpoint(&world, None).await.key);
}

#[tokio::test]
async fn pruning_takes_nothing_from_earlier_checkpoints() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let other = world.another_admin("other").await;
    for i in 0..60 {
        world.shared(&format!("old-{i}"), "1").await;
        if i % 20 == 0 {
            let new = new_secret(&format!("kept-{i}"), ScopeKind::Shared, "1");
            world.store.create_secret(&other, new, None).await.unwrap();
        }
    }
    let before = checkpoint(&world, None).await;
    let entries = memory.scan(b"a", None, 1000).await.unwrap().entries.len();
    prune(&world).await;
    let left = memory.scan(b"a", None, 1000).await.unwrap().entries.len();
    assert!(left < entries / 2 && !memory.scan(b"D", None, 9).await.unwrap().entries.is_empty());
    let after = checkpoint(&world, Some(&before)).await;
    assert_eq!(states(&before, &after), [Continuity::Continued]);
    // A second time, which extends what the first left.
    for i in 0..20 {
        world.shared(&format!("new-{i}"), "1").await;
    }
    let between = checkpoint(&world, None).await;
    prune(&world).await;
    for old in [&before, &between] {
        assert_eq!(states(old, &checkpoint(&world, Some(old)).await), [Continuity::Continued]);
    }
}

/// A store in which an older program has pruned: its stubs and checkpoints have no leaves.
#[tokio::test]
async fn what_an_older_program_has_pruned_keeps_its_place_in_the_tree() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    for i in 0..60 {
        world.shared(&format!("old-{i}"), "1").await;
    }
    let records = Records::new(memory.clone(), record_key(), Arc::new(KernelEntropy));
    let mut run: Option<tables::PrunedRun> = None;
    let mut leaves = std::collections::BTreeSet::new();
    // Oldest first: a checkpoint of ten entries, and stubs after it.
    let entries = memory.scan(b"a", None, 1000).await.unwrap().entries;
    for KvEntry { key, value, .. } in entries.into_iter().rev() {
        let (at, chain, seq) = tables::entry_parts(&key).unwrap();
        let entry: tables::Entry = records.open(&key, &value).unwrap();
        let write = match seq {
            1..11 => {
                let (begin, before) = run.map_or((seq, entry.previous), |run| (run.begin, run.before));
                let (rows, leaves) = (Vec::new(), Vec::new());
                let own = tables::PrunedRun {
                    begin,
                    end: seq + 1,
                    before,
                    last: entry.mac,
                    mac: [0; 32],
                    rows,
                    leaves,
                };
                run = Some(pruned::with_mac(&records, &chain, own));
                Write::Delete(key)
            }
            11..20 => {
                let stub = pruned::stub_without_body(&records, &chain, seq, at, &entry);
                assert!(leaves.insert(stub.read_stub().unwrap().leaf), "each commits to its entry");
                Write::Put(key.clone(), records.seal(&key, &encode(&stub).unwrap()))
            }
            _ => continue,
        };
        memory.commit(Vec::new(), vec![write]).await.unwrap();
        if seq == 10 {
            let run = run.as_ref().unwrap();
            let key = tables::pruned(&chain, run.end);
            let sealed = records.seal(key.bytes(), &encode(run).unwrap());
            memory.commit(Vec::new(), vec![Write::Put(key.to_vec(), sealed)]).await.unwrap();
        }
    }
    let before = checkpoint(&world, None).await;
    assert_eq!(states(&before, &checkpoint(&world, Some(&before)).await), [Continuity::Continued]);
    prune(&world).await;
    let checkpoints = memory.scan(b"D", None, 9).await.unwrap().entries;
    assert_eq!(checkpoints.len(), 2, "the older program's stays as it is");
    assert_eq!(states(&before, &checkpoint(&world, Some(&before)).await), [Continuity::Continued]);
}

#[tokio::test]
async fn a_damaged_log_is_not_signed() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    for i in 0..5 {
        world.shared(&format!("s-{i}"), "1").await;
    }
    let entries = memory.scan(b"a", None, 1000).await.unwrap().entries;
    let KvEntry { key, value, .. } = entries[3].clone();
    memory.commit(Vec::new(), vec![Write::Delete(key.clone())]).await.unwrap();
    let error = world.store.checkpoint_audit(&world.operator, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::Corrupt);
    memory.commit(Vec::new(), vec![Write::Put(key, value)]).await.unwrap();
    checkpoint(&world, None).await;
}

fn own(store: &Store) -> CheckpointFile {
    let file = CheckpointFile::parse(&store.own_checkpoint().unwrap()).unwrap();
    assert_eq!((file.find_unsigned(&file.key), file.chains.len()), (None, 1));
    file
}

#[tokio::test]
async fn the_checkpoint_for_machines_is_that_of_the_own_chain_and_signed_once_a_minute() {
    let world = World::new().await;
    let mut files = Vec::new();
    for i in 0..20 {
        world.shared(&format!("s-{i}"), "1").await;
        let file = own(&world.store);
        let (chain, known) = file.chains.first_key_value().unwrap();
        world.shared(&format!("t-{i}"), "1").await;
        world.clock.advance(Duration::from_secs(59));
        assert_eq!(own(&world.store), file);
        world.clock.advance(Duration::from_secs(1));
        assert!(own(&world.store).chains[chain].head.size > known.head.size);
        files.push(file);
        world.clock.advance(Duration::from_secs(60));
    }
    for old in &files {
        assert_eq!(states(old, &checkpoint(&world, Some(old)).await), [Continuity::Continued]);
    }
    // Another server has a chain of its own, from its first entry on.
    let store = world.another().await;
    assert!(store.own_checkpoint().is_none());
    store.create_secret(&world.admin, new_secret("o", ScopeKind::Shared, "1"), None).await.unwrap();
    let other = own(&store);
    assert_eq!(states(&other, &checkpoint(&world, Some(&other)).await), [Continuity::Continued]);
    assert!(!other.chains.keys().any(|chain| files[0].chains.contains_key(chain)));
}

#[tokio::test]
async fn a_commit_of_an_unknown_outcome_never_leads_to_a_wrong_checkpoint() {
    for lost in 1..6 {
        let memory = Arc::new(Memory::new());
        let world = World::on(memory.clone()).await;
        let store = open(Faulty::after(&memory, lost, Fault::AnswerLost), world.clock.clone()).await;
        for i in 0..8 {
            let new = new_secret(&format!("s-{i}"), ScopeKind::Shared, "1");
            // One of them fails, although it is stored.
            let _ = store.create_secret(&world.admin, new, None).await;
            world.clock.advance(Duration::from_secs(61));
            if store.own_checkpoint().is_some() {
                let file = own(&store);
                assert_eq!(states(&file, &checkpoint(&world, Some(&file)).await), [Continuity::Continued]);
            }
        }
        assert!(store.own_checkpoint().is_some(), "which entries there are is known again");
    }
}
