//! Reading a backup into an empty byte store.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::crypto::record::RecordKey;
use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::code::Code;
use crate::domain::epoch::RestoreEpoch;
use crate::domain::id::StoreId;
use crate::domain::time::Timestamp;
use crate::kv::{Kv, Precondition, Write};
use crate::store::engine::audit::tables;
use crate::store::engine::clock::{Entropy as _, KernelEntropy, SystemClock};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::format::decode;
use crate::store::engine::header;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::backup::ended::EndedByRestore;
use crate::store::rules::backup::format::{
    DIGEST, FORMAT, MAX_KEY, MAX_VALUE, OLDEST_FORMAT, PREAMBLE, Preamble, sealed_digest,
};
use crate::store::rules::caller::Caller;
use crate::store::rules::continuation::Continuation;
use crate::store::rules::init::OpenError;
use crate::store::rules::log_heads::LogHeadsError;
use crate::store::rules::store::Store;
use crate::store::tables::store::{self, Identity};

/// The result of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The store's id.
    pub store: StoreId,
    /// How many records were read.
    pub records: u64,
    /// The revision of the backup, from which the restored store continues.
    pub revision: u64,
    /// The time of the newest entry of the audit log that the backup holds.
    pub newest: Option<Timestamp>,
    /// The epoch that begins. The other servers of the store have to be told to accept it.
    pub epoch: RestoreEpoch,
}

/// Why nothing was restored. The byte store still counts as empty.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The byte store holds a store or something else.
    #[error("the byte store is not empty")]
    NotEmpty,
    /// The stream is not a backup.
    #[error("this is not a backup of this program")]
    NotABackup,
    /// Written by a program from before the first release.
    #[error("the backup has format {found}, and this program reads format {oldest} and newer")]
    OlderFormat {
        /// The backup's format.
        found: u16,
        /// The oldest that this program reads.
        oldest: u16,
    },
    /// A later version made the backup.
    #[error("the backup has format {found}, and this program reads up to {known}")]
    NewerFormat {
        /// The backup's format.
        found: u16,
        /// The newest that this program reads.
        known: u16,
    },
    /// Truncated or changed.
    #[error("the backup is damaged or cut short")]
    Damaged,
    /// The record key belongs to another store.
    #[error("the record key is not this backup's")]
    WrongRecordKey,
    /// The stream could not be read.
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
    /// The byte store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Writes a backup into an empty byte store, which counts as empty until everything is verified and written. Reports the
/// records so far to `progress`. The next restore deletes what a failed one left behind.
pub async fn restore(
    kv: Arc<dyn Kv>,
    record_key: &RecordKey,
    stream: &mut (dyn AsyncRead + Send + Unpin),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Restored, RestoreError> {
    let mut input = BackupInput { stream, hash: Sha256::new() };
    let preamble = input.array::<PREAMBLE>().await.map_err(|error| match error {
        // Too short even for a preamble.
        RestoreError::Damaged => RestoreError::NotABackup,
        error => error,
    })?;
    let preamble = Preamble::decode(&preamble).ok_or(RestoreError::NotABackup)?;
    if preamble.format < OLDEST_FORMAT {
        return Err(RestoreError::OlderFormat { found: preamble.format, oldest: OLDEST_FORMAT });
    }
    if preamble.format > FORMAT {
        return Err(RestoreError::NewerFormat { found: preamble.format, known: FORMAT });
    }
    if preamble.record_key != header::key_check(record_key) {
        return Err(RestoreError::WrongRecordKey);
    }
    let mut target =
        RestoreTarget { kv, record_key, pending: BTreeMap::new(), bytes: 0, records: 0, newest: None };
    // From here on, the marker tells a failed restore from a foreign byte store.
    target.begin().await?;
    let outcome = fill(&mut target, &mut input, &preamble, progress).await;
    if outcome.is_err() {
        // If this fails too, the marker stays, and the next restore clears the rest.
        let _ = target.clear().await;
    }
    outcome
}

/// Ends in a restored store what must not survive the restore, and returns the text with which the server of the data folder
/// begins to follow the log. `seen` is the text of the store that was in the folder before.
pub async fn end_restored(
    kv: Arc<dyn Kv>,
    record_key: RecordKey,
    epoch: RestoreEpoch,
    seen: Option<&str>,
) -> Result<(EndedByRestore, String), OpenError> {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(KernelEntropy));
    let (store, ended) = Store::open_idle(kv, record_key, clock, random, true).await?;
    let heads = store.follow_log_heads(seen, Some(epoch)).await;
    store.journal().close().await;
    match heads {
        Ok(heads) => Ok((ended, heads)),
        Err(LogHeadsError::Failure(failure)) => Err(failure.into()),
        // Another restore has replaced it meanwhile.
        Err(LogHeadsError::Restored { .. }) => Err(Failure::Conflict.into()),
    }
}

async fn fill(
    target: &mut RestoreTarget<'_>,
    input: &mut BackupInput<'_>,
    preamble: &Preamble,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Restored, RestoreError> {
    loop {
        let [letter] = input.array().await?;
        match letter {
            b'P' => {
                let key = u32::from_be_bytes(input.array().await?);
                let value = u32::from_be_bytes(input.array().await?);
                let key = input.bytes(key, MAX_KEY).await?;
                let value = input.bytes(value, MAX_VALUE).await?;
                target.take(key, value).await?;
                if target.records.is_multiple_of(1000) {
                    progress(target.records);
                }
            }
            // The frames that follow are a complete new snapshot. The count of frames continues.
            b'F' => target.clear().await?,
            b'E' => break,
            _ => return Err(RestoreError::Damaged),
        }
    }
    let frames = u64::from_be_bytes(input.array().await?);
    let revision = u64::from_be_bytes(input.array().await?);
    let digest: [u8; 32] = input.hash.finalize_reset().into();
    let expected = sealed_digest(target.record_key, &digest);
    // Also detects a truncated file, because only a complete one has the keyed digest of all frames.
    if input.array::<DIGEST>().await? != expected || frames != target.records {
        return Err(RestoreError::Damaged);
    }
    // Somebody may have put an older backup in front of a newer one.
    if input.stream.read(&mut [0]).await.map_err(RestoreError::Read)? > 0 {
        return Err(RestoreError::Damaged);
    }
    let epoch = target.finish(preamble, revision).await?;
    progress(frames);
    Ok(Restored { store: preamble.store, records: frames, revision, newest: target.newest, epoch })
}

struct BackupInput<'a> {
    stream: &'a mut (dyn AsyncRead + Send + Unpin),
    hash: Sha256,
}

impl BackupInput<'_> {
    async fn array<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let mut bytes = [0; N];
        self.read(&mut bytes).await?;
        Ok(bytes)
    }

    async fn bytes(&mut self, len: u32, most: usize) -> Result<Vec<u8>, RestoreError> {
        // Checked before the allocation, because the file is not verified yet.
        let len = usize::try_from(len).ok().filter(|len| *len <= most).ok_or(RestoreError::Damaged)?;
        let mut bytes = vec![0; len];
        self.read(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read(&mut self, bytes: &mut [u8]) -> Result<(), RestoreError> {
        self.stream.read_exact(bytes).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => RestoreError::Damaged,
            _ => RestoreError::Read(error),
        })?;
        self.hash.update(bytes);
        Ok(())
    }
}

struct RestoreTarget<'a> {
    kv: Arc<dyn Kv>,
    record_key: &'a RecordKey,
    pending: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    records: u64,
    /// The time of the newest entry of the audit log.
    newest: Option<Timestamp>,
}

impl RestoreTarget<'_> {
    /// Marks an empty byte store, or clears one that a failed restore left.
    async fn begin(&mut self) -> Result<(), RestoreError> {
        let first = self.kv.scan(&[], None, 1).await.map_err(Failure::from)?;
        let marked = self
            .kv
            .get(&[header::RESTORE_MARKER.to_vec()])
            .await
            .map_err(Failure::from)?
            .0
            .pop()
            .flatten()
            .is_some();
        let header = self.kv.get(&[header::HEADER.to_vec()]).await.map_err(Failure::from)?.0.pop().flatten();
        // Never over another store, and never into data of another program.
        if header.is_some() || (!first.entries.is_empty() && !marked) {
            return Err(RestoreError::NotEmpty);
        }
        // A failed restore can have left any part of a backup, also of another one.
        if marked {
            return Ok(self.clear().await?);
        }
        let absent = vec![
            Precondition::Absent(header::HEADER.to_vec()),
            Precondition::Absent(header::RESTORE_MARKER.to_vec()),
        ];
        let mark = vec![Write::Put(header::RESTORE_MARKER.to_vec(), vec![1])];
        self.kv.commit(absent, mark).await.map_err(Failure::from)?;
        Ok(())
    }

    async fn take(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), RestoreError> {
        // Those keys are a place's own, such as its header, which must not exist before the end.
        if key.is_empty() || key.starts_with(b"\0") {
            return Err(RestoreError::Damaged);
        }
        // Opened at its own key, so that nothing is written that the store could not read.
        self.record_key.open_record(&key, &value).map_err(|_| RestoreError::Damaged)?;
        let size = key.len() + value.len() + 64;
        let limits = self.kv.limits();
        // Half of a commit, because a backend counts more than keys and values.
        if self.pending.len() + 2 > limits.max_writes_per_commit || self.bytes + size > limits.max_commit / 2
        {
            self.flush().await?;
        }
        self.bytes += size;
        self.records += 1;
        self.newest = self.newest.max(tables::entry_parts(&key).map(|(at, ..)| at));
        self.pending.insert(key, value);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.bytes = 0;
        let writes = std::mem::take(&mut self.pending).into_iter().map(|(key, value)| Write::Put(key, value));
        // Another process must not create a store here meanwhile.
        let no_store = vec![Precondition::Absent(header::HEADER.to_vec())];
        self.kv.commit(no_store, writes.collect()).await?;
        Ok(())
    }

    /// Deletes everything except the marker.
    async fn clear(&mut self) -> Result<(), Failure> {
        self.pending.clear();
        (self.bytes, self.newest) = (0, None);
        let most = self.kv.limits().max_writes_per_commit.min(500);
        let mut after = None;
        loop {
            let page = self.kv.scan(&[], after.as_deref(), most).await?;
            after = page.entries.last().map(|entry| entry.key.clone());
            let rest =
                page.entries.into_iter().map(|entry| entry.key).filter(|key| key != header::RESTORE_MARKER);
            let no_store = vec![Precondition::Absent(header::HEADER.to_vec())];
            self.kv.commit(no_store, rest.map(Write::Delete).collect()).await?;
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Makes the byte store a store whose revisions continue those of the backup.
    async fn finish(&mut self, preamble: &Preamble, revision: u64) -> Result<RestoreEpoch, RestoreError> {
        self.flush().await?;
        let key = store::identity();
        let found = self.kv.get(&[key.to_vec()]).await.map_err(Failure::from)?.0.pop().flatten();
        let sealed = found.ok_or(RestoreError::Damaged)?.value;
        let plain = self.record_key.open_record(key.bytes(), &sealed).map_err(|_| RestoreError::Damaged)?;
        let identity: Identity = decode(&plain).map_err(|_| RestoreError::Damaged)?;
        // The preamble names the store before anything is verified. The sealed identity is the proof.
        if identity.id != preamble.store {
            return Err(RestoreError::Damaged);
        }
        let mut random = [0; 5];
        KernelEntropy.fill(&mut random);
        let epoch = RestoreEpoch::from_bytes(random);
        // Revisions must not repeat: clients and caches compare them.
        let identity =
            Identity { revision_base: revision, epoch: Some(epoch), is_restoring: true, ..identity };
        let event = Caller::this_process().event(AuditAction::StoreRestore).about(target::store());
        let continuation = Continuation {
            kv: &self.kv,
            record_key: self.record_key,
            marker: header::RESTORE_MARKER,
            format: preamble.format,
            event: event.detail(DetailKey::Epoch, epoch),
        };
        let (preconditions, writes) = continuation.commit_parts(&identity, &sealed).await?;
        self.kv.commit(preconditions, writes).await.map_err(Failure::from)?;
        Ok(epoch)
    }
}

impl Coded for RestoreError {
    fn code(&self) -> Code {
        match self {
            Self::NotEmpty => Code::AlreadyInitialised,
            Self::NotABackup | Self::OlderFormat { .. } | Self::NewerFormat { .. } => Code::InvalidRequest,
            Self::Damaged => Code::Corrupt,
            Self::WrongRecordKey => Code::Forbidden,
            Self::Read(_) => Code::Unavailable,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotEmpty => "restore into a new folder, or move the byte store (store.db) away first",
            Self::OlderFormat { .. } => {
                "no release wrote this format: back up a store that this version serves"
            }
            Self::NewerFormat { .. } => "use the version of this program that made it, or a newer one",
            Self::Damaged => "use another copy of the backup",
            Self::WrongRecordKey => "put the record key of the old store beside the new one",
            Self::NotABackup | Self::Read(_) => return None,
            Self::Failure(failure) => return failure.hint(),
        };
        Some(hint.to_owned())
    }
}
