//! The heads of the audit log that this server has seen, kept in the data folder: what it compares the log with at each start and
//! while it runs.

use std::time::Duration;

use super::data_dir::{self, DataDir, DataDirError};
use super::run::RunError;
use crate::domain::epoch::RestoreEpoch;
use crate::store::{Failure, LogHeadsError, Store};

/// How often the log is compared.
const INTERVAL: Duration = Duration::from_secs(30);

/// The heads that are in the data folder.
pub(crate) struct LogHeads<'a> {
    data: &'a DataDir,
    store: &'a Store,
    seen: Option<String>,
}

impl<'a> LogHeads<'a> {
    /// Compares the log with the heads that this server saw before it was stopped. `accept` is the restore that the operator accepts.
    ///
    /// # Errors
    /// `RolledBack` if the log is shorter than then, or differs; `Restored` after another restore.
    pub(crate) async fn open(
        data: &'a DataDir,
        store: &'a Store,
        accept: Option<RestoreEpoch>,
    ) -> Result<Self, RunError> {
        let path = data.file(data_dir::LOG_HEADS);
        let seen = if path.exists() { Some(data_dir::read(&path)?.to_string()) } else { None };
        let mut heads = Self { data, store, seen };
        match heads.follow_restored(accept).await {
            Err(LogHeadsError::Restored { epoch }) => Err(RunError::Restored { epoch }),
            Err(LogHeadsError::Failure(Failure::RolledBack)) => Err(RunError::RolledBack),
            // The byte store may be unreachable now: `watch` tries again. Nothing is unlocked from a byte store that is damaged.
            Ok(()) | Err(LogHeadsError::Failure(Failure::Unavailable | Failure::Overloaded)) => Ok(heads),
            Err(LogHeadsError::Failure(failure)) => Err(RunError::Open(failure.into())),
        }
    }

    /// Compares again and again until the future is dropped.
    pub(crate) async fn watch(&mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            match self.follow().await {
                Ok(()) => {}
                // This process has the state of the store from before in memory, so that only a start accepts a restore.
                Err(error @ LogHeadsError::Restored { epoch }) => tracing::error!(
                    "{error}; this server has locked itself: if `dropsafe restore` printed {epoch}, start it again with --accept-restore EPOCH"
                ),
                Err(LogHeadsError::Failure(failure)) => {
                    tracing::warn!(%failure, "the audit log could not be compared with what this server has seen");
                }
            }
        }
    }

    /// Compares the log, and keeps its heads.
    pub(crate) async fn follow(&mut self) -> Result<(), LogHeadsError> {
        self.follow_restored(None).await
    }

    async fn follow_restored(&mut self, accept: Option<RestoreEpoch>) -> Result<(), LogHeadsError> {
        let seen = self.seen.as_deref();
        let followed = self.store.follow_log_heads(seen, accept).await;
        let known = match &followed {
            Ok(now) => now.clone(),
            // For the next start, which has nothing else to compare the log with.
            Err(LogHeadsError::Failure(Failure::RolledBack)) => self.store.known_log_heads(seen),
            Err(_) => return followed.map(drop),
        };
        if seen != Some(&*known) {
            match self.data.write(data_dir::LOG_HEADS, known.as_bytes(), 0o600) {
                Ok(()) => self.seen = Some(known),
                Err(error) => warn(&error),
            }
        }
        followed.map(drop)
    }
}

fn warn(error: &DataDirError) {
    tracing::warn!(%error, "the heads of the audit log could not be written: check the free space and the permissions of the data folder");
}
