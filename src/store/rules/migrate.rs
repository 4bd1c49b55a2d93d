//! Moves a store from one byte store to another. No record is opened except the store's identity.
//!
//! Records that are already there are not copied again, so that an interrupted move continues. The new place becomes a store
//! only after all records were compared by count and digest, and after the old place has stopped being one: two stores at
//! the same time would each accept the same use of a ticket.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::crypto::record::RecordKey;
use crate::domain::audit::AuditAction;
use crate::domain::code::Code;
use crate::domain::id::StoreId;
use crate::kv::{CommitError, Kv, KvEntry, Precondition, Revision, Write};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::format::decode;
use crate::store::engine::header;
use crate::store::engine::header::Header;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::continuation::Continuation;
use crate::store::tables::store::{self, Identity};

/// Marks a place to which a store is being moved, with the store's id, so that no two stores are mixed.
const MARKER: &[u8] = b"\0migrate";
/// Records of one page.
const PAGE: usize = 1000;
/// Passes before giving up because the old place keeps changing: a server still runs there.
const PASSES: u32 = 3;

/// The result of a move.
#[derive(Clone, Debug)]
pub struct Migrated {
    /// The store's id.
    pub store: StoreId,
    /// How many records it has.
    pub records: u64,
    /// SHA-256 over them, the same at both places.
    pub digest: [u8; 32],
}

/// The progress of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// This many records are at the new place.
    Copied(u64),
    /// This many were compared.
    Compared(u64),
}

/// Why a store was not moved. It is still in its old place, unless [`MigrateError::Moved`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The old place holds no store.
    #[error("the byte store to move from holds no store")]
    NoSource,
    /// Another version wrote the store.
    #[error("the store to move has a format that this program does not read")]
    Format,
    /// The store was already moved, and not to the new place.
    #[error("the store was already moved from there")]
    Moved,
    /// The record key is another store's.
    #[error("the record key is not this store's")]
    WrongRecordKey,
    /// The new place holds something else.
    #[error("the byte store to move to is not empty")]
    NotEmpty,
    /// A server still runs at the old place.
    #[error("the store changed while it was moved")]
    Changing,
    /// The new place does not return what was written to it.
    #[error("the two byte stores differ after the copy")]
    Differs,
    /// A record does not fit the new place.
    #[error("a record is too large for the byte store to move to")]
    TooLarge,
    /// One of the byte stores failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// The byte store at one of the two places.
struct MigrationPlace<'a> {
    kv: &'a Arc<dyn Kv>,
}

/// Reads all records of a place, except the place's own.
struct RecordWalk<'a> {
    kv: &'a Arc<dyn Kv>,
    page: std::vec::IntoIter<KvEntry>,
    after: Option<Vec<u8>>,
    more: bool,
}

/// Moves the store from `from` to `to`, neither of which may be in use.
pub async fn migrate(
    from: &Arc<dyn Kv>,
    to: &Arc<dyn Kv>,
    record_key: &RecordKey,
    progress: &mut (dyn FnMut(Moving) + Send),
) -> Result<Migrated, MigrateError> {
    let (source, target) = (MigrationPlace { kv: from }, MigrationPlace { kv: to });
    let header = source.get(header::HEADER).await?.ok_or(MigrateError::NoSource)?;
    // Either interrupted between the last two commits, or moved before. The new place tells which.
    let found = header::read_header(&header.value, record_key);
    let was_moved = matches!(found, Header::Moved(_));
    let format = match found {
        Header::Ours(format) | Header::Moved(format) => format,
        Header::OtherRecordKey => return Err(MigrateError::WrongRecordKey),
        Header::Older(_) | Header::Newer(_) => return Err(MigrateError::Format),
        Header::Foreign => return Err(MigrateError::NoSource),
    };
    // The only record that is opened, because the new place must continue its revisions.
    let identity = source.identity(record_key).await?;
    match target.begin(identity.id, record_key, was_moved).await {
        Err(MigrateError::NotEmpty) if was_moved => return Err(MigrateError::Moved),
        begun => begun?,
    }

    let mut passes = 0;
    let (records, digest, revision) = loop {
        passes += 1;
        let (_, before) = from.get(&[]).await.map_err(Failure::from)?;
        copy(&source, &target, progress).await?;
        let (records, digest) = source.sum(&mut |done| progress(Moving::Compared(done))).await?;
        let (_, after) = from.get(&[]).await.map_err(Failure::from)?;
        // Read back from the new place, so that what it lost or changed is noticed.
        let there = target.sum(&mut |_| {}).await?;
        // Equal sums decide. Revisions only tell a place that changed from one that lost data.
        match (before == after, there == (records, digest)) {
            (_, true) if source.sum(&mut |_| {}).await? == there => break (records, digest, after),
            (true, false) => return Err(MigrateError::Differs),
            _ if passes < PASSES => {}
            _ => return Err(MigrateError::Changing),
        }
    };
    if !was_moved {
        // From this commit on, no server opens the old place.
        let unchanged = vec![Precondition::At(header::HEADER.to_vec(), header.revision)];
        source
            .commit(
                unchanged,
                vec![Write::Put(header::HEADER.to_vec(), header::moved_header(record_key, format))],
            )
            .await?;
    }
    let store = identity.id;
    target.finish(record_key, format, identity, revision).await?;
    Ok(Migrated { store, records, digest })
}

/// Makes the target's records equal to the source's: writes what is missing or different, and deletes the rest.
async fn copy(
    source: &MigrationPlace<'_>,
    target: &MigrationPlace<'_>,
    progress: &mut (dyn FnMut(Moving) + Send),
) -> Result<(), MigrateError> {
    // Both sides are sorted, so that one pass finds all differences.
    let (mut here, mut there) = (source.walk(), target.walk());
    let (mut wanted, mut found) = (here.next().await?, there.next().await?);
    // Only the target's: reading has no such limits.
    let limits = target.kv.limits();
    let (mut writes, mut bytes, mut done) = (Vec::new(), 0, 0_u64);
    loop {
        let write = match (wanted.take(), found.take()) {
            (None, None) => break,
            (Some(entry), Some(other)) if entry.key == other.key => {
                found = there.next().await?;
                wanted = here.next().await?;
                done += 1;
                (entry.value != other.value).then_some(Write::Put(entry.key, entry.value))
            }
            (Some(entry), other) if other.as_ref().is_none_or(|other| entry.key < other.key) => {
                found = other;
                wanted = here.next().await?;
                done += 1;
                Some(Write::Put(entry.key, entry.value))
            }
            (entry, Some(other)) => {
                wanted = entry;
                found = there.next().await?;
                Some(Write::Delete(other.key))
            }
            // Unreachable: the arm before last takes every source entry without a target entry.
            (Some(_), None) => None,
        };
        if let Some(write) = write {
            let size =
                write.key().len() + if let Write::Put(_, value) = &write { value.len() } else { 0 } + 64;
            // Half of a commit's bytes leaves room for the keys of preconditions and for a backend's own.
            if writes.len() + 1 >= limits.max_writes_per_commit || bytes + size > limits.max_commit / 2 {
                target.commit(target.unmade(), std::mem::take(&mut writes)).await?;
                bytes = 0;
            }
            bytes += size;
            writes.push(write);
        }
        if done.is_multiple_of(1000) {
            progress(Moving::Copied(done));
        }
    }
    if !writes.is_empty() {
        target.commit(target.unmade(), writes).await?;
    }
    progress(Moving::Copied(done));
    Ok(())
}

impl MigrationPlace<'_> {
    async fn get(&self, key: &[u8]) -> Result<Option<KvEntry>, Failure> {
        Ok(self.kv.get(&[key.to_vec()]).await?.0.pop().flatten())
    }

    async fn commit(&self, held: Vec<Precondition>, writes: Vec<Write>) -> Result<(), MigrateError> {
        match self.kv.commit(held, writes).await {
            Ok(_) => Ok(()),
            Err(CommitError::TooLarge { .. }) => Err(MigrateError::TooLarge),
            // The only preconditions are about headers: another process uses the same byte store.
            Err(CommitError::Conflict { .. }) => Err(MigrateError::Changing),
            Err(error) => Err(Failure::from(error).into()),
        }
    }

    async fn identity(&self, record_key: &RecordKey) -> Result<Identity, MigrateError> {
        identity_of(self.kv, record_key).await
    }

    /// The precondition that nobody has created a store at this place.
    fn unmade(&self) -> Vec<Precondition> {
        vec![Precondition::Absent(header::HEADER.to_vec())]
    }

    /// Marks an empty place. Also accepts one that holds a part of the same store, or that the store was moved from.
    async fn begin(
        &self,
        store: StoreId,
        record_key: &RecordKey,
        source_moved: bool,
    ) -> Result<(), MigrateError> {
        let header = self.get(header::HEADER).await?;
        let marker = self.get(MARKER).await?;
        let first = self.kv.scan(&[], None, 1).await.map_err(Failure::from)?;
        // The id in the marker tells an interrupted move of this store from one of another store.
        let ours = marker.as_ref().is_some_and(|marker| marker.value == store.as_bytes());
        let mark = Write::Put(MARKER.to_vec(), store.as_bytes().to_vec());
        match header {
            None if ours => Ok(()),
            None if first.entries.is_empty() => self.commit(self.unmade(), vec![mark]).await,
            // The store moves back to a place where it was before.
            Some(header)
                if !source_moved
                    && matches!(header::read_header(&header.value, record_key), Header::Moved(_)) =>
            {
                let held = vec![Precondition::At(header::HEADER.to_vec(), header.revision)];
                self.commit(held, vec![Write::Delete(header::HEADER.to_vec()), mark]).await
            }
            _ => Err(MigrateError::NotEmpty),
        }
    }

    /// The count and the digest of all records.
    async fn sum(&self, progress: &mut (dyn FnMut(u64) + Send)) -> Result<(u64, [u8; 32]), MigrateError> {
        let (mut walk, mut count, mut hash) = (self.walk(), 0_u64, Sha256::new());
        while let Some(entry) = walk.next().await? {
            for part in [&entry.key, &entry.value] {
                // With lengths, so that no other division into keys and values has the same digest.
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            count += 1;
            if count.is_multiple_of(1000) {
                progress(count);
            }
        }
        progress(count);
        Ok((count, hash.finalize().into()))
    }

    /// Makes the place a store whose revisions continue those of the old place.
    async fn finish(
        &self,
        record_key: &RecordKey,
        format: u16,
        identity: Identity,
        revision: Revision,
    ) -> Result<(), MigrateError> {
        let found = self.get(store::identity().bytes()).await?.ok_or(Failure::Corrupt)?;
        // Revisions must not repeat: clients and caches compare them.
        let identity = Identity { revision_base: identity.revision_base + revision, ..identity };
        let event = Caller::this_process().event(AuditAction::StoreMigrate).about(target::store());
        let continuation = Continuation { kv: self.kv, record_key, marker: MARKER, format, event };
        let (held, writes) = continuation.commit_parts(&identity, &found.value).await?;
        self.commit(held, writes).await
    }

    fn walk(&self) -> RecordWalk<'_> {
        RecordWalk { kv: self.kv, page: Vec::new().into_iter(), after: None, more: true }
    }
}

impl RecordWalk<'_> {
    /// Returns the next record. The header and the marker belong to the place, not to the store.
    async fn next(&mut self) -> Result<Option<KvEntry>, Failure> {
        loop {
            match self.page.next() {
                Some(entry) if entry.key.starts_with(b"\0") => {}
                Some(entry) => return Ok(Some(entry)),
                None if !self.more => return Ok(None),
                None => {
                    let page = self.kv.scan(&[], self.after.as_deref(), PAGE).await?;
                    if let Some(last) = page.entries.last() {
                        // Pages may come from different revisions. The sums of both places find what changed in between.
                        self.after = Some(last.key.clone());
                    }
                    self.more = page.more;
                    self.page = page.entries.into_iter();
                }
            }
        }
    }
}

async fn identity_of(kv: &Arc<dyn Kv>, record_key: &RecordKey) -> Result<Identity, MigrateError> {
    let key = store::identity();
    let found = kv.get(&[key.to_vec()]).await.map_err(Failure::from)?.0.pop().flatten();
    let sealed = found.ok_or(Failure::Corrupt)?.value;
    let plain = record_key.open_record(key.bytes(), &sealed).map_err(|_| Failure::Corrupt)?;
    Ok(decode(&plain)?)
}

impl Coded for MigrateError {
    fn code(&self) -> Code {
        match self {
            Self::NoSource => Code::NotFound,
            Self::NotEmpty => Code::AlreadyInitialised,
            Self::WrongRecordKey => Code::Forbidden,
            Self::Format | Self::Moved | Self::Changing | Self::Differs => Code::Conflict,
            Self::TooLarge => Code::InvalidRequest,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Format => "use the version of this program that serves the store",
            Self::NoSource => "check where the store is",
            Self::Moved => "serve it from where it was moved to",
            Self::WrongRecordKey => "use the record key that `init` made for this store",
            Self::NotEmpty => "name an empty place, or the one that an earlier move was cut short at",
            Self::Changing => {
                "stop all servers of this store, then move it again: what is there already is kept"
            }
            Self::Differs => "move it again; when it happens twice, look for faults of the disks",
            Self::TooLarge => "shorten the largest values, or let the byte store take larger requests",
            Self::Failure(failure) => return failure.hint(),
        };
        Some(hint.to_owned())
    }
}
