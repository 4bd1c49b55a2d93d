//! Signed checkpoints of the audit log, which people keep outside the store.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;

use crate::crypto::checkpoint_file::CheckpointFile;
use crate::domain::audit::AuditAction;
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::verify::{Coverage, Pace, verify};
use crate::store::engine::failure::Failure;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// How long one checkpoint goes to all machines that boot. A signature for each of them would cost as much as the rest of a boot.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The last checkpoint of this process's own chain, and when it was signed.
pub(crate) type OwnCheckpoint = Option<(Timestamp, Arc<str>)>;

impl Store {
    /// Returns a file with a checkpoint of every chain, and with proofs that the log continues the chains of `since`: numbers of entries
    /// by ids in hexadecimal.
    pub async fn checkpoint_audit(
        &self,
        caller: &Caller,
        since: &BTreeMap<String, u64>,
    ) -> Result<String, Error> {
        self.permit(caller, Action::VerifyAudit, AuditAction::AuditCheckpoint, None).await?;
        let verification = verify(self.records(), Coverage::Trees(since), Pace::Full).await?;
        self.record_verification(caller, AuditAction::AuditCheckpoint, &verification).await?;
        if !verification.ok {
            // A signature would make the damage look as if it belonged there.
            return Err(Failure::Corrupt.into());
        }
        let key = self.records().key.log_key();
        let file = CheckpointFile::sign(self.id(), &key, &verification.trees).ok_or(Failure::Internal)?;
        Ok(file.to_string())
    }

    /// Returns a file with the checkpoint of the chain that this process writes, at most a minute old, for a machine to keep. `None`
    /// before the first entry. It reads nothing: what is signed is what this process has written.
    pub(crate) fn own_checkpoint(&self) -> Option<Arc<str>> {
        let now = self.now();
        let mut last = self.inner.own_checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        // Signed again after the clock was set back, too.
        if let Some((at, text)) = &*last
            && (*at..at.plus(MAX_AGE)).contains(&now)
        {
            return Some(Arc::clone(text));
        }
        let own = self.journal().own_head()?;
        let (chain, tree) = (HEXLOWER.encode(&own.chain), own.tree.clone()?);
        let file = CheckpointFile::sign_one(self.id(), &self.records().key.log_key(), chain, tree);
        let text = file?.to_string();
        *last = Some((now, text.into()));
        last.as_ref().map(|(_, text)| Arc::clone(text))
    }
}
