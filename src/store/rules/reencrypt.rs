//! Re-encryption of everything: all values move to a new generation of the release key.
//!
//! One commit creates the generation and the record of the run, and from then on deposits go to it. Values move in bounded
//! batches, each with the cursor behind it in the same commit, so that a crash loses nothing and repeats at most one batch.
//! The commit that finds nothing left drops the old generation. A deposit to the old generation requests another pass.
//!
//! A value that does not open stays as it is. The run then keeps the generation that it is of and reports it, and passes
//! over everything again once such a value was replaced or deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::code::Code;
use crate::domain::role::Action;
use crate::store::engine::audit::verify::Pace;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::keys::{Reseal, Resealed};
use crate::store::rules::secrets::describe_secret;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::{self, SecretRecord};
use crate::store::tables::store::{self, KeysRecord, RunRecord};

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
    /// Secrets whose values do not open, so that they stay under older generations.
    pub left: u64,
    /// Secrets whose records are damaged.
    pub damaged: u64,
    /// The older generations that these may need, whose release keys are kept.
    pub kept: Vec<u32>,
    /// Whether the generation before signed the current one, so that clients accept it.
    pub endorsed: bool,
}

/// What a step of a run has found.
#[derive(Default)]
struct Batch {
    moves: Vec<(SecretRecord, Resealed)>,
    left: Vec<SecretRecord>,
    bytes: usize,
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
    /// Returns the progress, for the operator and members.
    pub async fn reencrypt_progress(&self, caller: &Caller) -> Result<Progress, Error> {
        self.permit(caller, Action::ReadStoreStatus, AuditAction::StoreRead, Some(target::store())).await?;
        Ok(self.progress(&self.keys_record().await?).await?)
    }

    pub(crate) async fn progress(&self, keys: &KeysRecord) -> Result<Progress, Failure> {
        let (generation, endorsed) = (keys.ring.deposit_key().generation(), keys.is_endorsed());
        Ok(match self.records().get_unverified(&store::run()).await? {
            None => Progress { generation, endorsed, ..Progress::default() },
            Some(RunRecord { done, total, left, damaged, kept, ended, .. }) => {
                let kept = kept.into_iter().collect();
                Progress { running: !ended, generation, done, total, left, damaged, kept, endorsed }
            }
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
                // A process that has not followed the keys would seal to the old generation.
                self.release().filter(|release| release.ring.current().generation() == run.generation);
            let Some(release) = release.filter(|_| !taken) else { return Ok(()) };
            let step = match run.total {
                _ if run.ended => self.resume(run).await?,
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
            // From the byte store itself: counting need not open the records.
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
        self.advance(run, next, Batch::default()).await
    }

    /// Lets a run that has ended pass over everything again, if a value that it left was replaced or deleted.
    async fn resume(&self, run: RunRecord) -> Result<RunStep, Failure> {
        let marked = self.find_unusable(&secrets::all_unusable()).await?;
        let is_left = |record: &&SecretRecord| record.is_older(run.generation);
        if marked.iter().filter(is_left).count() as u64 >= run.left {
            return Ok(RunStep::Finished);
        }
        let next = RunRecord { ended: false, total: run.total, ..RunRecord::new(run.generation) };
        self.advance(run, next, Batch::default()).await
    }

    /// Moves the next batch, or finishes the run.
    async fn step(&self, release: &Release, run: RunRecord) -> Result<RunStep, Failure> {
        // Batches are bounded by what the byte store accepts, which differs between backends.
        let limits = self.records().kv.limits();
        // Half of a commit's writes is left for the audit log and for other operations of the same commit.
        let most = BATCH.min(limits.max_writes_per_commit / 2 / WRITES).max(1);
        let after = run.cursor.as_ref().map(|key| key.as_slice());
        // From the byte store itself: a record that does not open must not hide those behind it.
        let page = self.records().kv.scan(secrets::all_secrets().bytes(), after, most).await?;
        let mut next = run.clone();
        next.runner = Some((self.inner.process, self.now().plus(LEASE)));
        let mut batch = Batch::default();
        for entry in page.entries {
            match self.records().open::<SecretRecord>(&entry.key, &entry.value) {
                Ok(record) if record.is_older(run.generation) => {
                    batch.bytes += usize::try_from(record.meta.value_len).unwrap_or(BATCH_BYTES);
                    // A batch holds at least one value, however large, or the run would never advance.
                    if batch.bytes > BATCH_BYTES.min(limits.max_commit / 4) && !batch.moves.is_empty() {
                        return self.advance(run, next, batch).await;
                    }
                    self.move_secret(release, record, &mut next, &mut batch).await?;
                }
                // A plain value has no generation, and does not move.
                Ok(_) => {}
                Err(Failure::Corrupt) => {
                    next.damaged += 1;
                    // Which generation it is of is not known.
                    next.kept.extend(release.ring.older_generations());
                }
                Err(failure) => return Err(failure),
            }
            next.cursor = Some(entry.key.into());
            next.done += 1;
        }
        // The run ends only behind a last page without anything to move.
        if page.more || !batch.moves.is_empty() {
            return self.advance(run, next, batch).await;
        }
        if next.again {
            // From the start, because what is left can be anywhere.
            let again = RunRecord { total: run.total, runner: next.runner, ..RunRecord::new(run.generation) };
            return self.advance(run, again, batch).await;
        }
        // Their marks must be stored before the run ends.
        if !batch.left.is_empty() {
            return self.advance(run, next, batch).await;
        }
        self.finish(run, next).await
    }

    /// Seals one secret for the batch, or notes why it stays as it is.
    async fn move_secret(
        &self,
        release: &Release,
        record: SecretRecord,
        next: &mut RunRecord,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        let generation = record.value.generation();
        let kept = generation.filter(|generation| release.ring.release_key(*generation).is_some());
        match self.reseal(release, record.clone()).await {
            Ok(Reseal::Sealed(resealed)) => batch.moves.push((record, *resealed)),
            // The next pass sees what it is now.
            Ok(Reseal::Changed) => next.again = true,
            Ok(Reseal::Unusable) => {
                next.left += 1;
                next.kept.extend(kept);
                batch.left.push(record);
            }
            Err(Failure::Corrupt) => {
                next.damaged += 1;
                next.kept.extend(kept);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Commits a batch and the run's new state, if nobody else has advanced the run.
    async fn advance(&self, before: RunRecord, after: RunRecord, batch: Batch) -> Result<RunStep, Failure> {
        let Batch { moves, left, .. } = batch;
        let mut reads = vec![store::run().to_vec(), store::keys().to_vec()];
        let records = moves.iter().map(|(record, _)| record).chain(&left);
        reads.extend(records.map(|record| record.key(self.records()).to_vec()));
        let advanced = self.journal().run(reads, move |tx| {
            let Some(now) = tx.get(&store::run())? else { return Ok(RunStep::NotOurs) };
            let is_same = now.cursor == before.cursor && now.done == before.done && now.ended == before.ended;
            if !is_same || now.generation != before.generation {
                return Ok(RunStep::NotOurs);
            }
            // A deposit may have requested another pass since the page was read. A pass that starts over covers it.
            let mut after = RunRecord { again: after.again || (now.again && !before.again), ..after.clone() };
            for (record, resealed) in &moves {
                if !tx.put_resealed(record, resealed)? {
                    after.again = true;
                }
            }
            for record in &left {
                tx.mark_unusable(record)?;
                tx.audit(left_event(record));
            }
            tx.put(&store::run(), &after)?;
            Ok::<_, Stop<Failure>>(RunStep::Moved)
        });
        advanced.await
    }

    /// Drops the old generations that no value needs and ends the run in one commit, unless another pass was requested.
    async fn finish(&self, run: RunRecord, passed: RunRecord) -> Result<RunStep, Failure> {
        let store = self.clone();
        let task = async move {
            let _alone = store.inner.keys_change.lock().await;
            let Some(release) = store.release() else { return Ok(RunStep::NotOurs) };
            let older: Vec<u32> = release.ring.older_generations().collect();
            if older.is_empty() {
                // Another process has finished the run.
                return Ok(RunStep::NotOurs);
            }
            let mut ring = None;
            for generation in older.into_iter().filter(|generation| !passed.kept.contains(generation)) {
                let from = ring.as_ref().unwrap_or(&release.ring);
                ring = Some(from.without_generation(generation).map_err(|_| Failure::Internal)?);
            }
            let sealed = ring.as_ref().map(|ring| ring.seal(&mut store.records().rng()));
            let event = finish_event(&passed);
            // The generations that are dropped now are lost, so that the record of the run has to be the newest.
            let row = store.verify_keys(Pace::Full).await?.row;
            let (expected, stored) = (release.sealed.clone(), sealed.clone());
            let reads = vec![store::run().to_vec(), store::keys().to_vec()];
            let finished = store.journal().run(reads, move |tx| {
                let keys = tx.get(&store::keys())?.ok_or(Failure::Corrupt)?;
                let now = tx.get(&store::run())?.filter(|now| now.cursor == run.cursor && !now.ended);
                let is_verified = keys.ring == expected && tx.is_row(store::keys().bytes(), &row)?;
                let Some(now) = now.filter(|_| is_verified) else { return Ok(RunStep::NotOurs) };
                // A deposit of the old generation arrived since the last page. Dropping its key would lose it.
                if now.again {
                    return Ok(RunStep::Moved);
                }
                if let Some(ring) = stored.clone() {
                    tx.put(&store::keys(), &KeysRecord { ring, ..keys })?;
                }
                match passed.left + passed.damaged {
                    0 => tx.delete(&store::run()),
                    _ => tx.put(&store::run(), &RunRecord { ended: true, runner: None, ..passed.clone() })?,
                }
                tx.audit(event.clone());
                Ok::<_, Stop<Failure>>(RunStep::Finished)
            });
            let step = finished.await?;
            if step == RunStep::Finished
                && let (Some(ring), Some(sealed)) = (ring, sealed)
            {
                store.replace_release(release.with_ring(ring, sealed));
            }
            Ok(step)
        };
        tokio::spawn(task).await.unwrap_or(Err(Failure::Internal))
    }
}

/// The entry of the end of a run.
fn finish_event(run: &RunRecord) -> AuditEvent {
    let event = Caller::this_process().event(AuditAction::ReEncryptFinish).about(target::store());
    let event = event.detail(DetailKey::Generation, AuditText::number(run.generation.into()));
    let reason = match (run.left, run.damaged) {
        (0, 0) => return event,
        (_, 0) => Code::SecretUnusable,
        // Damage is the graver of the two.
        (_, _) => Code::Corrupt,
    };
    event.detail(DetailKey::Unusable, AuditText::number(run.left + run.damaged)).failed(reason)
}

/// The entry of a value that stays as it is, for those who may see the secret.
fn left_event(record: &SecretRecord) -> AuditEvent {
    let event = Caller::this_process().event(AuditAction::SecretReEncrypt).org(Some(record.org));
    let event = event.about(target::secret(record.meta.id, &record.meta.name));
    describe_secret(event.failed(Code::SecretUnusable), &record.meta)
}

impl SecretRecord {
    /// Whether its value is sealed to another generation than the current one.
    fn is_older(&self, current: u32) -> bool {
        self.value.generation().is_some_and(|own| own != current)
    }
}

impl RunRecord {
    pub(crate) fn new(generation: u32) -> Self {
        Self {
            generation,
            cursor: None,
            done: 0,
            total: None,
            again: false,
            runner: None,
            left: 0,
            damaged: 0,
            kept: BTreeSet::new(),
            ended: false,
        }
    }
}

impl Tx<'_> {
    /// Makes a run pass over everything once more, because a value of the old generation is being stored. Returns whether one
    /// is under way.
    pub(crate) fn request_another_pass(&mut self) -> Result<bool, Halt> {
        let key: Key<RunRecord> = store::run();
        let Some(run) = self.get(&key)?.filter(|run| !run.ended) else { return Ok(false) };
        if !run.again {
            self.put(&key, &RunRecord { again: true, ..run })?;
        }
        Ok(true)
    }
}
