//! `restore`: a store from a backup, without a running server. Opens no value.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::data_dir;
use super::data_dir::{DataDir, DataDirError};
use super::init::{InitOptions, SetupError, prepare_serving};
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::random::Kernel;
use crate::crypto::record::RecordKey;
use crate::store::Coded as _;
use crate::{kv, store};

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerRestoreError {
    /// The folder, its certificate or the byte store.
    #[error(transparent)]
    Make(#[from] SetupError),
    /// The folder.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The record key's file.
    #[error("the record key cannot be used")]
    RecordKey(#[source] KeyFileError),
    /// The backup.
    #[error(transparent)]
    Restore(#[from] store::RestoreError),
}

impl ServerRestoreError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Make(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::RecordKey(_) => {
                Some("use the record.key of the store that the backup was made of".to_owned())
            }
            Self::Restore(error) => error.hint(),
        }
    }
}

/// Files that may be in the folder already.
const KEPT: [&str; 3] = [data_dir::RECORD_KEY, data_dir::CONFIG, data_dir::TLS];

/// Restores into a folder that holds nothing but, perhaps, a record key, a configuration and certificates. `options` say
/// where the server will listen when there is no configuration yet; their secret is not used.
pub(crate) async fn restore(
    options: InitOptions,
    record_key: Option<PathBuf>,
    backup: &mut (dyn AsyncRead + Send + Unpin),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<store::Restored, ServerRestoreError> {
    data_dir::restrict_new_files();
    let kept: Vec<&str> = KEPT.into_iter().filter(|name| options.data.join(name).exists()).collect();
    let data = DataDir::create(&options.data, &kept)?;
    match fill(&data, &kept, options, record_key.as_deref(), backup, progress).await {
        Ok(restored) => Ok(restored),
        Err(error) => {
            data.abandon(&kept);
            Err(error)
        }
    }
}

async fn fill(
    data: &DataDir,
    kept: &[&str],
    options: InitOptions,
    record_key: Option<&Path>,
    backup: &mut (dyn AsyncRead + Send + Unpin),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<store::Restored, ServerRestoreError> {
    let own = data.file(data_dir::RECORD_KEY);
    let text = data_dir::read_private(record_key.unwrap_or(&own))?;
    let key = RecordKey::from_text(&text).map_err(ServerRestoreError::RecordKey)?;
    if !kept.contains(&data_dir::RECORD_KEY) {
        data.write(data_dir::RECORD_KEY, text.as_bytes(), 0o600)?;
    }
    if !kept.contains(&data_dir::TLS) && !kept.contains(&data_dir::CONFIG) {
        prepare_serving(data, &options)?;
    }
    let url = data.store(options.store);
    let kv = kv::open(&url).map_err(SetupError::Kv)?;
    let restored = store::restore(Arc::clone(&kv), &key, backup, &mut Kernel, progress).await;
    kv.close().await;
    let restored = restored?;
    data.complete()?;
    Ok(restored)
}
