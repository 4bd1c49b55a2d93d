//! Backup and restore of the byte store's records, which stay encrypted. Neither opens a value.
//!
//! A backup is a snapshot of all keys at one revision, page by page. A restored store counts as empty until all of the
//! backup is verified and written.

mod ended;
mod format;
mod restore;

pub use ended::EndedByRestore;
pub use restore::{RestoreError, Restored, end_restored, restore};
use sha2::{Digest, Sha256};

use self::format::{Frame, Preamble};
use crate::domain::audit::AuditAction;
use crate::domain::code::Code;
use crate::domain::role::{Action, Denied};
use crate::kv::{KvSnapshot, Revision, SnapshotError};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// Records of one page.
const PAGE: usize = 500;
/// How often a backup starts over because the byte store dropped its snapshot.
const RESTARTS: u32 = 10;

/// A backup being read: pieces of its file, in order. Consistent as of one revision, at or after the call that started it.
pub struct Backup {
    store: Store,
    hash: Sha256,
    records: u64,
    restarts: u32,
    phase: BackupPhase,
}

enum BackupPhase {
    Preamble,
    /// A snapshot is to be taken.
    Snapshot,
    Records {
        snapshot: Box<dyn KvSnapshot>,
        after: Option<Vec<u8>>,
    },
    Trailer(Revision),
    Complete,
}

/// Why a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The caller has no permission.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// The store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// Starts a backup (the operator). The store stays writable meanwhile.
    pub async fn backup(&self, caller: &Caller) -> Result<Backup, BackupError> {
        let audit_action = AuditAction::StoreBackup;
        let permitted = self.permit(caller, Action::Backup, audit_action, Some(target::store())).await;
        permitted.map_err(|error| match error {
            Error::Forbidden(denied) => denied.into(),
            // `permit` has no other error.
            _ => BackupError::Failure(Failure::Internal),
        })?;
        // On record before the first byte leaves.
        self.journal().record(vec![caller.event(audit_action).about(target::store())]).await?;
        Ok(Backup {
            store: self.clone(),
            hash: Sha256::new(),
            records: 0,
            restarts: 0,
            phase: BackupPhase::Preamble,
        })
    }
}

impl Backup {
    /// Returns the next piece, some 64 KiB to 2 MiB, and `None` after the trailer. A stream without its trailer is not a
    /// backup.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, BackupError>> {
        loop {
            // An error leaves the phase `Complete`, so that nothing follows it and the file has no trailer.
            let piece = match std::mem::replace(&mut self.phase, BackupPhase::Complete) {
                BackupPhase::Complete => return None,
                BackupPhase::Preamble => {
                    self.phase = BackupPhase::Snapshot;
                    Ok(Preamble::of(&self.store).encode())
                }
                BackupPhase::Snapshot => self.take_snapshot().await,
                BackupPhase::Records { snapshot, after } => self.read_records(snapshot, after).await,
                BackupPhase::Trailer(revision) => Ok(self.trailer(revision)),
            };
            match piece {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => {
                    self.hash.update(&piece);
                    return Some(Ok(piece));
                }
                Err(failure) => return Some(Err(failure.into())),
            }
        }
    }

    /// Records so far, for a progress bar. Their total is not known in advance.
    pub fn records(&self) -> u64 {
        self.records
    }

    async fn take_snapshot(&mut self) -> Result<Vec<u8>, Failure> {
        let snapshot = self.store.records().kv.snapshot().await?;
        self.phase = BackupPhase::Records { snapshot, after: None };
        Ok(Vec::new())
    }

    async fn read_records(
        &mut self,
        mut snapshot: Box<dyn KvSnapshot>,
        after: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Failure> {
        // By pages, so that a backup of any size takes little memory.
        let page = match snapshot.page(after.as_deref(), PAGE).await {
            Ok(page) => page,
            // A slow reader can lose its snapshot, for example when etcd compacts its revisions.
            Err(SnapshotError::Expired) => return self.restart(),
            Err(SnapshotError::Read(error)) => return Err(error.into()),
        };
        let mut piece = Vec::new();
        // The header is the preamble's content, and what else is not sealed belongs to the place, not to the store.
        for entry in page.entries.iter().filter(|entry| !entry.key.starts_with(b"\0")) {
            self.records += 1;
            Frame::Put(&entry.key, &entry.value).write(&mut piece);
        }
        self.phase = match page.entries.into_iter().next_back() {
            Some(last) if page.more => BackupPhase::Records { snapshot, after: Some(last.key) },
            _ => BackupPhase::Trailer(page.revision),
        };
        Ok(piece)
    }

    /// Starts over with a new snapshot. The reader of the file forgets what came before.
    fn restart(&mut self) -> Result<Vec<u8>, Failure> {
        if self.restarts == RESTARTS {
            return Err(Failure::Overloaded);
        }
        self.restarts += 1;
        self.phase = BackupPhase::Snapshot;
        // Frames that were already sent cannot be taken back, and a second scan may lack some of their keys.
        let mut piece = Vec::new();
        Frame::Forget.write(&mut piece);
        Ok(piece)
    }

    fn trailer(&mut self, revision: Revision) -> Vec<u8> {
        let mut piece = Vec::new();
        // The digest covers this frame too, so that neither the count nor the revision can be changed.
        Frame::End { frames: self.records, revision: self.store.revision(revision) }.write(&mut piece);
        self.hash.update(&piece);
        let digest: [u8; 32] = self.hash.finalize_reset().into();
        piece.extend_from_slice(&format::sealed_digest(&self.store.records().key, &digest));
        piece
    }
}

impl Coded for BackupError {
    fn code(&self) -> Code {
        match self {
            Self::Forbidden(_) => Code::Forbidden,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Forbidden(denied) => denied.hint().map(str::to_owned),
            Self::Failure(failure) => failure.hint(),
        }
    }
}
