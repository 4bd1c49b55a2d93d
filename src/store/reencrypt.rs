//! Re-encryption of everything: a new generation of the release key, to which all values move.
//!
//! The new generation and a run's record are one commit; from then on deposits go to it. Values move in bounded batches,
//! each with the cursor behind it in the same commit, so that a crash loses nothing and repeats at most one batch. The
//! commit that finds nothing left drops the old generation. A deposit to the old one meanwhile makes the run look again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::audit::{Tell, target};
use super::error::{Error, Failure};
use super::journal::{Halt, Stop, Tx};
use super::keys::{KeysRecord, Release, Resealed};
use super::keyspace::{self, Key};
use super::records::{Bytes, Found, Record};
use super::secrets::SecretRecord;
use super::{Caller, Store};
use crate::crypto::ring::NewGenerationError;
use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::role::Action;
use crate::domain::time::Timestamp;

/// Values in one commit, at most.
const BATCH: usize = 100;
/// Bytes of values in one batch, about.
const BATCH_BYTES: usize = 2 << 20;
/// Records that moving one value writes, at most.
const WRITES: usize = 4;
/// A run whose process has not got on for this long is another's to take over.
const LEASE: Duration = Duration::from_secs(30);

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether one is under way (it waits while the store is locked).
    pub running: bool,
    /// The generation that deposits go to.
    pub generation: u32,
    /// Secrets looked at so far.
    pub done: u64,
    /// Secrets to look at in all, as counted at its start; absent when not known.
    pub total: Option<u64>,
}

/// A run.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    generation: u32,
    /// Up to this key all is moved.
    cursor: Option<Bytes>,
    done: u64,
    total: Option<u64>,
    /// Whether something of the old generation was put behind the cursor.
    again: bool,
    /// Which process moves it, and until when it is nobody else's.
    runner: Option<([u8; 16], Timestamp)>,
}

impl Record for RunRecord {}

/// How one step of a run went.
#[derive(PartialEq, Eq)]
enum Step {
    Moved,
    Finished,
    /// Another process is at it, or this one cannot go on.
    NotOurs,
}

impl Store {
    /// Starts it (the operator), on an unlocked store; it goes on in the background, over restarts, and ends by dropping
    /// the old generation. When one is under way already, that one's progress is the answer.
    pub async fn reencrypt_all(&self, caller: &Caller) -> Result<Progress, Error> {
        let told = AuditAction::ReEncryptStart;
        self.permit(caller, Action::ReEncryptAll, told, Some(target::store())).await?;
        let (store, event) = (self.clone(), caller.event(told).about(target::store()));
        let task = async move {
            let _alone = store.inner.keys_change.lock().await;
            store.follow_keys().await?;
            let release = store.release().ok_or(Error::Locked)?;
            if store.records().get(&keyspace::run()).await?.is_none() {
                let keys = store.keys_record().await?;
                let made = release.ring.with_generation(&keys.slots, &mut store.records().rng());
                let (ring, slots) = made.map_err(|NewGenerationError::ForeignSlot(_)| changed_elsewhere())?;
                let sealed = ring.seal(&mut store.records().rng());
                let generation = ring.deposit_key().generation();
                let event = event.detail(DetailKey::Generation, AuditText::number(generation.into()));
                let (expected, stored) = (release.sealed.clone(), sealed.clone());
                let reads = vec![keyspace::keys().to_vec(), keyspace::run().to_vec()];
                let begun = store.journal().run(reads, move |tx| {
                    let keys = tx.get(&keyspace::keys())?.ok_or(Failure::Corrupt)?;
                    if keys.ring != expected || tx.has(&keyspace::run())? {
                        return Err(changed_elsewhere().into());
                    }
                    tx.put(
                        &keyspace::keys(),
                        &KeysRecord { slots: slots.clone(), ring: stored.clone(), ..keys },
                    )?;
                    tx.put(&keyspace::run(), &RunRecord::to(generation))?;
                    tx.audit(event.clone());
                    Ok::<_, Stop<Error>>(())
                });
                begun.await?;
                store.renew_release(release.changed_to(ring, sealed));
            }
            store.inner.chores.notify_one();
            let generation = store.deposit_key().await?.generation();
            Ok(store.progress(generation).await?)
        };
        tokio::spawn(task).await.unwrap_or_else(|_| Err(Failure::Internal.into()))
    }

    /// How far it is, for the operator and members.
    pub async fn reencrypt_progress(&self, caller: &Caller) -> Result<Progress, Error> {
        self.permit(caller, Action::ReadStoreStatus, AuditAction::StoreRead, Some(target::store())).await?;
        let generation = self.deposit_key().await?.generation();
        Ok(self.progress(generation).await?)
    }

    pub(crate) async fn progress(&self, generation: u32) -> Result<Progress, Failure> {
        let run = self.records().get(&keyspace::run()).await?;
        Ok(match run {
            None => Progress { running: false, generation, done: 0, total: None },
            Some(RunRecord { done, total, .. }) => Progress { running: true, generation, done, total },
        })
    }

    /// Goes on with a run, if there is one and the store is unlocked, to its end.
    pub(crate) async fn continue_run(&self) -> Result<(), Failure> {
        loop {
            let Some(run) = self.records().get(&keyspace::run()).await? else { return Ok(()) };
            let own = self.inner.process;
            let taken = run.runner.is_some_and(|(runner, until)| runner != own && until > self.now());
            let release =
                self.release().filter(|release| release.ring.current().generation() == run.generation);
            let Some(release) = release.filter(|_| !taken) else { return Ok(()) };
            let step = match run.total {
                None => self.count_run(run).await?,
                Some(_) => self.step(&release, run).await?,
            };
            if step != Step::Moved {
                return Ok(());
            }
            self.give_way().await;
        }
    }

    /// Counts what there is to move.
    async fn count_run(&self, run: RunRecord) -> Result<Step, Failure> {
        let (mut total, mut after) = (0, None::<Vec<u8>>);
        loop {
            let page =
                self.records().kv.scan(keyspace::all_secrets().bytes(), after.as_deref(), 1000).await?;
            total += page.entries.len() as u64;
            after = page.entries.last().map(|entry| entry.key.clone());
            if !page.more {
                break;
            }
            self.give_way().await;
        }
        let mut next = RunRecord { total: Some(total), ..run.clone() };
        next.runner = Some((self.inner.process, self.now().plus(LEASE)));
        self.advance(run, next, Vec::new()).await
    }

    /// Moves the next batch, or finishes.
    async fn step(&self, release: &Release, run: RunRecord) -> Result<Step, Failure> {
        let limits = self.records().kv.limits();
        let most = BATCH.min(limits.max_writes_per_commit / 2 / WRITES).max(1);
        let after = run.cursor.as_ref().map(|Bytes(key)| key.as_slice());
        let page = self.records().scan(&keyspace::all_secrets(), after, most).await?;
        let mut next = run.clone();
        next.runner = Some((self.inner.process, self.now().plus(LEASE)));
        let mut moves = Vec::new();
        let mut bytes = 0;
        for Found { key, record, .. } in page.found {
            let old = record.value.generation().is_some_and(|own| own != run.generation);
            if old {
                bytes += usize::try_from(record.meta.value_len).unwrap_or(BATCH_BYTES);
                if bytes > BATCH_BYTES.min(limits.max_commit / 4) && !moves.is_empty() {
                    return self.advance(run, next, moves).await;
                }
                match self.reseal(release, record.clone()).await? {
                    Some(resealed) => moves.push((record, resealed)),
                    None => next.again = true,
                }
            }
            next.cursor = Some(Bytes(key));
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

    /// Commits moves with the run as it is after them, if it still is as it was before.
    async fn advance(
        &self,
        before: RunRecord,
        after: RunRecord,
        moves: Vec<(SecretRecord, Resealed)>,
    ) -> Result<Step, Failure> {
        let mut reads = vec![keyspace::run().to_vec(), keyspace::keys().to_vec()];
        reads.extend(moves.iter().map(|(record, _)| record.key(self.records()).to_vec()));
        let advanced = self.journal().run(reads, move |tx| {
            let Some(now) = tx.get(&keyspace::run())? else { return Ok(Step::NotOurs) };
            if now.cursor != before.cursor || now.generation != before.generation || now.done != before.done {
                return Ok(Step::NotOurs);
            }
            // Set by a deposit since the page was read; a pass that starts over has it behind itself.
            let mut after = RunRecord { again: after.again || (now.again && !before.again), ..after.clone() };
            for (record, resealed) in &moves {
                if !tx.put_resealed(record, resealed)? {
                    after.again = true;
                }
            }
            tx.put(&keyspace::run(), &after)?;
            Ok::<_, Stop<Failure>>(Step::Moved)
        });
        advanced.await
    }

    /// Drops the old generations and the run, in one commit, unless something was put behind it.
    async fn finish(&self, run: RunRecord) -> Result<Step, Failure> {
        let store = self.clone();
        let task = async move {
            let _alone = store.inner.keys_change.lock().await;
            let Some(release) = store.release() else { return Ok(Step::NotOurs) };
            let older: Vec<u32> = release.ring.older_generations().collect();
            let mut ring = None;
            for generation in older {
                let from = ring.as_ref().unwrap_or(&release.ring);
                ring = Some(from.without_generation(generation).map_err(|_| Failure::Internal)?);
            }
            let Some(ring) = ring else { return Ok(Step::NotOurs) };
            let sealed = ring.seal(&mut store.records().rng());
            let event = Caller::this_process().event(AuditAction::ReEncryptFinish).about(target::store());
            let event = event.detail(DetailKey::Generation, AuditText::number(run.generation.into()));
            let (expected, stored) = (release.sealed.clone(), sealed.clone());
            let reads = vec![keyspace::run().to_vec(), keyspace::keys().to_vec()];
            let finished = store.journal().run(reads, move |tx| {
                let keys = tx.get(&keyspace::keys())?.ok_or(Failure::Corrupt)?;
                let same = tx.get(&keyspace::run())?.is_some_and(|now| now.cursor == run.cursor);
                let again = tx.get(&keyspace::run())?.is_some_and(|now| now.again);
                if keys.ring != expected || !same {
                    return Ok(Step::NotOurs);
                }
                if again {
                    return Ok(Step::Moved);
                }
                tx.put(&keyspace::keys(), &KeysRecord { ring: stored.clone(), ..keys })?;
                tx.delete(&keyspace::run());
                tx.audit(event.clone());
                Ok::<_, Stop<Failure>>(Step::Finished)
            });
            let step = finished.await?;
            if step == Step::Finished {
                store.renew_release(release.changed_to(ring, sealed));
            }
            Ok(step)
        };
        tokio::spawn(task).await.unwrap_or(Err(Failure::Internal))
    }
}

impl RunRecord {
    fn to(generation: u32) -> Self {
        Self { generation, cursor: None, done: 0, total: None, again: false, runner: None }
    }
}

impl Tx<'_> {
    /// Makes a run look at everything once more, since something of the old generation is being stored.
    pub(crate) fn look_again(&mut self) -> Result<(), Halt> {
        let key: Key<RunRecord> = keyspace::run();
        match self.get(&key)? {
            Some(run) if !run.again => self.put(&key, &RunRecord { again: true, ..run }),
            Some(_) | None => Ok(()),
        }
    }
}

fn changed_elsewhere() -> Error {
    Error::Conflict { why: "the keys were changed by another process: unlock this one again" }
}
