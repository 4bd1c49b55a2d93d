//! `commit`: one transaction with compare. Sent again when its answer is lost, and done once all the same: see `dedup`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};

use super::Shared;
use super::dedup::DedupKey;
use super::fault::{EtcdFault, commit_error};
use super::reads::{prefix_end, revision_of};
use crate::kv::{CommitError, CommitPart, Outage, Precondition, Revision, Write};

/// DedupKeys of processes that did nothing for this many commits of all are removed. No commit is under way for so long.
const FORGOTTEN_AFTER: Revision = 1_000_000;

/// What etcd said to a commit.
enum Verdict {
    /// It was made, now or by an earlier try.
    Made(Revision),
    /// It holds, and there was nothing to change.
    Unchanged(Revision),
    /// These preconditions do not hold.
    Failed(Vec<usize>),
    /// The dedup_key is not as it was left: it was removed since.
    Moved(Revision),
}

impl Shared {
    pub(crate) async fn commit(
        self: Arc<Self>,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<Revision, CommitError> {
        self.limits.check(&preconditions, &writes)?;
        if writes.is_empty() {
            return self.look(&preconditions).await;
        }
        let (mut dedup_key, first) = self.dedup.take();
        if first {
            tokio::spawn(Arc::clone(&self).remove_old_dedup_keys());
        }
        let mut unheard = false;
        loop {
            let txn = self.transaction(&dedup_key, &preconditions, &writes);
            let sent = self.send(&txn, &mut unheard).await;
            let verdict = match sent.and_then(|answer| self.verdict(&dedup_key, &preconditions, answer)) {
                Ok(verdict) => verdict,
                Err(fault) => {
                    return match self.outcome(&mut dedup_key, fault, unheard).await {
                        Some(Ok(revision)) => self.done(dedup_key, Ok(revision)),
                        Some(Err(fault)) => {
                            let error = self.error(fault, &preconditions, &writes);
                            self.done(dedup_key, Err(error))
                        }
                        // The dedup_key is not used again: its commit may still come.
                        None => Err(CommitError::Unavailable(Outage::Unreachable)),
                    };
                }
            };
            let outcome = match verdict {
                Verdict::Made(revision) => {
                    dedup_key.revision = revision;
                    return self.done(dedup_key, Ok(revision));
                }
                Verdict::Moved(revision) => {
                    dedup_key.revision = revision;
                    continue;
                }
                Verdict::Unchanged(revision) => Ok(revision),
                Verdict::Failed(failed) => Err(CommitError::Conflict { failed }),
            };
            if !unheard {
                return self.done(dedup_key, outcome);
            }
            // An earlier try may yet arrive, and find everything as it wants it.
            return match self.bar(&mut dedup_key).await {
                Ok(Some(revision)) => self.done(dedup_key, Ok(revision)),
                Ok(None) => self.done(dedup_key, outcome),
                Err(_) => Err(CommitError::Unavailable(Outage::Unreachable)),
            };
        }
    }

    fn done(
        &self,
        dedup_key: DedupKey,
        outcome: Result<Revision, CommitError>,
    ) -> Result<Revision, CommitError> {
        self.dedup.give_back(dedup_key);
        outcome
    }

    /// Preconditions without writes: reading is enough.
    async fn look(&self, preconditions: &[Precondition]) -> Result<Revision, CommitError> {
        let nothing = |fault| self.error(fault, preconditions, &[]);
        if preconditions.is_empty() {
            return self.revision().await.map_err(nothing);
        }
        // The reads are what makes it linearizable: etcd judges a transaction without any by what a member has.
        let txn = Txn::new().when(self.compares(preconditions)).or_else(self.looks(preconditions));
        let answer = self.send(&txn, &mut false).await.map_err(nothing)?;
        if answer.succeeded() {
            return revision_of(answer.header()).map_err(nothing);
        }
        let found = found(answer).map_err(nothing)?;
        Err(CommitError::Conflict { failed: failed_preconditions(preconditions, &found) })
    }

    /// Sends a transaction until it is answered; `unheard` is set when it may have been made without that.
    async fn send(&self, txn: &Txn, unheard: &mut bool) -> Result<TxnResponse, EtcdFault> {
        let lost = AtomicBool::new(*unheard);
        let answer = self
            .members
            .ask(|client, again| {
                lost.fetch_or(again, Ordering::Relaxed);
                let txn = txn.clone();
                async move { client.kv_client().txn(txn).await }
            })
            .await;
        *unheard = lost.into_inner() || matches!(answer, Err(EtcdFault::Unreachable));
        answer
    }

    /// The commit as a transaction: its writes and its dedup_key's, if all is as expected; otherwise what is there.
    fn transaction(&self, dedup_key: &DedupKey, preconditions: &[Precondition], writes: &[Write]) -> Txn {
        let key = self.stored_dedup_key(dedup_key);
        let mut compares =
            vec![Compare::mod_revision(key.clone(), CompareOp::Equal, dedup_key.revision.cast_signed())];
        compares.extend(self.compares(preconditions));
        let mut looks = vec![TxnOp::get(key.clone(), None)];
        looks.extend(self.looks(preconditions));

        let mut changes: Vec<TxnOp> = writes.iter().map(|write| self.change(write)).collect();
        changes.push(TxnOp::put(key, dedup_key.value(), None));
        if self.may_change_nothing(preconditions, writes) {
            let absent = writes.iter().map(|write| self.has_revision(write.key(), 0)).collect::<Vec<_>>();
            changes = vec![TxnOp::txn(Txn::new().when(absent).or_else(changes))];
        }
        Txn::new().when(compares).and_then(changes).or_else(looks)
    }

    /// Whether it may be that there is nothing to delete, which would be no change. Where etcd takes no transaction in
    /// another that is so large, the dedup_key's change is one.
    fn may_change_nothing(&self, preconditions: &[Precondition], writes: &[Write]) -> bool {
        let present = |key: &[u8]| {
            preconditions.iter().any(|p| matches!(p, Precondition::At(held, _) if held.as_slice() == key))
        };
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
            // No entry has this revision; etcd would take 0 for that of one that is not there.
            Precondition::At(key, 0) => self.has_revision(key, -1),
            Precondition::At(key, revision) => self.has_revision(key, i64::try_from(*revision).unwrap_or(-1)),
        };
        preconditions.iter().map(compare).collect()
    }

    fn has_revision(&self, key: &[u8], revision: i64) -> Compare {
        Compare::mod_revision(self.stored(key), CompareOp::Equal, revision)
    }

    fn looks(&self, preconditions: &[Precondition]) -> Vec<TxnOp> {
        let look =
            |p: &Precondition| TxnOp::get(self.stored(p.key()), Some(GetOptions::new().with_keys_only()));
        preconditions.iter().map(look).collect()
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
            return Ok(if unchanged { Verdict::Unchanged(revision) } else { Verdict::Made(revision) });
        }
        let (marked, value) = marked(&answer)?;
        let found = found(answer)?;
        let (_, found) = found.split_first().ok_or(EtcdFault::Corrupt)?;
        let failed = failed_preconditions(preconditions, found);
        match marked == dedup_key.revision {
            false if value == dedup_key.value() => Ok(Verdict::Made(marked)),
            false => Ok(Verdict::Moved(marked)),
            true if failed.is_empty() => Err(EtcdFault::Corrupt),
            true => Ok(Verdict::Failed(failed)),
        }
    }

    /// What became of a commit that met a fault: made, failed, or not to be found out.
    async fn outcome(
        &self,
        dedup_key: &mut DedupKey,
        fault: EtcdFault,
        unheard: bool,
    ) -> Option<Result<Revision, EtcdFault>> {
        if !unheard {
            return Some(Err(fault));
        }
        match self.bar(dedup_key).await {
            Ok(Some(revision)) => Some(Ok(revision)),
            Ok(None) => Some(Err(fault)),
            Err(_) => None,
        }
    }

    /// Sees to it that no earlier try of the dedup_key's commit happens from now on, and answers with its revision if one did.
    async fn bar(&self, dedup_key: &mut DedupKey) -> Result<Option<Revision>, EtcdFault> {
        let key = self.stored_dedup_key(dedup_key);
        let as_it_was =
            Compare::mod_revision(key.clone(), CompareOp::Equal, dedup_key.revision.cast_signed());
        let txn = Txn::new()
            .when([as_it_was])
            .and_then([TxnOp::put(key.clone(), dedup_key.barred(), None)])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.send(&txn, &mut false).await?;
        if answer.succeeded() {
            dedup_key.revision = revision_of(answer.header())?;
            return Ok(None);
        }
        let (revision, value) = marked(&answer)?;
        dedup_key.revision = revision;
        Ok((value == dedup_key.value()).then_some(revision))
    }

    fn error(&self, fault: EtcdFault, preconditions: &[Precondition], writes: &[Write]) -> CommitError {
        commit_error(fault, |part| match part {
            CommitPart::Writes => (writes.len().max(preconditions.len()), self.limits.max_writes_per_commit),
            _ => (self.limits.max_commit + 1, self.limits.max_commit),
        })
    }

    /// Removes the dedup of processes that are no more. They are small, so that it does not matter when.
    async fn remove_old_dedup_keys(self: Arc<Self>) {
        let Ok(revision) = self.revision().await else { return };
        let Some(before) = revision.checked_sub(FORGOTTEN_AFTER) else { return };
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

/// Revision and value of the dedup_key, the first that a failed transaction looked at.
fn marked(answer: &TxnResponse) -> Result<(Revision, Vec<u8>), EtcdFault> {
    match answer.op_responses().into_iter().next() {
        Some(TxnOpResponse::Get(mut got)) => Ok(got.take_kvs().pop().map_or((0, Vec::new()), |dedup_key| {
            (dedup_key.mod_revision().cast_unsigned(), dedup_key.value().to_vec())
        })),
        _ => Err(EtcdFault::Corrupt),
    }
}

/// The revisions that a failed transaction found.
fn found(answer: TxnResponse) -> Result<Vec<Option<Revision>>, EtcdFault> {
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
