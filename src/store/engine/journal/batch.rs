//! One batch of the journal: runs its operations over one view, chains their audit entries, commits, answers.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::audit::AuditEvent;
use crate::domain::time::Timestamp;
use crate::kv::{CommitError, Precondition, Write};
use crate::store::engine::audit::chain::{Chain, Links};
use crate::store::engine::clock::Clock;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::tx::{Base, Changes, Known, Tx};
use crate::store::engine::journal::{CommitHook, Operation, Ran};
use crate::store::engine::records::Records;

/// For how long conflicts with other processes are put up with. Each means that another process got on.
const CONFLICTS: Duration = Duration::from_secs(10);
/// The longest wait after a conflict, in milliseconds. Less than it takes to fall behind a herd.
const LONGEST_WAIT: u64 = 64;
/// Rounds of reading for one view; an operation that still needs more has a defect.
const ROUNDS: usize = 16;
/// Bytes counted for each write beside its key and value, for what a backend or its protocol adds.
const OVERHEAD: usize = 64;
/// Seal, format and the like that a record gains.
const SEAL: usize = 48;

/// Commits batches, and holds the audit chain of this process.
pub(crate) struct Writer {
    records: Arc<Records>,
    clock: Arc<dyn Clock>,
    hook: Arc<dyn CommitHook>,
    chain: Chain,
    entries: Arc<AtomicU64>,
}

/// A view of the store, and what the batch makes of it.
#[derive(Default)]
struct Draft {
    changes: Changes,
    relied_on: BTreeSet<Vec<u8>>,
    events: Vec<AuditEvent>,
    unsealed: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of the scopes whose secrets are changed.
    marks: BTreeSet<Vec<u8>>,
    bytes: usize,
}

impl Writer {
    pub(crate) fn new(
        records: Arc<Records>,
        clock: Arc<dyn Clock>,
        hook: Arc<dyn CommitHook>,
        entries: Arc<AtomicU64>,
    ) -> Self {
        Self { records, clock, hook, chain: Chain::default(), entries }
    }

    /// Runs and commits as many operations from the front of `batch` as fit one commit, and answers them.
    pub(crate) async fn commit(&mut self, batch: &mut VecDeque<Box<dyn Operation>>) {
        batch.retain(|operation| !operation.abandoned());
        if batch.is_empty() {
            return;
        }
        let mut base = Base::default();
        let mut wanted: BTreeSet<Vec<u8>> =
            batch.iter().flat_map(|operation| operation.reads()).cloned().collect();
        let mut tried = 0;
        let began = tokio::time::Instant::now();
        let (count, outcome) = loop {
            tried += 1;
            match self.attempt(batch, &mut base, &mut wanted).await {
                Ok(count) => break (count, Ok(())),
                Err((_, Failure::Conflict)) if began.elapsed() < CONFLICTS => {
                    wanted.extend(std::mem::take(&mut base).known.into_keys());
                    self.back_off(tried).await;
                }
                Err((count, failure)) => break (count, Err(failure)),
            }
        };
        for operation in batch.drain(..count) {
            operation.finish(outcome);
        }
    }

    /// Ends the audit chain. Best effort: a chain without an end is whole too.
    pub(crate) async fn end(&mut self) {
        let now = self.now();
        let Ok(Some(links)) = self.chain.end(&self.records, now) else { return };
        let _ = self.store(links, Vec::new(), Vec::new()).await;
    }

    /// One try; answers how many operations it was for.
    async fn attempt(
        &mut self,
        batch: &mut VecDeque<Box<dyn Operation>>,
        base: &mut Base,
        wanted: &mut BTreeSet<Vec<u8>>,
    ) -> Result<usize, (usize, Failure)> {
        let whole = batch.len();
        let fail = |failure| (whole, failure);
        let now = self.now();
        self.load(base, std::mem::take(wanted)).await.map_err(fail)?;
        for _ in 0..ROUNDS {
            let (count, draft, missing) = self.run(batch, base, now);
            if !missing.is_empty() {
                self.load(base, missing).await.map_err(fail)?;
                continue;
            }
            if count == 0 {
                // The first alone is over the limits.
                return Err((1, Failure::Internal));
            }
            if draft.changes.is_empty() && draft.events.is_empty() {
                return Ok(count);
            }
            let committed = self.write(draft, base, now).await;
            return committed.map(|()| count).map_err(|failure| (count, failure));
        }
        Err((whole, Failure::Internal))
    }

    /// Runs operations over `base`, in order, until one does not fit. Answers how many do.
    fn run(
        &self,
        batch: &mut VecDeque<Box<dyn Operation>>,
        base: &Base,
        now: Timestamp,
    ) -> (usize, Draft, BTreeSet<Vec<u8>>) {
        let mut draft = Draft::default();
        let mut missing = BTreeSet::new();
        let mut count = 0;
        for operation in batch.iter_mut() {
            let mut tx = Tx::new(&self.records, now, base, &draft.changes);
            let ran = operation.run(&mut tx);
            if ran == Ran::Refused {
                tx.keep_denials();
            }
            let Tx { changes, read, missing: lacks, events, unsealed, .. } = tx;
            missing.extend(lacks);
            if ran == Ran::Missing || !missing.is_empty() {
                // Later ones are still run, to learn all that is missing in one round.
                continue;
            }
            if !draft.take(
                changes,
                if ran == Ran::Done { read } else { BTreeSet::new() },
                events,
                (self.room(), &*self.hook),
            ) {
                break;
            }
            draft.unsealed.extend(unsealed);
            count += 1;
        }
        (count, draft, missing)
    }

    /// What a commit may hold beside the audit chain's own records.
    fn room(&self) -> Room {
        let limits = self.records.kv.limits();
        let writes = limits.max_writes_per_commit.saturating_sub(self.chain.overhead(&limits));
        Room {
            writes,
            preconditions: limits.max_writes_per_commit.saturating_sub(2),
            // The largest value fits where commits are small, too.
            bytes: (limits.max_commit * 3 / 4).max(limits.max_value),
        }
    }

    async fn write(&mut self, draft: Draft, base: &Base, now: Timestamp) -> Result<(), Failure> {
        let links = self.chain.extend(&self.records, draft.events, now).await?;
        let preconditions = draft.relied_on.into_iter().filter_map(|key| match base.known.get(&key)? {
            Known::Present(_, revision) => Some(Precondition::At(key, *revision)),
            Known::Absent => Some(Precondition::Absent(key)),
            Known::Damaged => None,
        });
        let preconditions = preconditions.collect();
        let writes = draft.changes.into_iter().map(|(key, change)| match change {
            Some(plain) => {
                let sealed = self.records.seal(&key, &plain);
                Write::Put(key, sealed)
            }
            None => Write::Delete(key),
        });
        let unsealed = draft.unsealed.into_iter().map(|(key, bytes)| Write::Put(key, bytes));
        let stamp = self.hook.stamp()?;
        let marks = draft.marks.into_iter().map(|key| {
            let sealed = self.records.seal(&key, &stamp);
            Write::Put(key, sealed)
        });
        let writes = writes.chain(unsealed).chain(marks).collect();
        self.store(links, preconditions, writes).await
    }

    async fn store(
        &mut self,
        links: Links,
        mut preconditions: Vec<Precondition>,
        mut writes: Vec<Write>,
    ) -> Result<(), Failure> {
        let own = preconditions.len();
        preconditions.extend(links.preconditions);
        writes.extend(links.writes);
        match self.records.kv.commit(preconditions, writes).await {
            Ok(revision) => {
                self.entries.fetch_add(links.entries, Ordering::Relaxed);
                self.chain.committed(links.next, revision);
                Ok(())
            }
            Err(error) => {
                let about_the_chain =
                    matches!(&error, CommitError::Conflict { failed } if failed.iter().any(|i| *i >= own));
                if error.outcome_unknown() || about_the_chain {
                    self.chain.forget(links.next);
                }
                Err(error.into())
            }
        }
    }

    async fn load(&self, base: &mut Base, keys: BTreeSet<Vec<u8>>) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<Vec<u8>> = keys.into_iter().collect();
        let (entries, revision) = self.records.kv.get(&keys).await?;
        if base.known.is_empty() {
            base.revision = revision;
        }
        for (key, entry) in keys.into_iter().zip(entries) {
            let known = match entry {
                None => Known::Absent,
                Some(entry) => match self.records.unseal(&key, &entry.value) {
                    Ok(plain) => Known::Present(plain, entry.revision),
                    Err(_) => Known::Damaged,
                },
            };
            base.known.insert(key, known);
        }
        Ok(())
    }

    /// Lets the other processes finish: the longer the oftener they were first, and never for as long as each other.
    async fn back_off(&self, tried: u32) {
        if tried > 2 {
            let most = (1 << tried.min(6)).min(LONGEST_WAIT);
            let random = u64::from_be_bytes(self.records.random_bytes());
            tokio::time::sleep(Duration::from_micros(random % (most * 1000))).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().max(self.chain.last_at())
    }
}

/// Limits of a draft.
#[derive(Clone, Copy)]
struct Room {
    writes: usize,
    preconditions: usize,
    bytes: usize,
}

impl Draft {
    /// Adds what one operation wants, if it fits.
    fn take(
        &mut self,
        changes: Changes,
        read: BTreeSet<Vec<u8>>,
        events: Vec<AuditEvent>,
        (room, hook): (Room, &dyn CommitHook),
    ) -> bool {
        let fresh = changes.keys().filter(|key| !self.changes.contains_key(*key)).count();
        let marks = changes.keys().filter_map(|key| hook.stamp_key(key));
        let marks: BTreeSet<_> = marks.filter(|mark| !self.marks.contains(mark)).collect();
        let writes = self.changes.len() + fresh + self.events.len() + events.len();
        let writes = writes + self.marks.len() + marks.len();
        let relied = self.relied_on.len() + read.iter().filter(|key| !self.relied_on.contains(*key)).count();
        let size = |(key, plain): (&Vec<u8>, &Option<_>)| {
            OVERHEAD
                + key.len()
                + plain.as_ref().map_or(0, |plain: &crate::crypto::SecretBytes| plain.len() + SEAL)
        };
        let bytes = self.bytes
            + changes.iter().map(size).sum::<usize>()
            + read.iter().map(|key| key.len() + OVERHEAD).sum::<usize>()
            + marks.len() * 3 * OVERHEAD
            + events.len() * 1024;
        if writes > room.writes || relied > room.preconditions || bytes > room.bytes {
            return false;
        }
        self.changes.extend(changes);
        self.relied_on.extend(read);
        self.events.extend(events);
        self.marks.extend(marks);
        self.bytes = bytes;
        true
    }
}
