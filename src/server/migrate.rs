//! `migrate`: moves a store to another byte store, without a running server. Decrypts no value.

use std::path::Path;
use std::sync::Arc;

use super::data_dir;
use super::data_dir::{DataDir, DataDirError, FolderUse};
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::record::RecordKey;
use crate::store::{Coded as _, Migrated, Moving};
use crate::{kv, store};

/// Why a store was not moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerMigrateError {
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error("the record key cannot be used")]
    RecordKey(#[source] KeyFileError),
    #[error("opening the byte store")]
    Kv(#[source] kv::KvOpenError),
    #[error("the byte store to move to is the one to move from")]
    Same,
    #[error(transparent)]
    Migrate(#[from] store::MigrateError),
}

impl ServerMigrateError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) => error.hint(),
            Self::RecordKey(_) => Some("restore the record.key that was created with the store".to_owned()),
            Self::Kv(_) | Self::Same => None,
            Self::Migrate(error) => error.hint(),
        }
    }
}

/// Moves the store of the folder `data` to another byte store; without `from`, from DIR/store.db.
pub(crate) async fn migrate(
    data: &Path,
    from: Option<kv::Url>,
    to: kv::Url,
    progress: &mut (dyn FnMut(Moving) + Send),
) -> Result<Migrated, ServerMigrateError> {
    data_dir::restrict_new_files();
    // Locks the folder: a server that still runs on it would go on writing to the old place.
    let data = DataDir::open(data, FolderUse::Migrate)?;
    let text = data_dir::read_private(&data.file(data_dir::RECORD_KEY))?;
    let key = RecordKey::from_text(&text).map_err(ServerMigrateError::RecordKey)?;
    let (from, to) = (data.store_url(from), data.store_url(Some(to)));
    // Before either is opened: opening one file twice would only fail on SQLite's lock, with a puzzling message.
    if from == to {
        return Err(ServerMigrateError::Same);
    }
    let (from, to) =
        (kv::open(&from).map_err(ServerMigrateError::Kv)?, kv::open(&to).map_err(ServerMigrateError::Kv)?);
    let migrated = store::migrate(&from, &to, &key, progress).await;
    // After a failure too: closing ends what either byte store still does in the background.
    for kv in [Arc::clone(&from), to] {
        kv.close().await;
    }
    Ok(migrated?)
}
