//! What is done in the background, in small steps that give way to callers: clearing up after removed members, settling
//! data keys, moving to a new generation, forgetting old answers.
//!
//! Each chore is found in the byte store, so that it is gone on with after a crash, by any process.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::id::{MemberId, OrgId, TicketId, TokenId};
use crate::domain::secret::Scope;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::Stop;
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Record;
use crate::store::rules::boots::AttemptRecord;
use crate::store::rules::idempotency::Answer;
use crate::store::rules::keys::OpenValueError;
use crate::store::rules::members::RemovalRecord;
use crate::store::rules::secrets::SecretRecord;
use crate::store::rules::sessions::{SessionMark, SessionRecord};
use crate::store::rules::store::{Inner, Store};
use crate::store::tables::keyspace;

/// Looked for anew when nobody rings.
const EVERY: Duration = Duration::from_secs(60);
/// Waited for more after a ring.
const GATHER: Duration = Duration::from_millis(20);
/// Records of one step.
const STEP: usize = 32;
/// How often old answers are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// Operations in the queue from which chores wait.
const BUSY: usize = 16;

/// Does chores for as long as the store is used.
pub(crate) async fn tend(store: Weak<Inner>, bell: Arc<Notify>) {
    let mut forgot_at: Option<Timestamp> = None;
    loop {
        {
            let Some(inner) = store.upgrade() else { return };
            let store = Store { inner };
            let done = store.tend(&mut forgot_at).await;
            if let Err(failure) = done {
                tracing::debug!(%failure, "background work stopped, to be tried again");
            }
        }
        if tokio::time::timeout(EVERY, bell.notified()).await.is_ok() {
            // Rung at each deposit: what comes together is done together, in one commit.
            tokio::time::sleep(GATHER).await;
        }
    }
}

impl Store {
    async fn tend(&self, forgot_at: &mut Option<Timestamp>) -> Result<(), Failure> {
        self.clear_up().await?;
        {
            let _alone = self.inner.keys_change.lock().await;
            self.follow_keys().await?;
        }
        self.settle_all().await?;
        self.continue_run().await?;
        let now = self.now();
        if forgot_at.is_none_or(|at| now.since(at) >= FORGET_EVERY) {
            *forgot_at = Some(now);
            self.forget(&keyspace::answers(), Answer::is_over).await?;
            self.forget(&keyspace::attempts(), AttemptRecord::is_over).await?;
            self.forget(&keyspace::sessions(), SessionRecord::is_over).await?;
            self.forget(&keyspace::session_marks(), SessionMark::is_over).await?;
        }
        Ok(())
    }

    /// Lets callers go first.
    pub(crate) async fn give_way(&self) {
        tokio::task::yield_now().await;
        if self.journal().waiting() > BUSY {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Deletes what removed members left.
    async fn clear_up(&self) -> Result<(), Failure> {
        let (removals, _) = self.records().scan_all(&keyspace::removals()).await?;
        for removal in removals {
            let RemovalRecord { org, member } = removal.record;
            self.clear_secrets(org, member).await?;
            let index = self.records().tokens(Some(org));
            let (tokens, _) = self.records().scan_all(&index).await?;
            let tokens = tokens.iter().filter(|found| found.record == Some(member));
            for id in tokens.filter_map(|found| index.id(&found.key)) {
                let key = keyspace::token(TokenId::from_bytes(id));
                self.end(key, |token, now| _ = token.revoked_at.get_or_insert(now)).await?;
            }
            let index = self.records().tickets(org);
            let (tickets, _) = self.records().scan_all(&index).await?;
            let tickets = tickets.iter().filter(|found| found.record == member);
            for id in tickets.filter_map(|found| index.id(&found.key)) {
                let key = keyspace::ticket(TicketId::from_bytes(id));
                self.end(key, |ticket, now| _ = ticket.revoked_at.get_or_insert(now)).await?;
            }
            let done = self.journal().run(Vec::new(), move |tx| {
                tx.delete(&keyspace::removal(member));
                Ok::<_, Stop<Failure>>(())
            });
            done.await?;
        }
        Ok(())
    }

    async fn clear_secrets(&self, org: OrgId, member: MemberId) -> Result<(), Failure> {
        let prefix = self.records().secrets(org, Scope::Private(member));
        loop {
            let page = self.records().scan(&prefix, None, STEP.min(self.secrets_per_step())).await?;
            if page.found.is_empty() {
                return Ok(());
            }
            let keys: Vec<Key<SecretRecord>> =
                page.found.into_iter().map(|found| Key::new(found.key)).collect();
            let reads = keys.iter().map(Key::to_vec).collect();
            let cleared = self.journal().run(reads, move |tx| {
                for key in &keys {
                    if let Some(record) = tx.get(key)? {
                        tx.delete_secret(&record);
                    }
                }
                Ok::<_, Stop<Failure>>(())
            });
            cleared.await?;
            self.give_way().await;
        }
    }

    /// Changes one record, if it is there.
    async fn end<T>(&self, key: Key<T>, change: fn(&mut T, Timestamp)) -> Result<(), Failure>
    where
        T: Record + 'static,
    {
        let ended = self.journal().run(vec![key.to_vec()], move |tx| {
            if let Some(mut record) = tx.get(&key)? {
                change(&mut record, tx.now());
                tx.put(&key, &record)?;
            }
            Ok::<_, Stop<Failure>>(())
        });
        ended.await.map(|_| ())
    }

    /// Wraps data keys so that boots open them without public-key work.
    async fn settle_all(&self) -> Result<(), Failure> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let Some(release) = self.release() else { return Ok(()) };
            let most = STEP.min(self.secrets_per_step());
            let page = self.records().scan(&keyspace::all_unsettled(), after.as_deref(), most).await?;
            after = page.found.last().map(|found| found.key.clone());
            let keys: Vec<_> = page.found.iter().map(|found| keyspace::marked(&found.key)).collect();
            let mut settled = Vec::new();
            for (key, record) in keys.iter().zip(self.records().get_all(&keys).await?) {
                let outcome = match &record {
                    None => Ok(None),
                    Some(record) => self.settle(&release, record),
                };
                match outcome {
                    Ok(new) => settled.push((key.clone(), record, new)),
                    // It will be so at each boot too; nothing is left to do.
                    Err(OpenValueError::Unusable) => settled.push((key.clone(), record, None)),
                    Err(OpenValueError::UnknownGeneration) => {}
                }
            }
            let reads = settled.iter().map(|(key, ..)| key.to_vec()).collect();
            let stored = self.journal().run(reads, move |tx| {
                for (key, before, after) in &settled {
                    // Changed since: its marker was set anew, or is of no use.
                    if tx.get(key)? == *before {
                        if let Some(after) = after {
                            tx.put(key, after)?;
                        }
                        tx.delete(&keyspace::unsettled(key));
                    }
                }
                Ok::<_, Stop<Failure>>(())
            });
            stored.await?;
            if !page.more {
                return Ok(());
            }
            self.give_way().await;
        }
    }

    /// Deletes the records under a prefix whose time is over.
    async fn forget<T: Record + 'static>(
        &self,
        prefix: &Prefix<T>,
        is_over: fn(&T, Timestamp) -> bool,
    ) -> Result<(), Failure> {
        let now = self.now();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.records().scan(prefix, after.as_deref(), 1000).await?;
            after = page.found.last().map(|found| found.key.clone());
            let over = page.found.into_iter().filter(|found| is_over(&found.record, now));
            let over: Vec<Key<T>> = over.map(|found| Key::new(found.key)).collect();
            for keys in over.chunks(STEP.min(self.secrets_per_step())) {
                let keys = keys.to_vec();
                let forgotten = self.journal().run(keys.iter().map(Key::to_vec).collect(), move |tx| {
                    for key in &keys {
                        if tx.get(key)?.is_some_and(|record| is_over(&record, now)) {
                            tx.delete(key);
                        }
                    }
                    Ok::<_, Stop<Failure>>(())
                });
                forgotten.await?;
                self.give_way().await;
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Secrets of one step, so that all their records fit a commit.
    fn secrets_per_step(&self) -> usize {
        (self.records().kv.limits().max_writes_per_commit / 16).max(1)
    }
}
