//! The header of a byte store: what kind of store it holds, in which format, and under which record key.
//!
//! The format of a store is the number of the newest program that has opened it, and says which formats its records may
//! have. An older program, which could not read what that one writes, refuses the store from then on.

use crate::crypto::record::RecordKey;

/// The one key whose value is not sealed, because it is read before the record key is known to be right.
pub(crate) const HEADER: &[u8] = b"\0dropsafe";
/// Marks a byte store into which a backup is being restored, in place of the header.
pub(crate) const RESTORE_MARKER: &[u8] = b"\0restore";

const MAGIC: &[u8; 16] = b"dropsafe store\n\0";
/// The format that this program writes, and the newest that it reads. It goes up by one with a new format of a record.
pub(crate) const FORMAT: u16 = 6;
/// The oldest format that this program reads. No release wrote format 1.
pub(crate) const OLDEST_FORMAT: u16 = 2;
/// The first format whose audit log records the rows that are written.
pub(crate) const FIRST_WITH_ROWS: u16 = 5;

/// The content of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// A store of this record key, in a format that this program reads.
    Ours(u16),
    /// A store with this record key was moved away from here.
    Moved(u16),
    OtherRecordKey,
    Older(u16),
    Newer(u16),
    Foreign,
}

/// The header of a store of this record key, in the newest format.
pub(crate) fn header(key: &RecordKey) -> Vec<u8> {
    header_of_format(key, FORMAT)
}

/// The header of a store whose records have at most this format.
pub(crate) fn header_of_format(key: &RecordKey, format: u16) -> Vec<u8> {
    [MAGIC.as_slice(), &format.to_be_bytes(), &key_check(key)].concat()
}

/// Reads the header of a byte store.
pub(crate) fn read_header(bytes: &[u8], key: &RecordKey) -> Header {
    let parts = bytes
        .split_first_chunk::<16>()
        .and_then(|(magic, rest)| Some((magic, rest.split_first_chunk::<2>()?)));
    let Some((magic, (format, check))) = parts else { return Header::Foreign };
    let ours = check == key_check(key);
    match (magic, u16::from_be_bytes(*format)) {
        // Nothing is left there to read, so that any format will do.
        (MOVED, format) if ours => Header::Moved(format),
        // Before the record key, which an older or newer format may identify in another way.
        (MAGIC, 1..OLDEST_FORMAT) => Header::Older(u16::from_be_bytes(*format)),
        (MAGIC, found @ OLDEST_FORMAT..=FORMAT) if ours => Header::Ours(found),
        (MAGIC, OLDEST_FORMAT..=FORMAT) => Header::OtherRecordKey,
        (MAGIC, found @ 1..) => Header::Newer(found),
        _ => Header::Foreign,
    }
}

const MOVED: &[u8; 16] = b"dropsafe moved\n\0";

/// The header of a byte store that a store of this record key and format was moved away from.
pub(crate) fn moved_header(key: &RecordKey, format: u16) -> Vec<u8> {
    [MOVED.as_slice(), &format.to_be_bytes(), &key_check(key)].concat()
}

/// Identifies the record key without revealing it.
pub(crate) fn key_check(key: &RecordKey) -> [u8; 16] {
    key.key_hash("record key", &[])
}
