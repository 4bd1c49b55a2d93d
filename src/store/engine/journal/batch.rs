//! One batch of the journal: runs its operations over one view, chains their audit entries, commits them, and returns the
//! results.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::kv::{CommitError, KvEntry, Precondition, Write};
use crate::store::engine::audit::chain::{Chain, Links, NewEntries};
use crate::store::engine::audit::rows::{self, RowChange};
use crate::store::engine::audit::tables::Link;
use crate::store::engine::clock::Clock;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::draft::{Draft, Room};
use crate::store::engine::journal::tx::{Base, Changes, Known, StoredRow, Tx};
use crate::store::engine::journal::{CommitHook, Operation, OwnHead, Ran};
use crate::store::engine::records::Records;

/// How long conflicts with other processes are retried. Each conflict means that another process made progress.
const CONFLICTS: Duration = Duration::from_secs(10);
/// The longest wait after a conflict, in milliseconds. Short, so that this process does not fall behind in
/// a herd of boots.
const LONGEST_WAIT: u64 = 64;
/// Rounds of reading for one view. An operation that still needs more has a defect, and fails.
const ROUNDS: usize = 16;

/// Commits batches. Owns the audit chain of this process.
pub(crate) struct Writer {
    records: Arc<Records>,
    clock: Arc<dyn Clock>,
    hook: Arc<dyn CommitHook>,
    chain: Chain,
    entries: Arc<AtomicU64>,
    head: Arc<OwnHead>,
}

/// The records of a commit, sealed.
struct SealedRows {
    rows: Vec<RowChange>,
    writes: Vec<Write>,
    /// The keys and plaintexts of the stamps among them.
    stamps: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The result of running the operations of a batch once.
#[derive(Default)]
struct BatchRun {
    /// How many operations fit, from the front.
    count: usize,
    /// What they change.
    draft: Draft,
    /// The keys that have to be read before the batch can be committed.
    missing: BTreeSet<Vec<u8>>,
    /// The positions of the operations that need them.
    unfinished: Vec<usize>,
}

impl Writer {
    pub(crate) fn new(
        records: Arc<Records>,
        clock: Arc<dyn Clock>,
        hook: Arc<dyn CommitHook>,
        entries: Arc<AtomicU64>,
        head: Arc<OwnHead>,
    ) -> Self {
        Self { records, clock, hook, chain: Chain::default(), entries, head }
    }

    /// Runs and commits as many operations from the front of `batch` as fit one commit, and returns their results.
    pub(crate) async fn commit(&mut self, batch: &mut VecDeque<Box<dyn Operation>>) {
        // The last moment to drop an operation whose caller has disconnected: once it is committed, its writes stay.
        batch.retain(|operation| !operation.abandoned());
        if batch.is_empty() {
            return;
        }
        let mut base = Base::default();
        let mut wanted: BTreeSet<Vec<u8>> =
            batch.iter().flat_map(|operation| operation.reads()).cloned().collect();
        // With the stamps of what is read: what is changed is read before in most cases.
        let stamps: Vec<_> = wanted.iter().filter_map(|key| self.hook.stamp_key(key)).collect();
        wanted.extend(stamps);
        let (mut tried, mut reread, mut most) = (0, false, usize::MAX);
        let began = tokio::time::Instant::now();
        let (count, outcome) = loop {
            tried += 1;
            match self.attempt(batch, most, &mut base, &mut wanted).await {
                Ok(count) => break (count, Ok(())),
                // One damaged row must not fail the operations of others, which may be anybody's.
                Err((count, Failure::Corrupt | Failure::RolledBack)) if count > 1 => most = 1,
                Err((_, failure @ (Failure::Conflict | Failure::RolledBack)))
                    if began.elapsed() < CONFLICTS && !(reread && failure == Failure::RolledBack) =>
                {
                    // A read by a boot may have overtaken that of this view, whose stamps then look rolled back.
                    reread |= failure == Failure::RolledBack;
                    // All keys of the old view in one round. Otherwise the next run would ask for them again, a round each.
                    let Base { known, unread, .. } = std::mem::take(&mut base);
                    wanted.extend(known.into_keys().chain(unread));
                    self.back_off(tried).await;
                }
                Err((count, failure)) => break (count, Err(failure)),
            }
        };
        for operation in batch.drain(..count) {
            operation.finish(outcome);
        }
    }

    /// Ends the audit chain. Best effort: a chain without an end entry is still valid.
    pub(crate) async fn end(&mut self) {
        let now = self.now();
        let Ok(Some(links)) = self.chain.end(&self.records, now) else { return };
        // The process ends in either case, and an open chain verifies as well as an ended one.
        let _ = self.store(links, Vec::new(), Vec::new()).await;
    }

    /// One attempt with `most` operations. Returns the number that it covered.
    async fn attempt(
        &mut self,
        batch: &mut VecDeque<Box<dyn Operation>>,
        most: usize,
        base: &mut Base,
        wanted: &mut BTreeSet<Vec<u8>>,
    ) -> Result<usize, (usize, Failure)> {
        // One time for the whole attempt, so that its records and audit entries agree.
        let now = self.now();
        self.load(base, std::mem::take(wanted)).await.map_err(|failure| (batch.len(), failure))?;
        let mut rounds = 1;
        loop {
            let BatchRun { count, draft, missing, unfinished } = self.run(batch, most, base, now);
            if rounds == ROUNDS {
                // An operation that never stops asking for keys must not fail the others, which may be anybody's.
                for index in unfinished.into_iter().rev() {
                    if let Some(operation) = batch.remove(index) {
                        operation.finish(Err(Failure::Internal));
                    }
                }
                if batch.is_empty() {
                    return Ok(0);
                }
                rounds = 0;
            }
            if !missing.is_empty() {
                rounds += 1;
                self.load(base, missing).await.map_err(|failure| (batch.len(), failure))?;
                continue;
            }
            if count == 0 {
                // The first operation alone exceeds the limits.
                return Err((1, Failure::Internal));
            }
            // Only reads, or refusals without an entry. A commit would cost a write to disk and store nothing.
            if draft.changes.is_empty() && draft.events.is_empty() {
                return Ok(count);
            }
            let committed = self.write(draft, base, now).await;
            return committed.map(|()| count).map_err(|failure| (count, failure));
        }
    }

    /// Runs at most `most` operations over `base`, in order, until one does not fit.
    fn run(
        &self,
        batch: &mut VecDeque<Box<dyn Operation>>,
        most: usize,
        base: &Base,
        now: Timestamp,
    ) -> BatchRun {
        let mut done = BatchRun::default();
        for (index, operation) in batch.iter_mut().enumerate().take(most) {
            let mut tx = Tx::new(&self.records, now, base, &done.draft.changes);
            let ran = operation.run(&mut tx);
            if ran == Ran::Refused {
                // A refused operation must not leave a part of its changes, while its denial has to be on record.
                tx.keep_denials();
            }
            let Tx { changes, read, missing: lacks, events, unsealed, .. } = tx;
            done.missing.extend(lacks);
            if ran == Ran::Missing {
                done.unfinished.push(index);
            }
            if !done.missing.is_empty() || ran == Ran::Missing {
                // Later operations still run, so that one round reads everything that is missing.
                continue;
            }
            // A refusal is true of the view that it was decided on. With preconditions, recording it could conflict.
            let relied_on = if ran == Ran::Done { read } else { BTreeSet::new() };
            if !done.draft.take(changes, relied_on, events, self.room(), &*self.hook) {
                // It runs again in the next batch, on the state that this commit leaves.
                break;
            }
            done.draft.unsealed.extend(unsealed);
            done.count += 1;
        }
        // What is deleted, and the stamps: the log records what they were.
        if done.missing.is_empty() {
            let deleted =
                done.draft.changes.iter().filter(|(_, change)| change.is_none()).map(|(key, _)| key);
            let unread = deleted.chain(&done.draft.stamp_keys).filter(|key| !base.known.contains_key(*key));
            done.missing = unread.cloned().collect();
        }
        done
    }

    /// The room in a commit besides the audit chain's records.
    fn room(&self) -> Room {
        let limits = self.records.kv.limits();
        let writes = limits.max_writes_per_commit.saturating_sub(self.chain.overhead(&limits));
        Room {
            writes,
            // The first entry of a chain needs two: for the registry, and for the absent head.
            preconditions: limits.max_writes_per_commit.saturating_sub(2),
            // The largest value also fits a backend with small commits.
            bytes: (limits.max_commit * 3 / 4).max(limits.max_value),
        }
    }

    async fn write(&mut self, draft: Draft, base: &mut Base, now: Timestamp) -> Result<(), Failure> {
        let Draft { changes, relied_on, events, unsealed, stamp_keys, .. } = draft;
        let SealedRows { rows, mut writes, stamps } = self.seal_rows(changes, stamp_keys, base)?;
        let preconditions =
            relied_on.into_iter().map(|key| match base.known.get(&key).and_then(Known::row) {
                Some(row) => Precondition::At(key, row.revision),
                None => Precondition::Absent(key),
            });
        let preconditions = preconditions.collect();
        let links =
            self.chain.extend(&self.records, NewEntries { events, rows, link: Link::Next }, now).await?;
        writes.extend(unsealed.into_iter().map(|(key, bytes)| Write::Put(key, bytes)));
        self.store(links, preconditions, writes).await?;
        for (key, stamp) in stamps {
            // What was committed stays so, even if another server's next stamp was seen before.
            let _ = self.hook.accept(&key, Some(&stamp));
        }
        Ok(())
    }

    /// Seals the records of a commit and the stamps that cover them.
    fn seal_rows(
        &self,
        changes: Changes,
        stamp_keys: BTreeSet<Vec<u8>>,
        base: &mut Base,
    ) -> Result<SealedRows, Failure> {
        let mut rows = Vec::with_capacity(changes.len() + stamp_keys.len());
        let mut writes = Vec::with_capacity(changes.len() + stamp_keys.len());
        let mut stamped: BTreeMap<Vec<u8>, Vec<usize>> =
            stamp_keys.into_iter().map(|stamp| (stamp, Vec::new())).collect();
        for (key, change) in changes {
            let replaced = base.known.get(&key).and_then(Known::row);
            // Sealed after the last run, because operations that run several times would encrypt each time.
            let sealed = change.map(|plain| self.records.seal(&key, &plain));
            // An absent record is not deleted.
            if sealed.is_none() && replaced.is_none() {
                continue;
            }
            if rows::is_logged(&key) {
                let (before, after) = (replaced.map(|row| rows::digest(&row.sealed)), sealed.as_deref());
                let after = after.map(rows::digest);
                if let Some(covered) = self.hook.stamp_key(&key).and_then(|stamp| stamped.get_mut(&stamp)) {
                    covered.push(rows.len());
                }
                rows.push(RowChange { key: key.clone(), before, after });
            }
            writes.push(match sealed {
                Some(sealed) => Write::Put(key, sealed),
                None => Write::Delete(key),
            });
        }
        let mut stamps = Vec::with_capacity(stamped.len());
        for (key, covered) in stamped {
            let known = base.known.get(&key);
            let plain = match known {
                Some(Known::Present(plain, _)) => Some(plain.as_slice()),
                Some(Known::Damaged(_)) => return Err(Failure::Corrupt),
                Some(Known::Absent) | None => None,
            };
            self.hook.accept(&key, plain)?;
            let covered: Vec<&RowChange> = covered.iter().filter_map(|index| rows.get(*index)).collect();
            let stamp = self.hook.stamp(&self.records, plain, &covered)?;
            let sealed = self.records.seal(&key, &stamp);
            let before = known.and_then(Known::row).map(|row| rows::digest(&row.sealed));
            rows.push(RowChange { key: key.clone(), before, after: Some(rows::digest(&sealed)) });
            writes.push(Write::Put(key.clone(), sealed));
            stamps.push((key, stamp));
        }
        // Those that no operation has read are assumed to be absent. If one is not, the commit conflicts and all are read.
        base.unread =
            rows.iter().map(|row| &row.key).filter(|key| !base.known.contains_key(*key)).cloned().collect();
        Ok(SealedRows { rows, writes, stamps })
    }

    async fn store(
        &mut self,
        links: Links,
        mut preconditions: Vec<Precondition>,
        mut writes: Vec<Write>,
    ) -> Result<(), Failure> {
        // The chain's preconditions come last, so that the index of a failed one tells whose it is.
        let own = preconditions.len();
        preconditions.extend(links.preconditions);
        writes.extend(links.writes);
        match self.records.kv.commit(preconditions, writes).await {
            Ok(revision) => {
                self.entries.fetch_add(links.entries, Ordering::Relaxed);
                self.chain.committed(links.next, revision);
                *self.head.lock().unwrap_or_else(PoisonError::into_inner) = self.chain.last_committed();
                Ok(())
            }
            Err(error) => {
                // If only a record conflicts, nothing was written and the head in memory is still right.
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
        // The revision of the first round: every record of the view is at least as new.
        if base.known.is_empty() {
            base.revision = revision;
        }
        for (key, entry) in keys.into_iter().zip(entries) {
            let known = match entry {
                // Somebody has deleted it.
                None if self.records.refused.contains(&key) => {
                    Known::Damaged(StoredRow { sealed: Vec::new(), revision: 0 })
                }
                None => Known::Absent,
                Some(entry) => match self.records.unseal(&key, &entry.value) {
                    Ok(plain) => Known::Present(plain, stored(entry)),
                    Err(_) => Known::Damaged(stored(entry)),
                },
            };
            base.known.insert(key, known);
        }
        Ok(())
    }

    /// Backs off after a conflict: exponentially, with jitter, so that two processes do not retry at the same moment.
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
        // The wall clock can go back. The entries of a chain must not.
        self.clock.now().max(self.chain.last_at())
    }
}

fn stored(entry: KvEntry) -> StoredRow {
    StoredRow { sealed: entry.value, revision: entry.revision }
}
