//! `restore`: creates a store from a backup, without a running server. Decrypts no value.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::data_dir;
use super::data_dir::{DataDir, DataDirError};
use super::init::{InitOptions, SetupError, prepare_serving, write_configuration};
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::record::RecordKey;
use crate::kv::Kv;
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
    #[error("{} is another record key", path.display())]
    OtherRecordKey { path: PathBuf },
}

/// What failed after the records were restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnfinishedRestore {
    #[error("its sessions, enrolment links and limited tickets may still be valid")]
    End(#[source] store::OpenError),
    #[error("`log-heads` of this server could not be updated")]
    LogHeads(#[from] DataDirError),
}

impl ServerRestoreError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Make(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::RecordKey(_) => Some("use the record.key of the store that was backed up".to_owned()),
            Self::Restore(error) => error.hint(),
            Self::OtherRecordKey { .. } => {
                Some("leave out --record-key, or move the key in the folder away".to_owned())
            }
        }
    }
}

/// A restored store.
pub(crate) struct RestoredStore {
    pub(crate) restored: store::Restored,
    /// What the restore ended. After an error, the next start of a server ends the same, once it is told to accept the epoch.
    pub(crate) ended: Result<store::EndedByRestore, UnfinishedRestore>,
}

/// Restores into a folder that contains nothing but, perhaps, a record key, a configuration, certificates, and what the server of the
/// store before left. `options` say where the server will listen if there is no configuration yet; their secret is not used.
pub(crate) async fn restore(
    options: InitOptions,
    record_key: Option<PathBuf>,
    backup: &mut (dyn AsyncRead + Send + Unpin),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<RestoredStore, ServerRestoreError> {
    data_dir::restrict_new_files();
    let (data, kept) = DataDir::open_for_restore(&options.data)?;
    let copied = copy(&data, &kept, options, record_key, backup, progress).await;
    let (kv, key, restored) = match copied {
        Ok(copied) => copied,
        Err(error) => {
            // Without half a store: the next attempt finds the folder as this one did.
            data.abandon(&kept);
            return Err(error);
        }
    };
    // From here on, it is a store, whatever fails. The heads that the server had seen stay until the new ones replace them: without
    // them, it would accept any store.
    let log_heads = data.file(data_dir::LOG_HEADS);
    let seen = if log_heads.exists() { data_dir::read(&log_heads).map(Some) } else { Ok(None) };
    let ended = match seen {
        Ok(seen) => {
            let seen = seen.as_deref().map(String::as_str);
            let ended = store::end_restored(Arc::clone(&kv), key, restored.epoch, seen).await;
            ended.map_err(UnfinishedRestore::End)
        }
        Err(error) => Err(error.into()),
    };
    kv.close().await;
    let ended = ended.and_then(|(ended, log_heads)| {
        // A rollback between now and the first start is noticed too.
        data.write(data_dir::LOG_HEADS, log_heads.as_bytes(), 0o600)?;
        Ok(ended)
    });
    Ok(RestoredStore { restored, ended })
}

/// Writes what is missing in the folder, and the records.
async fn copy(
    data: &DataDir,
    kept: &[String],
    options: InitOptions,
    record_key: Option<PathBuf>,
    backup: &mut (dyn AsyncRead + Send + Unpin),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(Arc<dyn Kv>, RecordKey, store::Restored), ServerRestoreError> {
    let is_kept = |name: &str| kept.iter().any(|kept| kept == name);
    let own = data.file(data_dir::RECORD_KEY);
    let text = data_dir::read_private(record_key.as_ref().unwrap_or(&own))?;
    let key = RecordKey::from_text(&text).map_err(ServerRestoreError::RecordKey)?;
    if !is_kept(data_dir::RECORD_KEY) {
        data.write(data_dir::RECORD_KEY, text.as_bytes(), 0o600)?;
    } else if record_key.is_some() && data_dir::read_private(&own)?.trim() != text.trim() {
        return Err(ServerRestoreError::OtherRecordKey { path: own });
    }
    // Only if both are missing: a configuration may name certificates that are elsewhere.
    if !is_kept(data_dir::TLS) && !is_kept(data_dir::CONFIG) {
        prepare_serving(data, &options)?;
    } else if !is_kept(data_dir::CONFIG) {
        write_configuration(data, &options)?;
    }
    let kv = kv::open(&data.store_url(options.store)).map_err(SetupError::Kv)?;
    match store::restore(Arc::clone(&kv), &key, backup, progress).await {
        Ok(restored) => Ok((kv, key, restored)),
        Err(error) => {
            kv.close().await;
            Err(error.into())
        }
    }
}
