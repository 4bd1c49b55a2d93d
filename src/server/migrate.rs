//! `migrate`: a store to another byte store, without a running server. Opens no value.

use std::path::Path;
use std::sync::Arc;

use super::data_dir;
use super::data_dir::{DataDir, DataDirError};
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::random::Kernel;
use crate::crypto::record::RecordKey;
use crate::store::{Coded as _, Migrated, Moving};
use crate::{kv, store};

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerMigrateError {
    /// The folder.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The record key's file.
    #[error("the record key cannot be used")]
    RecordKey(#[source] KeyFileError),
    /// One of the byte stores.
    #[error("opening the byte store")]
    Kv(#[source] kv::KvOpenError),
    /// Both are one.
    #[error("the byte store to move to is the one to move from")]
    Same,
    /// The move.
    #[error(transparent)]
    Migrate(#[from] store::MigrateError),
}

impl ServerMigrateError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) => error.hint(),
            Self::RecordKey(_) => Some("put back the record.key that the store was made with".to_owned()),
            Self::Kv(_) | Self::Same => None,
            Self::Migrate(error) => error.hint(),
        }
    }
}

/// Moves the store of the folder `data` from one byte store to another; `from` unless said is DIR/store.db.
pub(crate) async fn migrate(
    data: &Path,
    from: Option<kv::Url>,
    to: kv::Url,
    progress: &mut (dyn FnMut(Moving) + Send),
) -> Result<Migrated, ServerMigrateError> {
    data_dir::restrict_new_files();
    let data = DataDir::open(data)?;
    let text = data_dir::read_private(&data.file(data_dir::RECORD_KEY))?;
    let key = RecordKey::from_text(&text).map_err(ServerMigrateError::RecordKey)?;
    let (from, to) = (data.store(from), data.store(Some(to)));
    if from == to {
        return Err(ServerMigrateError::Same);
    }
    let (from, to) =
        (kv::open(&from).map_err(ServerMigrateError::Kv)?, kv::open(&to).map_err(ServerMigrateError::Kv)?);
    let migrated = store::migrate(&from, &to, &key, &mut Kernel, progress).await;
    for kv in [Arc::clone(&from), to] {
        kv.close().await;
    }
    Ok(migrated?)
}
