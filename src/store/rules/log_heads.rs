//! The heads of the audit log that a server has seen, and the restores that it has accepted: what it keeps in its data folder.

use crate::domain::epoch::RestoreEpoch;
use crate::store::engine::audit::seen_heads::SeenHeads;
use crate::store::engine::failure::Failure;
use crate::store::rules::store::Store;
use crate::store::tables::store;

/// Why a store is not the one that a server has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogHeadsError {
    /// It was restored since, and nobody has told the server to accept that.
    #[error("the store was restored from a backup (epoch {epoch}), which this server has not accepted")]
    Restored {
        /// The epoch of the restore.
        epoch: RestoreEpoch,
    },
    /// `RolledBack` if its log does not continue what the server has seen: the end was cut off or replaced.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// Compares the log with the text that an earlier call returned, and returns the text of how it is now. A restore counts as accepted
    /// if its epoch is `accept`. If the store is not the one that was seen, this server locks itself.
    pub async fn follow_log_heads(
        &self,
        seen: Option<&str>,
        accept: Option<RestoreEpoch>,
    ) -> Result<String, LogHeadsError> {
        // Read at each call: a restore replaces the whole byte store.
        let epoch = match self.records().get(&store::identity()).await {
            Ok(identity) => identity.ok_or(Failure::RolledBack).map(|identity| identity.epoch),
            Err(Failure::Corrupt) => Err(Failure::RolledBack),
            Err(failure) => Err(failure),
        };
        let followed = match epoch {
            Ok(epoch) => self.follow(epoch, seen, accept).await,
            Err(failure) => Err(failure.into()),
        };
        if let Err(error @ (LogHeadsError::Restored { .. } | LogHeadsError::Failure(Failure::RolledBack))) =
            &followed
        {
            tracing::error!(%error, "the byte store is not the one that this server has seen");
            self.set_release(None);
        }
        followed
    }

    /// Returns what is known of the log when it cannot be followed: the text that an earlier call returned, and what this process has
    /// committed since.
    pub fn known_log_heads(&self, seen: Option<&str>) -> String {
        let mut known = seen.and_then(SeenHeads::parse).unwrap_or_default();
        known.add_own(self.journal().own_head().as_deref());
        known.to_text()
    }

    async fn follow(
        &self,
        epoch: Option<RestoreEpoch>,
        seen: Option<&str>,
        accept: Option<RestoreEpoch>,
    ) -> Result<String, LogHeadsError> {
        // Taken before the read, which must include it: the owner of the byte store can answer each read with older content, but this
        // process knows what it has committed itself.
        let own = self.journal().own_head();
        let mut now = SeenHeads::read(self.records()).await?;
        let parsed = seen.map(SeenHeads::parse);
        if parsed == Some(None) {
            tracing::warn!("`log-heads` cannot be read, so the audit log was not compared with it");
        }
        let mut seen = parsed.flatten().unwrap_or_else(|| SeenHeads::of_epoch(epoch));
        seen.add_own(own.as_deref());
        now.epochs.clone_from(&seen.epochs);
        match epoch {
            epoch if epoch.as_ref() == seen.epochs.last() => {
                if !seen.are_continued_by(&now, self.records()).await? {
                    return Err(Failure::RolledBack.into());
                }
            }
            // An epoch is accepted once: with a flag that was left in a unit file, an older one must not come back.
            Some(epoch) if !seen.epochs.contains(&epoch) => {
                if accept != Some(epoch) {
                    return Err(LogHeadsError::Restored { epoch });
                }
                now.epochs.push(epoch);
            }
            _ => return Err(Failure::RolledBack.into()),
        }
        Ok(now.to_text())
    }
}
