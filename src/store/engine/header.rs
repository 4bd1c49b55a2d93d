//! The header of a byte store: what kind of store it holds, in which format, and under which record key.
//!
//! The format of a store is the number of the newest program that has opened it, and says which formats its records may
//! have. An older program, which could not read what that one writes, refuses the store from then on.

use crate::crypto::record::RecordKey;
use crate::kv::{CommitError, Kv, KvEntry, Precondition, Write};
use crate::store::engine::failure::Failure;

/// The one key whose value is not sealed, because it is read before the record key is known to be right.
pub(crate) const HEADER: &[u8] = b"\0dropsafe";

const MAGIC: &[u8; 16] = b"dropsafe store\n\0";
/// The format that this program writes, and the newest that it reads. It goes up by one with a new format of a record.
pub(crate) const FORMAT: u16 = 2;
/// The oldest format that this program reads. No release wrote format 1.
pub(crate) const OLDEST_FORMAT: u16 = 2;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// A store of this record key, in a format that this program reads.
    Ours(u16),
    /// A store of this record key was here, and was moved away.
    Moved,
    OtherRecordKey,
    Older(u16),
    Newer(u16),
    Foreign,
}

/// The header of a store of this record key.
pub(crate) fn header(key: &RecordKey) -> Vec<u8> {
    [MAGIC.as_slice(), &FORMAT.to_be_bytes(), &key_check(key)].concat()
}

/// Reads the header of a byte store.
pub(crate) fn read_header(bytes: &[u8], key: &RecordKey) -> Header {
    let parts = bytes
        .split_first_chunk::<16>()
        .and_then(|(magic, rest)| Some((magic, rest.split_first_chunk::<2>()?)));
    let Some((magic, (format, check))) = parts else { return Header::Foreign };
    let ours = check == key_check(key);
    match (magic, u16::from_be_bytes(*format)) {
        // Nothing is left there to read, so that its format does not matter.
        (MOVED, _) if ours => Header::Moved,
        (MAGIC, 1..OLDEST_FORMAT) => Header::Older(u16::from_be_bytes(*format)),
        (MAGIC, found @ OLDEST_FORMAT..=FORMAT) if ours => Header::Ours(found),
        (MAGIC, OLDEST_FORMAT..=FORMAT) => Header::OtherRecordKey,
        (MAGIC, found @ 1..) => Header::Newer(found),
        _ => Header::Foreign,
    }
}

/// Raises the format in the header to the newest, durably, before this program writes what an older one cannot read.
pub(crate) async fn upgrade(kv: &dyn Kv, mut found: KvEntry, key: &RecordKey) -> Result<(), Failure> {
    loop {
        match read_header(&found.value, key) {
            Header::Ours(FORMAT) => return Ok(()),
            Header::Ours(_) => {}
            // A newer program was faster.
            _ => return Err(Failure::NewerFormat),
        }
        let unchanged = vec![Precondition::At(HEADER.to_vec(), found.revision)];
        match kv.commit(unchanged, vec![Write::Put(HEADER.to_vec(), header(key))]).await {
            Ok(_) => return Ok(()),
            // Another server of the same store upgrades it too.
            Err(CommitError::Conflict { .. }) => {
                let (mut entries, _) = kv.get(&[HEADER.to_vec()]).await?;
                found = entries.pop().flatten().ok_or(Failure::Corrupt)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

const MOVED: &[u8; 16] = b"dropsafe moved\n\0";

/// The header of a byte store that a store of this record key was moved away from.
pub(crate) fn moved_header(key: &RecordKey) -> Vec<u8> {
    [MOVED.as_slice(), &FORMAT.to_be_bytes(), &key_check(key)].concat()
}

/// Tells record keys apart, and nothing else of them.
pub(crate) fn key_check(key: &RecordKey) -> [u8; 16] {
    key.key_hash("record key", &[])
}
