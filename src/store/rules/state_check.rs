//! The regular verification of the log and of all rows, and what happens if it finds something.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::domain::audit::{AuditAction, AuditText, DetailKey, Outcome};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::audit::check::CheckRecord;
use crate::store::engine::audit::refused::RowId;
use crate::store::engine::audit::verify::{Coverage, Pace, Verification, verify};
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::store::{Inner, Store};

/// The minimum time between two starts.
const PERIOD: Duration = Duration::from_secs(600);
/// The minimum pause after a verification, as a multiple of its duration. While one runs, it works a quarter of the time, so that
/// all of them together take at most 2 % of a core.
const REST: u32 = 12;
/// How often a server looks whether a verification is due.
const LOOK: Duration = Duration::from_secs(60);
/// How often the server that verifies says so.
const BEAT: Duration = Duration::from_secs(60);
/// A verification of which nothing was heard for this long belonged to a server that was stopped.
const ABANDONED: Duration = Duration::from_secs(600);
/// Rows that are refused one by one. With more faults, refusing single rows does not help: restore a backup.
const MAX_REFUSED: usize = 10_000;

/// The last verification, by any server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCheck {
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended. `None` while it runs.
    pub ended_at: Option<Timestamp>,
    /// The time since the start of the one before.
    pub period: Option<Duration>,
    /// Entries of the log.
    pub entries: u64,
    /// Rows.
    pub rows: u64,
    /// Whether no fault was found.
    pub ok: bool,
    /// Rows that do not match the log.
    pub faults: u64,
}

/// Verifies the state regularly for as long as the store is in use.
pub(crate) async fn run(store: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK).await;
        // Not held while the task waits, so that a store that nobody uses is dropped.
        let Some(inner) = store.upgrade() else { return };
        if let Err(failure) = (Store { inner }).check_state_if_due().await {
            tracing::warn!(%failure, "the state of the store could not be verified and will be tried again");
        }
    }
}

impl Store {
    /// Makes this server lock itself when the verification finds a fault in the log or in the rows.
    pub fn with_lock_on_fault(self, lock: bool) -> Self {
        self.inner.lock_on_fault.store(lock, Ordering::Relaxed);
        self
    }

    /// Takes over which rows are refused, before this server serves anything.
    /// Returns the record that names them, and the commit that wrote it.
    pub(crate) async fn refuse_known_faults(&self) -> Result<Option<(CheckRecord, Revision)>, Failure> {
        let last = self.records().last_check().await?;
        if let Some((last, _)) = &last {
            // Only added: an older record that somebody restores must not make this server forget any.
            self.records().refused.add(&last.refused);
        }
        Ok(last)
    }

    /// Verifies the state if that is due and no other server does, and follows what another one found.
    pub(crate) async fn check_state_if_due(&self) -> Result<(), Failure> {
        let last = self.refuse_known_faults().await?;
        let now = self.now();
        // Without a record, because somebody has deleted it or because there was none, it is due at once.
        let is_due = last.as_ref().is_none_or(|(last, _)| match last.ended_at {
            Some(ended) => {
                let rest = ended.since(last.started_at) * REST;
                now.since(last.started_at) >= PERIOD && now.since(ended) >= rest
            }
            None => now.since(last.alive_at) >= ABANDONED,
        });
        if !is_due {
            return Ok(());
        }
        let (last, before) = last.unzip();
        let last = last.unwrap_or_else(|| CheckRecord::ended_at(now));
        let period = before.map(|_| millis(now.since(last.started_at)));
        // The result of the last one stays until this one ends.
        let begun = CheckRecord { started_at: now, alive_at: now, ended_at: None, period, ..last.clone() };
        // So that no other server verifies at the same time.
        if self.records().store_check(&begun, before).await?.is_none() {
            return Ok(());
        }
        let checked = tokio::select! {
            checked = self.verify_state(Pace::Background, Some(now)) => checked.map(drop),
            never = self.report_alive(now) => never,
        };
        if let Err(failure) = checked {
            // Due again at once, and not only when the verification counts as abandoned.
            let reset = move |record: CheckRecord| CheckRecord {
                started_at: last.started_at,
                ended_at: last.ended_at,
                period: last.period,
                ..record
            };
            self.update_check(now, reset).await?;
            return Err(failure);
        }
        // So that the next unlock has little to read. What it finds was found above.
        match self.verify_keys(Pace::Background).await {
            Ok(_) | Err(Failure::KeysNotVerified) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Writes again and again that the verification that began at `started_at` still runs.
    async fn report_alive(&self, started_at: Timestamp) -> Result<(), Failure> {
        loop {
            tokio::time::sleep(BEAT).await;
            let now = self.now();
            let updated =
                self.update_check(started_at, |record| CheckRecord { alive_at: now, ..record }).await;
            if let Err(failure) = updated {
                tracing::debug!(%failure, "another server may verify the state too");
            }
        }
    }

    /// Changes the record of the verification that began at `started_at`, if it still runs.
    async fn update_check(
        &self,
        started_at: Timestamp,
        change: impl FnOnce(CheckRecord) -> CheckRecord,
    ) -> Result<(), Failure> {
        if let Some((record, revision)) = self.records().last_check().await?
            && record.started_at == started_at
            && record.ended_at.is_none()
        {
            self.records().store_check(&change(record), Some(revision)).await?;
        }
        Ok(())
    }

    /// Verifies the log and all rows at the request of a person, and records the result.
    pub(crate) async fn check_state(&self, pace: Pace) -> Result<Verification, Failure> {
        self.verify_state(pace, None).await
    }

    /// Verifies the log and all rows, and records the result. `begun` is the time in the record of the regular verification.
    async fn verify_state(&self, pace: Pace, begun: Option<Timestamp>) -> Result<Verification, Failure> {
        let started_at = begun.unwrap_or_else(|| self.now());
        let verification = verify(self.records(), Coverage::State, pace).await?;
        let found = verification.rows.clone().unwrap_or_default();
        let refused: Vec<RowId> = found.faults.iter().take(MAX_REFUSED).map(|fault| fault.id).collect();
        self.records().refused.replace(&refused);
        let (last, before) = self.records().last_check().await?.unzip();
        let record = CheckRecord {
            entries: verification.entries,
            rows: found.rows,
            ok: verification.ok,
            faults: found.faults.len() as u64,
            refused,
            ..ended(last, started_at, begun.is_some(), self.now())
        };
        if !record.ok {
            self.respond_to_faults(&record).await;
        }
        // Another server may have stored its own result meanwhile.
        self.records().store_check(&record, before).await?;
        Ok(verification)
    }

    /// Records what a verification of a part of the state has found, so that every server refuses these rows.
    pub(crate) async fn report_faults(&self, verification: Verification) -> Result<(), Failure> {
        let (last, before) = self.records().last_check().await?.unzip();
        let now = self.now();
        let last = last.unwrap_or_else(|| CheckRecord::ended_at(now));
        let found = verification.rows.unwrap_or_default().faults;
        let mut refused = last.refused.clone();
        refused.extend(found.iter().map(|fault| fault.id).filter(|id| !last.refused.contains(id)));
        let faults = last.faults.max(refused.len() as u64);
        let record = CheckRecord { ok: false, faults, refused, ..last.clone() };
        self.records().refused.add(&record.refused);
        if record != last {
            // Once, and not with each operation that is refused.
            self.respond_to_faults(&record).await;
            self.records().store_check(&record, before).await?;
        }
        Ok(())
    }

    async fn respond_to_faults(&self, record: &CheckRecord) {
        tracing::error!(
            rows = record.faults,
            "the audit log or rows of the byte store were changed; run `dropsafe audit verify --state`"
        );
        let mut events = Vec::new();
        let caller = Caller::this_process();
        let mut event = caller.event(AuditAction::AuditVerify).about(target::store());
        event.outcome = Outcome::Failed;
        events.push(event.detail(DetailKey::Count, AuditText::number(record.faults)));
        if self.inner.lock_on_fault.load(Ordering::Relaxed) && !self.is_locked() {
            self.set_release(None);
            events.push(caller.event(AuditAction::StoreLock).about(target::store()));
        }
        // The rows are refused, and the store is locked, whether or not that can be recorded.
        if let Err(failure) = self.journal().record(events).await {
            tracing::error!(%failure, "the fault could not be recorded in the audit log: check the space and the health of the byte store");
        }
    }

    /// Returns the last verification, by any server.
    pub(crate) async fn last_state_check(&self) -> Result<Option<StateCheck>, Failure> {
        let last = self.records().last_check().await?;
        Ok(last.map(|(last, _)| StateCheck {
            started_at: last.started_at,
            ended_at: last.ended_at,
            period: last.period.map(Duration::from_millis),
            entries: last.entries,
            rows: last.rows,
            ok: last.ok,
            faults: last.faults,
        }))
    }
}

/// Returns the record with the times of a verification that has ended. `last` is what is stored.
fn ended(last: Option<CheckRecord>, started_at: Timestamp, is_regular: bool, now: Timestamp) -> CheckRecord {
    match last {
        Some(last) if is_regular && last.started_at == started_at => {
            CheckRecord { ended_at: Some(now), ..last }
        }
        // Another one runs, or began later. It keeps its times, so that the next one is due when it should be.
        Some(last) if last.ended_at.is_none() || last.started_at >= started_at => last,
        last => CheckRecord {
            ended_at: Some(now),
            period: last.map(|last| millis(started_at.since(last.started_at))),
            ..CheckRecord::ended_at(started_at)
        },
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
