//! `commit`: one transaction with compare. It is sent again when its answer is lost, and still succeeds once: see `dedup`.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};

use super::Shared;
use super::dedup::DedupKey;
use super::fault::{EtcdFault, commit_error};
use super::reads::{prefix_end, revision_of};
use crate::kv::{CommitError, CommitPart, Outage, Precondition, Revision, Write};

/// Deduplication keys that no process used for this many commits are removed. No commit takes so long.
const MAX_UNUSED: Revision = 1_000_000;

/// How etcd answered a commit.
enum Verdict {
    /// It succeeded, by this try or an earlier one.
    Committed(Revision),
    /// Its preconditions hold, and there was nothing to change.
    Unchanged(Revision),
    /// These preconditions do not hold.
    Failed(Vec<usize>),
    /// The deduplication key has another revision than this process remembers: it was removed as unused.
    KeyChanged(Revision),
}

impl Shared {
    pub(crate) async fn commit(
        self: Arc<Self>,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<Revision, CommitError> {
        self.limits.check(&preconditions, &writes)?;
        if writes.is_empty() {
            return self.check_preconditions(&preconditions).await;
        }
        let (mut dedup_key, first) = self.dedup.take();
        // Once in a process's life is often enough, and its first commit need not wait for it.
        if first {
            tokio::spawn(Arc::clone(&self).remove_old_dedup_keys());
        }
        let mut unheard = false;
        loop {
            let txn = self.transaction(&dedup_key, &preconditions, &writes);
            let answer = self.send(&txn, &mut unheard).await;
            let outcome = match answer.and_then(|answer| self.verdict(&dedup_key, &preconditions, answer)) {
                Ok(Verdict::Committed(revision)) => {
                    dedup_key.revision = revision;
                    return self.finish(dedup_key, Ok(revision));
                }
                // Nothing was written with the old revision, and nothing can be any more: the next try takes the new one.
                Ok(Verdict::KeyChanged(revision)) => {
                    dedup_key.revision = revision;
                    continue;
                }
                Ok(Verdict::Unchanged(revision)) => Ok(revision),
                Ok(Verdict::Failed(failed)) => Err(CommitError::Conflict { failed }),
                Err(fault) => Err(self.error(fault, &preconditions, &writes)),
            };
            if !unheard {
                return self.finish(dedup_key, outcome);
            }
            // An earlier try may still arrive and then find that its preconditions hold. Cancel it before answering.
            return match self.cancel(&mut dedup_key).await {
                Ok(Some(revision)) => self.finish(dedup_key, Ok(revision)),
                Ok(None) => self.finish(dedup_key, outcome),
                // The key is not given back: etcd may still receive the commit that carries it.
                Err(_) => Err(CommitError::Unavailable(Outage::Unreachable)),
            };
        }
    }

    fn finish(
        &self,
        dedup_key: DedupKey,
        outcome: Result<Revision, CommitError>,
    ) -> Result<Revision, CommitError> {
        self.dedup.give_back(dedup_key);
        outcome
    }

    /// Checks preconditions without writes. Nothing changes, so that no deduplication key is needed.
    async fn check_preconditions(&self, preconditions: &[Precondition]) -> Result<Revision, CommitError> {
        let to_error = |fault| self.error(fault, preconditions, &[]);
        if preconditions.is_empty() {
            return self.revision().await.map_err(to_error);
        }
        // etcd evaluates a transaction that has no reads by the state of one member, which may be old. The reads make it
        // linearizable.
        let txn = Txn::new().when(self.compares(preconditions)).or_else(self.reads(preconditions));
        let answer = self.send(&txn, &mut false).await.map_err(to_error)?;
        if answer.succeeded() {
            return revision_of(answer.header()).map_err(to_error);
        }
        let found = found_revisions(answer).map_err(to_error)?;
        Err(CommitError::Conflict { failed: failed_preconditions(preconditions, &found) })
    }

    /// Sends a transaction until etcd answers. Sets `unheard` if an earlier try may have succeeded without an answer.
    async fn send(&self, txn: &Txn, unheard: &mut bool) -> Result<TxnResponse, EtcdFault> {
        let mut lost = *unheard;
        let answer = self
            .members
            .ask(|client, again| {
                lost |= again;
                let txn = txn.clone();
                async move { client.kv_client().txn(txn).await }
            })
            .await;
        *unheard = lost || matches!(answer, Err(EtcdFault::Unreachable));
        answer
    }

    /// The commit as a transaction: all writes, with that of the deduplication key, if the comparisons hold; else reads.
    fn transaction(&self, dedup_key: &DedupKey, preconditions: &[Precondition], writes: &[Write]) -> Txn {
        let key = self.stored_dedup_key(dedup_key);
        let mut compares =
            vec![Compare::mod_revision(key.clone(), CompareOp::Equal, dedup_key.revision.cast_signed())];
        compares.extend(self.compares(preconditions));
        let mut reads = vec![TxnOp::get(key.clone(), None)];
        reads.extend(self.reads(preconditions));

        let mut changes: Vec<TxnOp> = writes.iter().map(|write| self.change(write)).collect();
        changes.push(TxnOp::put(key, dedup_key.value(), None));
        if self.may_change_nothing(preconditions, writes) {
            // If all keys are absent, the inner transaction succeeds and does nothing, so that no revision is taken.
            let absent = writes.iter().map(|write| self.has_revision(write.key(), 0)).collect::<Vec<_>>();
            changes = vec![TxnOp::txn(Txn::new().when(absent).or_else(changes))];
        }
        Txn::new().when(compares).and_then(changes).or_else(reads)
    }

    /// Whether the commit may turn out to change nothing, because it only deletes keys that may be absent.
    fn may_change_nothing(&self, preconditions: &[Precondition], writes: &[Write]) -> bool {
        let present = |key: &[u8]| {
            preconditions.iter().any(|p| matches!(p, Precondition::At(held, _) if held.as_slice() == key))
        };
        // The nested transaction that this costs counts against etcd's limit of operations. A commit that does not fit
        // takes a revision for the deduplication key alone, which is a harmless change.
        writes.iter().all(|write| matches!(write, Write::Delete(key) if !present(key)))
            && preconditions.len() + writes.len() + 2 <= self.limits.max_writes_per_commit
    }

    fn change(&self, write: &Write) -> TxnOp {
        match write {
            Write::Put(key, value) => TxnOp::put(self.stored(key), value.clone(), None),
            Write::Delete(key) => TxnOp::delete(self.stored(key), None),
        }
    }

    fn compares(&self, preconditions: &[Precondition]) -> Vec<Compare> {
        let compare = |precondition: &Precondition| match precondition {
            Precondition::Absent(key) => self.has_revision(key, 0),
            // For etcd, an absent key has revision 0, so that comparing with 0 would hold. No key has -1.
            Precondition::At(key, 0) => self.has_revision(key, -1),
            Precondition::At(key, revision) => self.has_revision(key, i64::try_from(*revision).unwrap_or(-1)),
        };
        preconditions.iter().map(compare).collect()
    }

    fn has_revision(&self, key: &[u8], revision: i64) -> Compare {
        Compare::mod_revision(self.stored(key), CompareOp::Equal, revision)
    }

    fn reads(&self, preconditions: &[Precondition]) -> Vec<TxnOp> {
        let read =
            |p: &Precondition| TxnOp::get(self.stored(p.key()), Some(GetOptions::new().with_keys_only()));
        preconditions.iter().map(read).collect()
    }

    fn verdict(
        &self,
        dedup_key: &DedupKey,
        preconditions: &[Precondition],
        answer: TxnResponse,
    ) -> Result<Verdict, EtcdFault> {
        let revision = revision_of(answer.header())?;
        if answer.succeeded() {
            let unchanged =
                matches!(answer.op_responses().first(), Some(TxnOpResponse::Txn(inner)) if inner.succeeded());
            return Ok(if unchanged { Verdict::Unchanged(revision) } else { Verdict::Committed(revision) });
        }
        let (key_revision, value) = read_dedup_key(&answer)?;
        let found = found_revisions(answer)?;
        let (_, found) = found.split_first().ok_or(EtcdFault::Corrupt)?;
        let failed = failed_preconditions(preconditions, found);
        match key_revision == dedup_key.revision {
            // Only a try of this very commit writes this value.
            false if value == dedup_key.value() => Ok(Verdict::Committed(key_revision)),
            false => Ok(Verdict::KeyChanged(key_revision)),
            // etcd says that a comparison failed, and every value that it read holds.
            true if failed.is_empty() => Err(EtcdFault::Corrupt),
            true => Ok(Verdict::Failed(failed)),
        }
    }

    /// Makes sure that no earlier try of the commit succeeds from now on. Returns the commit's revision if one did.
    async fn cancel(&self, dedup_key: &mut DedupKey) -> Result<Option<Revision>, EtcdFault> {
        let key = self.stored_dedup_key(dedup_key);
        let unchanged =
            Compare::mod_revision(key.clone(), CompareOp::Equal, dedup_key.revision.cast_signed());
        let txn = Txn::new()
            .when([unchanged])
            .and_then([TxnOp::put(key.clone(), dedup_key.cancelled_value(), None)])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.send(&txn, &mut false).await?;
        if answer.succeeded() {
            dedup_key.revision = revision_of(answer.header())?;
            return Ok(None);
        }
        // An earlier try has changed the key: it succeeded if the value is the commit's.
        let (revision, value) = read_dedup_key(&answer)?;
        dedup_key.revision = revision;
        Ok((value == dedup_key.value()).then_some(revision))
    }

    fn error(&self, fault: EtcdFault, preconditions: &[Precondition], writes: &[Write]) -> CommitError {
        commit_error(fault, |part| match part {
            CommitPart::Writes => (writes.len().max(preconditions.len()), self.limits.max_writes_per_commit),
            _ => (self.limits.max_commit + 1, self.limits.max_commit),
        })
    }

    /// Removes the deduplication keys of processes that ended. They are small, so that a bounded number at each start is
    /// enough.
    async fn remove_old_dedup_keys(self: Arc<Self>) {
        let Ok(revision) = self.revision().await else { return };
        let Some(before) = revision.checked_sub(MAX_UNUSED) else { return };
        let old = GetOptions::new()
            .with_range(prefix_end(&self.dedup_root))
            .with_max_mod_revision(before.cast_signed())
            .with_keys_only()
            .with_limit(100);
        let found = self
            .members
            .ask(|client, _| {
                let (start, old) = (self.dedup_root.clone(), old.clone());
                async move { client.kv_client().get(start, Some(old)).await }
            })
            .await;
        for dedup_key in found.map(|mut answer| answer.take_kvs()).unwrap_or_default() {
            // Compared again: its process may have taken it since the read.
            let unused = Compare::mod_revision(dedup_key.key(), CompareOp::Equal, dedup_key.mod_revision());
            let txn = Txn::new()
                .when([unused])
                .and_then([TxnOp::delete(dedup_key.key(), Some(DeleteOptions::new()))]);
            let _ = self.send(&txn, &mut false).await;
        }
    }

    fn stored_dedup_key(&self, dedup_key: &DedupKey) -> Vec<u8> {
        [self.dedup_root.as_slice(), dedup_key.key()].concat()
    }
}

/// Revision and value of the deduplication key, which a failed transaction reads first.
fn read_dedup_key(answer: &TxnResponse) -> Result<(Revision, Vec<u8>), EtcdFault> {
    match answer.op_responses().into_iter().next() {
        Some(TxnOpResponse::Get(mut got)) => Ok(got.take_kvs().pop().map_or((0, Vec::new()), |dedup_key| {
            (dedup_key.mod_revision().cast_unsigned(), dedup_key.value().to_vec())
        })),
        _ => Err(EtcdFault::Corrupt),
    }
}

/// The revisions that a failed transaction read.
fn found_revisions(answer: TxnResponse) -> Result<Vec<Option<Revision>>, EtcdFault> {
    let found = answer.op_responses().into_iter().map(|one| match one {
        TxnOpResponse::Get(mut got) => {
            Ok(got.take_kvs().pop().map(|entry| entry.mod_revision().cast_unsigned()))
        }
        _ => Err(EtcdFault::Corrupt),
    });
    found.collect()
}

fn failed_preconditions(preconditions: &[Precondition], found: &[Option<Revision>]) -> Vec<usize> {
    let holds = (0..).zip(preconditions.iter().zip(found));
    holds.filter(|(_, (precondition, found))| !precondition.holds(**found)).map(|(index, _)| index).collect()
}
