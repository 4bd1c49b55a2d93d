//! The header of a byte store: what kind of store it holds, in which format, and under which record key.

use crate::crypto::record::RecordKey;

/// The one key whose value is not sealed: what kind of store this is, and under which record key.
pub(crate) const HEADER: &[u8] = b"\0dropsafe";

const MAGIC: &[u8; 16] = b"dropsafe store\n\0";
/// The format that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u16 = 2;
/// The oldest format that this program reads. No release wrote format 1.
pub(crate) const OLDEST_FORMAT: u16 = 2;

/// What the header is found to be.
pub(crate) enum Header {
    Ours,
    OtherRecordKey,
    Older(u16),
    Newer(u16),
    Foreign,
}

/// The header of a store of this record key.
pub(crate) fn header(key: &RecordKey) -> Vec<u8> {
    [MAGIC.as_slice(), &FORMAT.to_be_bytes(), &key_check(key)].concat()
}

pub(crate) fn read_header(bytes: &[u8], key: &RecordKey) -> Header {
    let Some((format, check)) = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<2>())
    else {
        return Header::Foreign;
    };
    match u16::from_be_bytes(*format) {
        0 => Header::Foreign,
        newer if newer > FORMAT => Header::Newer(newer),
        older if older < OLDEST_FORMAT => Header::Older(older),
        _ if check == key_check(key) => Header::Ours,
        _ => Header::OtherRecordKey,
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
