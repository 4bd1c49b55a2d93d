//! The header of a byte store: what kind of store it holds, in which format, and under which record key.

use crate::crypto::record::RecordKey;

/// The one key whose value is not sealed: what kind of store this is, and under which record key.
pub(crate) const HEADER: &[u8] = b"\0dropsafe";

const MAGIC: &[u8; 16] = b"dropsafe store\n\0";
/// The format that this program writes, and the newest it reads.
pub(crate) const FORMAT: u16 = 1;

/// What the header is found to be.
pub(crate) enum Header {
    Ours,
    OtherRecordKey,
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
        FORMAT if check == key_check(key) => Header::Ours,
        FORMAT => Header::OtherRecordKey,
        newer => Header::Newer(newer),
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
