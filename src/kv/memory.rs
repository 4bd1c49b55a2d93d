//! The byte store in memory: complete, and gone with the process. For tests and throwaway stores.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::feed::Feed;
use super::{
    BoxFuture, CommitError, Entry, Event, Found, Health, Kv, Limits, Outage, Page, Precondition, ReadError,
    Revision, Trouble, Watch, Write,
};

/// The byte store in memory.
pub struct Memory {
    state: Mutex<State>,
    feed: Arc<Feed>,
    limits: Limits,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, Revision)>,
    revision: Revision,
    closed: bool,
}

// === impl Memory ===

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        Memory::with_limits(Limits::EMBEDDED)
    }

    /// An empty store with other limits, to see how a caller keeps to them.
    pub fn with_limits(limits: Limits) -> Memory {
        Memory { state: Mutex::default(), feed: Feed::new(0), limits }
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, ReadError> {
        let state = self.lock();
        match state.closed {
            true => Err(ReadError::Unavailable(Outage::Closed)),
            false => Ok(read(&state)),
        }
    }

    fn apply(&self, preconditions: &[Precondition], writes: Vec<Write>) -> Result<Revision, CommitError> {
        self.limits.check(preconditions, &writes)?;
        let mut state = self.lock();
        if state.closed {
            return Err(CommitError::Unavailable(Outage::Closed));
        }
        let revision_of = |key: &[u8]| state.entries.get(key).map(|(_, revision)| *revision);
        let failed: Vec<usize> = (0..)
            .zip(preconditions)
            .filter(|(_, p)| !p.holds(revision_of(p.key())))
            .map(|(i, _)| i)
            .collect();
        if !failed.is_empty() {
            return Err(CommitError::Conflict { failed });
        }
        let event = state.write(writes);
        if !event.puts.is_empty() || !event.deletes.is_empty() {
            state.revision = event.revision;
            // Under the lock, so that events are published in the order of their revisions.
            self.feed.publish([event]);
        }
        Ok(state.revision)
    }

    /// Nothing that runs under the lock can leave it half changed, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Kv for Memory {
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<Found, ReadError>> {
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
    ) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(async move {
            self.read(|state| {
                let start = match after {
                    Some(after) if after >= prefix => Bound::Excluded(after),
                    _ => Bound::Included(prefix),
                };
                let mut rest = state
                    .entries
                    .range::<[u8], _>((start, Bound::Unbounded))
                    .take_while(|(key, _)| key.starts_with(prefix));
                let entries = rest.by_ref().take(limit).map(entry).collect();
                Page { entries, more: rest.next().is_some(), revision: state.revision }
            })
        })
    }

    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move { self.apply(&preconditions, writes) })
    }

    fn watch(&self, prefix: Vec<u8>, from: Revision) -> BoxFuture<'_, Result<Watch, ReadError>> {
        Box::pin(async move { self.read(|_| self.feed.watch(prefix, from)) })
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            let revision = self.read(|state| state.revision).ok();
            let trouble = revision.is_none().then_some(Trouble::Unavailable(Outage::Closed));
            Health { trouble, revision, bytes: None }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.lock().closed = true;
            self.feed.close();
        })
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

fn entry((key, (value, revision)): (&Vec<u8>, &(Vec<u8>, Revision))) -> Entry {
    Entry { key: key.clone(), value: value.clone(), revision: *revision }
}

// === impl State ===

impl State {
    /// Makes the changes, as those of the next revision, and tells which of them changed something.
    fn write(&mut self, writes: Vec<Write>) -> Event {
        let revision = self.revision + 1;
        let mut event = Event { revision, puts: Vec::new(), deletes: Vec::new() };
        for write in writes {
            match write {
                Write::Put(key, value) => {
                    self.entries.insert(key.clone(), (value.clone(), revision));
                    event.puts.push(Entry { key, value, revision });
                }
                Write::Delete(key) => {
                    if self.entries.remove(&key).is_some() {
                        event.deletes.push(key);
                    }
                }
            }
        }
        event
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
