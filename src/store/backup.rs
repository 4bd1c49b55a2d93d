//! Backup and restore: the byte store's records as they are, encrypted. Neither opens a value.

use std::sync::Arc;

use tokio::io::AsyncRead;

use super::error::Failure;
use super::{Caller, Store};
use crate::crypto::record::RecordKey;
use crate::domain::id::StoreId;
use crate::kv::Kv;

/// A backup being read: pieces of its file, in order. Consistent as of the moment that its last piece was made.
pub struct Backup {
    _todo: (),
}

impl Backup {
    /// The next piece, some 64 KiB to 2 MiB; none after the trailer. A stream that stops without it is no backup.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, BackupError>> {
        todo!()
    }

    /// Records so far, and how many are expected in all, for a progress bar.
    pub fn progress(&self) -> (u64, Option<u64>) {
        todo!()
    }
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The caller may not.
    #[error("not allowed to this credential")]
    Forbidden {
        /// Why, in words of the rules.
        why: String,
    },
    /// The store could not.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The store's id.
    pub store: StoreId,
    /// How many records it has.
    pub records: u64,
    /// The revision of the store when the backup was made.
    pub revision: u64,
}

/// Why nothing was restored; the byte store still counts as empty.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The byte store holds a store.
    #[error("the byte store already holds a store")]
    NotEmpty,
    /// The stream is no backup.
    #[error("this is not a backup of this program")]
    NotABackup,
    /// Made by a newer version of this program.
    #[error("the backup has format {found}, and this program knows up to {known}")]
    NewerFormat {
        /// The backup's.
        found: u16,
        /// The newest that is known here.
        known: u16,
    },
    /// Cut short or changed.
    #[error("the backup is damaged or cut short")]
    Damaged,
    /// The record key is not that of the store that the backup was made of.
    #[error("the record key is not this backup's")]
    WrongRecordKey,
    /// The stream could not be read.
    #[error("the backup cannot be read")]
    Read(#[source] std::io::Error),
    /// The byte store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// Starts a backup (the operator). Writing goes on meanwhile.
    pub async fn backup(&self, caller: &Caller) -> Result<Backup, BackupError> {
        let _ = caller;
        todo!()
    }
}

/// Writes a backup into an empty byte store, which counts as empty until the last piece is verified and written.
/// `progress` is told the records so far.
pub async fn restore(
    kv: Arc<dyn Kv>,
    record_key: &RecordKey,
    stream: &mut (dyn AsyncRead + Send + Unpin),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Restored, RestoreError> {
    let _ = (kv, record_key, stream, progress);
    todo!()
}
