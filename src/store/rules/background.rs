//! Background tasks, in small steps that let callers go first: deleting what removed members left, settling data keys,
//! re-encrypting everything, deleting expired records.
//!
//! The pending work is recorded in the byte store, so that any process continues after a crash.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::id::{MemberId, OrgId};
use crate::domain::secret::Scope;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::journal::Stop;
use crate::store::engine::keys::{Key, Prefix};
use crate::store::rules::keys::OpenValueError;
use crate::store::rules::state_check;
use crate::store::rules::store::{Inner, Store};
use crate::store::tables::answers::{self, AnswerRecord};
use crate::store::tables::boots::{self, AttemptRecord};
use crate::store::tables::executed::{self, ExecutedRecord};
use crate::store::tables::holders::{self, RunningRecord};
use crate::store::tables::issuers::{self, UsedTokenRecord};
use crate::store::tables::linked_accounts::{self, UsedProofRecord};
use crate::store::tables::secrets::{self, SecretRecord};
use crate::store::tables::sessions::{self, SessionMark, SessionRecord};
use crate::store::tables::usage::CountOf;

/// How often the task runs when nobody wakes it.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long the task waits for more work after it was woken.
const GATHER: Duration = Duration::from_millis(20);
/// Records of one step.
const STEP: usize = 32;
/// How often expired records are deleted.
const DELETE_INTERVAL: Duration = Duration::from_secs(3600);
/// Operations in the journal's queue above which background tasks wait.
const BUSY: usize = 16;

/// What a pass over records does with one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordChange {
    Unchanged,
    Changed,
    Deleted,
}

/// Runs the background tasks for as long as the store is in use.
pub(crate) async fn run(store: Weak<Inner>, wake: Arc<Notify>) {
    let mut deleted_at: Option<Timestamp> = None;
    loop {
        {
            // Not held while the task waits, so that a store that nobody uses is dropped.
            let Some(inner) = store.upgrade() else { return };
            let store = Store { inner };
            if let Err(failure) = store.run_background_tasks(&mut deleted_at).await {
                tracing::debug!(%failure, "a background task failed and will be tried again");
            }
        }
        if tokio::time::timeout(INTERVAL, wake.notified()).await.is_ok() {
            // Every deposit wakes the task: those that come together share one commit.
            tokio::time::sleep(GATHER).await;
        }
    }
}

impl Store {
    pub(crate) fn start_background(&self) {
        // A weak reference, so that the task does not keep an unused store alive.
        tokio::spawn(run(Arc::downgrade(&self.inner), Arc::clone(&self.inner.background)));
        // A task of its own: a re-encryption of everything may keep this one busy for hours.
        self.start_recording_limited_events();
        tokio::spawn(state_check::run(Arc::downgrade(&self.inner)));
    }

    async fn run_background_tasks(&self, deleted_at: &mut Option<Timestamp>) -> Result<(), Failure> {
        self.clear_removed_members().await?;
        self.finish_withdrawals().await?;
        {
            // Another process may have changed the keys, and settling needs the newest generation.
            let _alone = self.inner.keys_change.lock().await;
            self.follow_keys().await?;
        }
        // Before a re-encryption, which may take long: unsettled values make every boot slower.
        self.settle_all().await?;
        self.index_older_boots().await?;
        self.continue_reencryption().await?;
        // Once an hour is enough: an expired record counts as absent until it is deleted.
        let now = self.now();
        if deleted_at.is_none_or(|at| now.since(at) >= DELETE_INTERVAL) {
            *deleted_at = Some(now);
            // Those that a crash or another process left: a dismissal starts its own task.
            self.clear_dismissals().await?;
            self.delete_expired(&answers::answers(), AnswerRecord::is_over).await?;
            self.delete_expired(&issuers::used_tokens(), UsedTokenRecord::is_over).await?;
            self.delete_expired(&boots::attempts(), AttemptRecord::is_over).await?;
            self.delete_expired(&executed::executed(), ExecutedRecord::is_over).await?;
            self.delete_expired(&holders::all_running(), RunningRecord::is_over).await?;
            self.prune_boots().await?;
            self.delete_expired(&sessions::sessions(), SessionRecord::is_over).await?;
            self.delete_expired(&sessions::session_marks(), SessionMark::is_over).await?;
            self.delete_expired(&linked_accounts::used_proofs(), UsedProofRecord::is_over).await?;
            self.prune_audit().await?;
            self.clear_unusable_marks().await?;
            self.recount_active_records().await?;
        }
        Ok(())
    }

    /// Waits while callers have operations in the queue.
    pub(crate) async fn yield_to_callers(&self) {
        // Even with an empty queue, reads of callers get the processor first.
        tokio::task::yield_now().await;
        if self.journal().waiting() > BUSY {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn delete_private_secrets(&self, org: OrgId, member: MemberId) -> Result<(), Failure> {
        let prefix = self.records().secrets(org, Scope::Private(member));
        loop {
            // Always from the start: the step before has deleted what was there.
            let page = self.records().scan(&prefix, None, STEP.min(self.secrets_per_commit())).await?;
            if page.found.is_empty() {
                return Ok(());
            }
            let keys: Vec<Key<SecretRecord>> =
                page.found.into_iter().map(|found| Key::new(found.key)).collect();
            let reads = keys.iter().map(Key::to_vec).collect();
            let measured = self.measure_records(org, CountOf::Secrets).await?;
            let cleared = self.journal().run(reads, move |tx| {
                for key in &keys {
                    // Another process may run the same task.
                    if let Some(record) = tx.get(key)? {
                        tx.count_records(org, CountOf::Secrets, -1, measured)?;
                        tx.delete_secret(&record)?;
                    }
                }
                Ok::<_, Stop<Failure>>(())
            });
            cleared.await?;
            self.yield_to_callers().await;
        }
    }

    /// Changes a record, if it exists.
    pub(crate) async fn update<T: Record + 'static>(
        &self,
        key: Key<T>,
        change: impl Fn(&mut T, Timestamp) + Send + 'static,
    ) -> Result<(), Failure> {
        let updated = self.journal().run(vec![key.to_vec()], move |tx| {
            if let Some(mut record) = tx.get(&key)? {
                change(&mut record, tx.now());
                tx.put(&key, &record)?;
            }
            Ok::<_, Stop<Failure>>(())
        });
        updated.await.map(|_| ())
    }

    /// Wraps the data keys of deposits so that boots open them without a public-key operation.
    pub(crate) async fn settle_all(&self) -> Result<(), Failure> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            // Read at each step, because the store may be locked at any time.
            let Some(release) = self.release() else { return Ok(()) };
            let most = STEP.min(self.secrets_per_commit());
            let page = self.records().scan(&secrets::all_unsettled(), after.as_deref(), most).await?;
            after = page.found.last().map(|found| found.key.clone());
            let keys: Vec<_> = page.found.iter().map(|found| secrets::marked(&found.key)).collect();
            let (mut settled, mut unusable) = (Vec::new(), Vec::new());
            let read = self.records().snapshot(keys.iter().map(Key::to_vec).collect()).await?;
            for (index, key) in keys.iter().enumerate() {
                let record = match read.read(self.records(), index, key) {
                    // One damaged record must not stop the background tasks.
                    Err(Failure::Corrupt) => continue,
                    record => record?,
                };
                let outcome = match &record {
                    None => Ok(None),
                    Some(record) => self.settle(&release, record),
                };
                match outcome {
                    Ok(new) => settled.push((key.clone(), record, new)),
                    // No boot can open it either, so that there is nothing to settle.
                    Err(OpenValueError::Unusable) => {
                        unusable.extend(record.clone());
                        settled.push((key.clone(), record, None));
                    }
                    // Another process has a newer generation, and settles it.
                    Err(OpenValueError::UnknownGeneration) => {}
                }
            }
            // Before the marks of what is to be settled are deleted: a crash in between must not lose the fact.
            self.note_unusable(&unusable.iter().collect::<Vec<_>>()).await?;
            let reads = settled.iter().map(|(key, ..)| key.to_vec()).collect();
            let stored = self.journal().run(reads, move |tx| {
                for (key, before, after) in &settled {
                    // If it has changed since, then the change set its own marker.
                    if tx.get(key)? == *before {
                        if let Some(after) = after {
                            tx.put(key, after)?;
                        }
                        tx.delete(&secrets::unsettled(key));
                    }
                }
                Ok::<_, Stop<Failure>>(())
            });
            stored.await?;
            if !page.more {
                return Ok(());
            }
            self.yield_to_callers().await;
        }
    }

    /// Deletes the expired records under a prefix.
    pub(crate) async fn delete_expired<T: Record + 'static>(
        &self,
        prefix: &Prefix<T>,
        is_over: fn(&T, Timestamp) -> bool,
    ) -> Result<(), Failure> {
        let delete = move |record: &mut T, now| match is_over(record, now) {
            true => RecordChange::Deleted,
            false => RecordChange::Unchanged,
        };
        self.change_each(prefix, delete).await.map(drop)
    }

    /// Changes the records under a prefix, in small commits, and returns how many.
    pub(crate) async fn change_each<T: Record + 'static>(
        &self,
        prefix: &Prefix<T>,
        change: impl Fn(&mut T, Timestamp) -> RecordChange + Copy + Send + 'static,
    ) -> Result<u64, Failure> {
        let (now, mut after, mut count) = (self.now(), None::<Vec<u8>>, 0);
        loop {
            let mut page = self.records().scan(prefix, after.as_deref(), 1000).await?;
            after = page.found.last().map(|found| found.key.clone());
            page.found.retain_mut(|found| change(&mut found.record, now) != RecordChange::Unchanged);
            let keys: Vec<Key<T>> = page.found.into_iter().map(|found| Key::new(found.key)).collect();
            for keys in keys.chunks(self.records_per_commit()) {
                let keys = keys.to_vec();
                let changed = self.journal().run(keys.iter().map(Key::to_vec).collect(), move |tx| {
                    let mut changed = 0;
                    for key in &keys {
                        // Read again: a session may have been used meanwhile.
                        let Some(mut record) = tx.get(key)? else { continue };
                        match change(&mut record, now) {
                            RecordChange::Unchanged => continue,
                            RecordChange::Changed => tx.put(key, &record)?,
                            RecordChange::Deleted => tx.delete(key),
                        }
                        changed += 1;
                    }
                    Ok::<u64, Stop<Failure>>(changed)
                });
                count += changed.await?;
                self.yield_to_callers().await;
            }
            if !page.more {
                return Ok(count);
            }
        }
    }

    /// Tickets or tokens whose records fit one commit, with their indexes and counts.
    pub(crate) fn records_per_commit(&self) -> usize {
        STEP.min(self.secrets_per_commit())
    }

    /// Secrets whose records fit one commit, with their indexes and bodies.
    fn secrets_per_commit(&self) -> usize {
        // A secret has its record, body, two names, id, marker and stamp; the rest is for the audit log.
        (self.records().kv.limits().max_writes_per_commit / 16).max(1)
    }
}
