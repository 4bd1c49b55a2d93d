//! `restore`: creates a store from a backup, without a running server. Decrypts no value.

use std::path::PathBuf;
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

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerRestoreError {
    #[error(transparent)]
    Make(#[from] SetupError),
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error("the record key cannot be used")]
    RecordKey(#[source] KeyFileError),
    #[error(transparent)]
    Restore(#[from] store::RestoreError),
}

impl ServerRestoreError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Make(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::RecordKey(_) => Some("use the record.key of the store that was backed up".to_owned()),
            Self::Restore(error) => error.hint(),
        }
    }
}

/// Files that the folder may contain already.
const KEPT: [&str; 3] = [data_dir::RECORD_KEY, data_dir::CONFIG, data_dir::TLS];

/// Restores into a folder that contains nothing but, perhaps, a record key, a configuration and certificates. `options` say
/// where the server will listen if there is no configuration yet; their secret is not used.
pub(crate) async fn restore(
    options: InitOptions,
    record_key: Option<PathBuf>,
    backup: &mut (dyn AsyncRead + Send + Unpin),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<store::Restored, ServerRestoreError> {
    data_dir::restrict_new_files();
    let kept: Vec<&str> = KEPT.into_iter().filter(|name| options.data.join(name).exists()).collect();
    let data = DataDir::create(&options.data, &kept)?;
    let key_file = record_key.unwrap_or_else(|| data.file(data_dir::RECORD_KEY));
    let restored = async {
        let text = data_dir::read_private(&key_file)?;
        let key = RecordKey::from_text(&text).map_err(ServerRestoreError::RecordKey)?;
        if !kept.contains(&data_dir::RECORD_KEY) {
            data.write(data_dir::RECORD_KEY, text.as_bytes(), 0o600)?;
        }
        // Neither, so that a configuration which names certificates elsewhere is left alone.
        if !kept.contains(&data_dir::TLS) && !kept.contains(&data_dir::CONFIG) {
            prepare_serving(&data, &options)?;
        }
        let kv = kv::open(&data.store_url(options.store)).map_err(SetupError::Kv)?;
        let restored = store::restore(Arc::clone(&kv), &key, backup, &mut Kernel, progress).await;
        kv.close().await;
        let restored = restored?;
        data.mark_complete()?;
        Ok(restored)
    }
    .await;
    if restored.is_err() {
        // Without half a store: the next attempt finds the folder as this one did.
        data.abandon(&kept);
    }
    restored
}
