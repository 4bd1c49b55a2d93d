//! The byte store in memory: complete, and lost when the process ends. For tests and throwaway stores.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    BoxFuture, CommitError, Kv, KvEntry, KvHealth, KvLookup, KvPage, KvReadError, KvSnapshot, Limits, Outage,
    Precondition, Revision, SnapshotError, Trouble, Write,
};

/// The byte store in memory.
pub struct Memory {
    state: Arc<Mutex<MemoryState>>,
    limits: Limits,
}

type MemoryEntries = BTreeMap<Vec<u8>, (Vec<u8>, Revision)>;

#[derive(Default)]
struct MemoryState {
    /// Shared with open snapshots: the first commit after one was taken copies the entries.
    entries: Arc<MemoryEntries>,
    revision: Revision,
    closed: bool,
}

struct MemorySnapshot {
    state: Arc<Mutex<MemoryState>>,
    entries: Arc<MemoryEntries>,
    revision: Revision,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        Memory::with_limits(Limits::EMBEDDED)
    }

    /// An empty store with other limits, for tests of callers.
    pub fn with_limits(limits: Limits) -> Memory {
        Memory { state: Arc::default(), limits }
    }

    fn read<T>(&self, read: impl FnOnce(&MemoryState) -> T) -> Result<T, KvReadError> {
        // One lock for each read, so that all of its entries are of one revision.
        let state = lock(&self.state);
        match state.closed {
            true => Err(KvReadError::Unavailable(Outage::Closed)),
            false => Ok(read(&state)),
        }
    }

    fn apply(&self, preconditions: &[Precondition], writes: Vec<Write>) -> Result<Revision, CommitError> {
        self.limits.check(preconditions, &writes)?;
        let mut state = lock(&self.state);
        if state.closed {
            return Err(CommitError::Unavailable(Outage::Closed));
        }
        let revision_of = |key: &[u8]| state.entries.get(key).map(|(_, revision)| *revision);
        let failed: Vec<usize> = (0..)
            .zip(preconditions)
            .filter(|(_, p)| !p.holds(revision_of(p.key())))
            .map(|(i, _)| i)
            .collect();
        // All of them are reported, as the trait demands, and not only the first.
        if !failed.is_empty() {
            return Err(CommitError::Conflict { failed });
        }
        state.write(writes);
        Ok(state.revision)
    }
}

fn lock(state: &Mutex<MemoryState>) -> MutexGuard<'_, MemoryState> {
    // Nothing that runs under the lock can leave the state half changed, so that a poisoned lock is as good.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Kv for Memory {
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<KvLookup, KvReadError>> {
        Box::pin(async move {
            self.read(|state| {
                let found = keys.iter().map(|key| state.entries.get_key_value(key).map(entry)).collect();
                (found, state.revision)
            })
        })
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>> {
        Box::pin(async move { self.read(|state| page(&state.entries, prefix, after, limit, state.revision)) })
    }

    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move { self.apply(&preconditions, writes) })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn KvSnapshot>, KvReadError>> {
        Box::pin(async move {
            self.read(|state| {
                // The next commit copies all entries. That is fine for tests, and costs nothing without a snapshot.
                let entries = Arc::clone(&state.entries);
                let state = (Arc::clone(&self.state), state.revision);
                Box::new(MemorySnapshot { state: state.0, entries, revision: state.1 }) as Box<dyn KvSnapshot>
            })
        })
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn health(&self) -> BoxFuture<'_, KvHealth> {
        Box::pin(async move {
            let revision = self.read(|state| state.revision).ok();
            let trouble = revision.is_none().then_some(Trouble::Unavailable(Outage::Closed));
            KvHealth { trouble, revision, bytes: None }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            lock(&self.state).closed = true;
        })
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

fn entry((key, (value, revision)): (&Vec<u8>, &(Vec<u8>, Revision))) -> KvEntry {
    KvEntry { key: key.clone(), value: value.clone(), revision: *revision }
}

fn page(
    entries: &MemoryEntries,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
    revision: Revision,
) -> KvPage {
    let start = match after {
        // An `after` below the prefix starts at the prefix, as in every other backend.
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    let rest = entries.range::<[u8], _>((start, Bound::Unbounded));
    let mut rest = rest.take_while(|(key, _)| key.starts_with(prefix));
    let entries = rest.by_ref().take(limit).map(entry).collect();
    KvPage { entries, more: rest.next().is_some(), revision }
}

impl KvSnapshot for MemorySnapshot {
    fn page<'a>(
        &'a mut self,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, SnapshotError>> {
        Box::pin(async move {
            match lock(&self.state).closed {
                true => Err(KvReadError::Unavailable(Outage::Closed).into()),
                false => Ok(page(&self.entries, b"", after, limit, self.revision)),
            }
        })
    }
}

impl MemoryState {
    /// Makes the changes. They take the next revision if any of them changes something.
    fn write(&mut self, writes: Vec<Write>) {
        let revision = self.revision + 1;
        let entries = Arc::make_mut(&mut self.entries);
        for write in writes {
            let changed = match write {
                Write::Put(key, value) => {
                    entries.insert(key, (value, revision));
                    true
                }
                Write::Delete(key) => entries.remove(&key).is_some(),
            };
            // A commit that only deletes absent keys takes no revision.
            if changed {
                self.revision = revision;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::conformance::{Place, suite};

    #[derive(Default)]
    struct Fresh;

    impl Place for Fresh {
        const KEEPS: bool = false;

        fn open(&self) -> BoxFuture<'_, Arc<dyn Kv>> {
            Box::pin(async { Arc::new(Memory::new()) as Arc<dyn Kv> })
        }
    }

    mod conformance {
        super::suite!(crate::kv::memory::tests::Fresh);
    }
}
