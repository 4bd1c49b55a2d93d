//! Random operations, each compared with a map that does the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Place;
use super::snapshots::pages;
use crate::kv::{CommitError, Kv, KvEntry, Limits, Precondition, Revision, Write};

type Key = Vec<u8>;

#[derive(Clone, Debug)]
enum Operation {
    Commit { preconditions: Vec<(Key, Expectation)>, writes: Vec<(Key, Option<Vec<u8>>)> },
    Get(Vec<Key>),
    Scan { prefix: Key, after: Option<Key>, limit: usize },
    Snapshot { limit: usize },
    Reopen,
}

/// Of a precondition: mostly ones that hold.
#[derive(Clone, Copy, Debug)]
enum Expectation {
    AsItIs,
    Absent,
    At(Revision),
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<Key, (Vec<u8>, Revision)>,
    revision: Revision,
}

pub(crate) fn run<P: Place>() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A store that is kept costs a disk's time for each commit.
    let cases = if P::KEEPS { 32 } else { 512 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&vec(operation(), 1..60), |operations| {
        runtime.block_on(replay(&P::default(), operations));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

// Few bytes and short keys, so that operations meet.
fn key() -> impl Strategy<Value = Key> {
    vec(prop_oneof![Just(0_u8), Just(b'a'), Just(0xff)], 1..4)
}

fn prefix() -> impl Strategy<Value = Key> {
    vec(prop_oneof![Just(0_u8), Just(b'a'), Just(0xff)], 0..3)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..40), 1 => Just(vec![0x5a; 5000])]
}

fn operation() -> impl Strategy<Value = Operation> {
    let expectation = prop_oneof![6 => Just(Expectation::AsItIs), 1 => Just(Expectation::Absent), 1 => (0..50_u64).prop_map(Expectation::At)];
    let commit =
        (vec((key(), expectation), 0..3), vec((key(), proptest::option::weighted(0.7, value())), 0..5))
            .prop_map(|(preconditions, writes)| Operation::Commit { preconditions, writes });
    let scan = (prefix(), proptest::option::of(prefix()), 0..12_usize)
        .prop_map(|(prefix, after, limit)| Operation::Scan { prefix, after, limit });
    prop_oneof![
        12 => commit,
        3 => vec(prefix(), 0..5).prop_map(Operation::Get),
        5 => scan,
        1 => (1..12_usize).prop_map(|limit| Operation::Snapshot { limit }),
        1 => Just(Operation::Reopen),
    ]
}

async fn replay<P: Place>(place: &P, operations: Vec<Operation>) {
    let mut kv = place.open().await;
    let mut model = Model { revision: kv.get(&[]).await.unwrap().1, ..Model::default() };
    for operation in operations {
        match operation {
            Operation::Commit { preconditions, writes } => model.commit(&kv, preconditions, writes).await,
            Operation::Get(keys) => {
                let expected = keys.iter().map(|key| model.entry(key)).collect();
                assert_eq!(kv.get(&keys).await, Ok((expected, model.revision)));
            }
            Operation::Scan { prefix, after, limit } => {
                model.scan(&kv, &prefix, after.as_deref(), limit).await
            }
            Operation::Snapshot { limit } => model.snapshot(&kv, limit).await,
            Operation::Reopen if P::KEEPS => {
                kv.close().await;
                kv = place.open().await;
            }
            Operation::Reopen => {}
        }
    }
    model.scan(&kv, b"", None, 1000).await;
    model.snapshot(&kv, 100).await;
    kv.close().await;
}

impl Model {
    async fn commit(
        &mut self,
        kv: &Arc<dyn Kv>,
        preconditions: Vec<(Key, Expectation)>,
        writes: Vec<(Key, Option<Vec<u8>>)>,
    ) {
        let preconditions: Vec<_> =
            preconditions.into_iter().map(|(key, expected)| self.precondition(key, expected)).collect();
        let writes: Vec<_> = writes
            .into_iter()
            .map(|(key, value)| match value {
                Some(value) => Write::Put(key, value),
                None => Write::Delete(key),
            })
            .collect();
        let found = kv.commit(preconditions.clone(), writes.clone()).await;

        if let Err(error) = Limits::EMBEDDED.check(&preconditions, &writes) {
            assert_eq!(found, Err(error));
            return;
        }
        let failed: Vec<_> =
            (0..preconditions.len()).filter(|index| !self.holds(&preconditions[*index])).collect();
        if !failed.is_empty() {
            assert_eq!(found, Err(CommitError::Conflict { failed }));
            return;
        }
        let found = found.unwrap();
        let before = std::mem::replace(&mut self.revision, found);
        match self.write(found, writes) {
            true => assert!(found > before),
            false => assert_eq!(found, before),
        }
    }

    fn precondition(&self, key: Key, expected: Expectation) -> Precondition {
        match (expected, self.entries.get(&key)) {
            (Expectation::AsItIs, Some((_, revision))) => Precondition::At(key, *revision),
            (Expectation::AsItIs, None) | (Expectation::Absent, _) => Precondition::Absent(key),
            (Expectation::At(revision), _) => Precondition::At(key, revision),
        }
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Absent(key) => !self.entries.contains_key(key),
            Precondition::At(key, revision) => {
                self.entries.get(key).is_some_and(|entry| entry.1 == *revision)
            }
        }
    }

    /// Whether any of the writes changed something.
    fn write(&mut self, revision: Revision, writes: Vec<Write>) -> bool {
        let mut changed = false;
        for write in writes {
            changed |= match write {
                Write::Put(key, value) => {
                    self.entries.insert(key, (value, revision));
                    true
                }
                Write::Delete(key) => self.entries.remove(&key).is_some(),
            };
        }
        changed
    }

    async fn scan(&self, kv: &Arc<dyn Kv>, prefix: &[u8], after: Option<&[u8]>, limit: usize) {
        let all: Vec<_> = self
            .entries
            .keys()
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| &key[..] > after))
            .collect();
        let page = kv.scan(prefix, after, limit).await.unwrap();
        assert!(page.entries.len() <= limit);
        assert!(limit == 0 || all.is_empty() || !page.entries.is_empty());
        assert_eq!(page.more, page.entries.len() < all.len());
        assert_eq!(page.revision, self.revision);
        let expected: Vec<_> = all[..page.entries.len()].iter().filter_map(|key| self.entry(key)).collect();
        assert_eq!(page.entries, expected);
    }

    async fn snapshot(&self, kv: &Arc<dyn Kv>, limit: usize) {
        let (found, pages) = pages(&mut *kv.snapshot().await.unwrap(), limit).await;
        assert!(found.into_iter().eq(self.entries.keys().filter_map(|key| self.entry(key))));
        assert!(pages.iter().all(|page| page.revision == self.revision && page.entries.len() <= limit));
    }

    fn entry(&self, key: &Key) -> Option<KvEntry> {
        let (value, revision) = self.entries.get(key)?;
        Some(KvEntry { key: key.clone(), value: value.clone(), revision: *revision })
    }
}
