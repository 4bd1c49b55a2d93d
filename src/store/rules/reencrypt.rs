//! Re-encryption of everything: all values move to a new generation of the release key.
//!
//! One commit creates the generation and the record of the run, and from then on deposits go to it. Values move in bounded
//! batches, each with the cursor behind it in the same commit, so that a crash loses nothing and repeats at most one batch.
//! The commit that finds nothing left drops the old generation. A deposit to the old generation requests another pass.

use std::time::Duration;

use crate::crypto::ring::NewGenerationError;
use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::role::Action;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Found;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::Resealed;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::store::Store;
use crate::store::tables::secrets;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::store;
use crate::store::tables::store::{KeysRecord, RunRecord};

/// Values in one commit, at most.
const BATCH: usize = 100;
/// Bytes of the values of one batch, about.
const BATCH_BYTES: usize = 2 << 20;
/// Records that moving one value writes, at most.
const WRITES: usize = 4;
/// After this long without progress, another process takes over a run.
const LEASE: Duration = Duration::from_secs(30);

/// The progress of a re-encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether a re-encryption is under way. It waits while the store is locked.
    pub running: bool,
    /// The generation that deposits go to.
    pub generation: u32,
    /// Secrets processed so far.
    pub done: u64,
    /// Secrets in all, as counted at its start. Absent until they are counted.
    pub total: Option<u64>,
}

/// The outcome of one step of a run.
#[derive(PartialEq, Eq)]
enum RunStep {
    Moved,
    Finished,
    /// Another process runs it, or this one cannot continue.
    NotOurs,
}

impl Store {
    /// Starts a re-encryption of an unlocked store (the operator). It continues in the background, also after restarts, and
    /// ends by dropping the old generation. If one is under way, this returns its progress.
    pub async fn reencrypt_all(&self, caller: &Caller) -> Result<Progress, Error> {
        let audit_action = AuditAction::ReEncryptStart;
        self.permit(caller, Action::ReEncryptAll, audit_action, Some(target::store())).await?;
        let (store, event) = (self.clone(), caller.event(audit_action).about(target::store()));
        // In a task: a dropped request must not leave the keys in memory behind the stored ones.
        let task = async move {
            let _alone = store.inner.keys_change.lock().await;
            store.follow_keys().await?;
            let release = store.release().ok_or(Error::Locked)?;
            if store.records().get(&store::run()).await?.is_none() {
                let keys = store.keys_record().await?;
                let made = release.ring.with_generation(&keys.slots, &mut store.records().rng());
                let (ring, slots) = made.map_err(|NewGenerationError::ForeignSlot(_)| changed_elsewhere())?;
                let sealed = ring.seal(&mut store.records().rng());
                let generation = ring.deposit_key().generation();
                let event = event.detail(DetailKey::Generation, AuditText::number(generation.into()));
                let (expected, stored) = (release.sealed.clone(), sealed.clone());
                let reads = vec![store::keys().to_vec(), store::run().to_vec()];
                let begun = store.journal().run(reads, move |tx| {
                    let keys = tx.get(&store::keys())?.ok_or(Failure::Corrupt)?;
                    // Another process may have changed the keys or started a run since they were read.
                    if keys.ring != expected || tx.has(&store::run())? {
                        return Err(changed_elsewhere().into());
                    }
                    tx.put(
                        &store::keys(),
                        &KeysRecord { slots: slots.clone(), ring: stored.clone(), ..keys },
                    )?;
                    tx.put(&store::run(), &RunRecord::new(generation))?;
                    tx.audit(event.clone());
                    Ok::<_, Stop<Error>>(())
                });
                begun.await?;
                // After the commit: memory must never be ahead of what is stored.
                store.replace_release(release.with_ring(ring, sealed));
            }
            store.inner.background.notify_one();
            let generation = store.deposit_key().await?.generation();
            Ok(store.progress(generation).await?)
        };
        tokio::spawn(task).await.unwrap_or_else(|_| Err(Failure::Internal.into()))
    }

    /// Returns the progress, for the operator and members.
    pub async fn reencrypt_progress(&self, caller: &Caller) -> Result<Progress, Error> {
        let audit_action = AuditAction::ReEncryptStart;
        self.permit(caller, Action::ReadDepositKey, audit_action, Some(target::store())).await?;
        let generation = self.deposit_key().await?.generation();
        Ok(self.progress(generation).await?)
    }

    pub(crate) async fn progress(&self, generation: u32) -> Result<Progress, Failure> {
        let run = self.records().get(&store::run()).await?;
        Ok(match run {
            None => Progress { running: false, generation, done: 0, total: None },
            Some(RunRecord { done, total, .. }) => Progress { running: true, generation, done, total },
        })
    }

    /// Continues a run to its end, if there is one and the store is unlocked.
    pub(crate) async fn continue_reencryption(&self) -> Result<(), Failure> {
        loop {
            let Some(run) = self.records().get(&store::run()).await? else { return Ok(()) };
            let own = self.inner.process;
            // The lease keeps two processes from moving the same values. Losing it costs work, not correctness.
            let taken = run.runner.is_some_and(|(runner, until)| runner != own && until > self.now());
            let release =
                self.release().filter(|release| release.ring.current().generation() == run.generation);
            let Some(release) = release.filter(|_| !taken) else { return Ok(()) };
            let step = match run.total {
                None => self.count_secrets(run).await?,
                Some(_) => self.step(&release, run).await?,
            };
            if step != RunStep::Moved {
                return Ok(());
            }
            self.yield_to_callers().await;
        }
    }

    /// Counts the secrets of a run.
    async fn count_secrets(&self, run: RunRecord) -> Result<RunStep, Failure> {
        let (mut total, mut after) = (0, None::<Vec<u8>>);
        loop {
            let page = self.records().kv.scan(secrets::all_secrets().bytes(), after.as_deref(), 1000).await?;
            total += page.entries.len() as u64;
            after = page.entries.last().map(|entry| entry.key.clone());
            if !page.more {
                break;
            }
            self.yield_to_callers().await;
        }
        // Only for people: secrets that come and go meanwhile make it inexact.
        let mut next = RunRecord { total: Some(total), ..run.clone() };
        next.runner = Some((self.inner.process, self.now().plus(LEASE)));
        self.advance(run, next, Vec::new()).await
    }

    /// Moves the next batch, or finishes the run.
    async fn step(&self, release: &Release, run: RunRecord) -> Result<RunStep, Failure> {
        // Batches are bounded by what the byte store accepts, which differs between backends.
        let limits = self.records().kv.limits();
        // Half of a commit's writes is left for the audit log and for other operations of the same commit.
        let most = BATCH.min(limits.max_writes_per_commit / 2 / WRITES).max(1);
        let after = run.cursor.as_ref().map(|key| key.as_slice());
        let page = self.records().scan(&secrets::all_secrets(), after, most).await?;
        let mut next = run.clone();
        next.runner = Some((self.inner.process, self.now().plus(LEASE)));
        let mut moves = Vec::new();
        let mut bytes = 0;
        for Found { key, record, .. } in page.found {
            // A plain value has no generation, and does not move.
            let old = record.value.generation().is_some_and(|own| own != run.generation);
            if old {
                bytes += usize::try_from(record.meta.value_len).unwrap_or(BATCH_BYTES);
                // A batch holds at least one value, however large, or the run would never advance.
                if bytes > BATCH_BYTES.min(limits.max_commit / 4) && !moves.is_empty() {
                    return self.advance(run, next, moves).await;
                }
                match self.reseal(release, record.clone()).await? {
                    Some(resealed) => moves.push((record, resealed)),
                    // Replaced or deleted since the page was read. The next pass sees what it is now.
                    None => next.again = true,
                }
            }
            next.cursor = Some(key.into());
            next.done += 1;
        }
        if page.more || !moves.is_empty() {
            return self.advance(run, next, moves).await;
        }
        if next.again {
            let again = RunRecord { cursor: None, done: 0, again: false, ..next };
            return self.advance(run, again, Vec::new()).await;
        }
        self.finish(run).await
    }

    /// Commits a batch and the run's new state, if nobody else has advanced the run.
    async fn advance(
        &self,
        before: RunRecord,
        after: RunRecord,
        moves: Vec<(SecretRecord, Resealed)>,
    ) -> Result<RunStep, Failure> {
        let mut reads = vec![store::run().to_vec(), store::keys().to_vec()];
        reads.extend(moves.iter().map(|(record, _)| record.key(self.records()).to_vec()));
        let advanced = self.journal().run(reads, move |tx| {
            let Some(now) = tx.get(&store::run())? else { return Ok(RunStep::NotOurs) };
            if now.cursor != before.cursor || now.generation != before.generation || now.done != before.done {
                return Ok(RunStep::NotOurs);
            }
            // A deposit may have requested another pass since the page was read. A pass that starts over covers it.
            let mut after = RunRecord { again: after.again || (now.again && !before.again), ..after.clone() };
            for (record, resealed) in &moves {
                if !tx.put_resealed(record, resealed)? {
                    after.again = true;
                }
            }
            tx.put(&store::run(), &after)?;
            Ok::<_, Stop<Failure>>(RunStep::Moved)
        });
        advanced.await
    }

    /// Drops the old generations and the run in one commit, unless another pass was requested.
    async fn finish(&self, run: RunRecord) -> Result<RunStep, Failure> {
        let store = self.clone();
        let task = async move {
            let _alone = store.inner.keys_change.lock().await;
            let Some(release) = store.release() else { return Ok(RunStep::NotOurs) };
            let older: Vec<u32> = release.ring.older_generations().collect();
            let mut ring = None;
            for generation in older {
                let from = ring.as_ref().unwrap_or(&release.ring);
                ring = Some(from.without_generation(generation).map_err(|_| Failure::Internal)?);
            }
            // No older generation: another process has finished the run.
            let Some(ring) = ring else { return Ok(RunStep::NotOurs) };
            let sealed = ring.seal(&mut store.records().rng());
            let event = Caller::this_process().event(AuditAction::ReEncryptFinish).about(target::store());
            let event = event.detail(DetailKey::Generation, AuditText::number(run.generation.into()));
            let (expected, stored) = (release.sealed.clone(), sealed.clone());
            let reads = vec![store::run().to_vec(), store::keys().to_vec()];
            let finished = store.journal().run(reads, move |tx| {
                let keys = tx.get(&store::keys())?.ok_or(Failure::Corrupt)?;
                let same = tx.get(&store::run())?.is_some_and(|now| now.cursor == run.cursor);
                let again = tx.get(&store::run())?.is_some_and(|now| now.again);
                if keys.ring != expected || !same {
                    return Ok(RunStep::NotOurs);
                }
                // A deposit of the old generation arrived since the last page. Dropping its key would lose it.
                if again {
                    return Ok(RunStep::Moved);
                }
                tx.put(&store::keys(), &KeysRecord { ring: stored.clone(), ..keys })?;
                tx.delete(&store::run());
                tx.audit(event.clone());
                Ok::<_, Stop<Failure>>(RunStep::Finished)
            });
            let step = finished.await?;
            if step == RunStep::Finished {
                store.replace_release(release.with_ring(ring, sealed));
            }
            Ok(step)
        };
        tokio::spawn(task).await.unwrap_or(Err(Failure::Internal))
    }
}

impl RunRecord {
    fn new(generation: u32) -> Self {
        Self { generation, cursor: None, done: 0, total: None, again: false, runner: None }
    }
}

impl Tx<'_> {
    /// Makes a run pass over everything once more, because a value of the old generation is being stored.
    pub(crate) fn request_another_pass(&mut self) -> Result<(), Halt> {
        let key: Key<RunRecord> = store::run();
        match self.get(&key)? {
            Some(run) if !run.again => self.put(&key, &RunRecord { again: true, ..run }),
            Some(_) | None => Ok(()),
        }
    }
}

fn changed_elsewhere() -> Error {
    Error::Conflict { why: "another process changed the keys: unlock this one again" }
}
