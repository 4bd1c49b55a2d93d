//! The file of a backup: a preamble, frames, and a digest that only the record key can compute.
//!
//! `preamble frame* end digest`. Numbers are big-endian. A frame is a letter and, for `P` (put), the lengths of key and
//! value (32 bits each) and their bytes. `F` means: forget all frames before.

use crate::crypto::record::RecordKey;
use crate::domain::id::StoreId;
use crate::store::engine::header;
use crate::store::rules::store::Store;

const MAGIC: &[u8; 16] = b"dropsafe backup\n";
/// The format of a backup is that of the store in it, because its records are copied as they are.
pub(crate) use crate::store::engine::header::{FORMAT, OLDEST_FORMAT};
/// Bytes of a preamble.
pub(crate) const PREAMBLE: usize = 16 + 2 + 16 + 16;
/// Bytes after the last frame.
pub(crate) const DIGEST: usize = 32 + 16;
/// Bytes of a key at most. No store has longer keys.
pub(crate) const MAX_KEY: usize = 4096;
/// Bytes of a value at most: a file of 1 MiB, sealed twice, and more.
pub(crate) const MAX_VALUE: usize = 4 << 20;

/// The identity of a backup's store.
pub(crate) struct Preamble {
    pub(crate) format: u16,
    pub(crate) store: StoreId,
    /// Identifies the record key.
    pub(crate) record_key: [u8; 16],
}

pub(crate) enum Frame<'a> {
    Put(&'a [u8], &'a [u8]),
    Forget,
    End { frames: u64, revision: u64 },
}

impl Preamble {
    pub(crate) fn of(store: &Store) -> Self {
        Self { format: FORMAT, store: store.id(), record_key: header::key_check(&store.records().key) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        [MAGIC.as_slice(), &self.format.to_be_bytes(), self.store.as_bytes(), &self.record_key].concat()
    }

    pub(crate) fn decode(bytes: &[u8; PREAMBLE]) -> Option<Self> {
        // The format is left to the caller, whose error names it.
        let rest = bytes.strip_prefix(MAGIC)?;
        let (format, rest) = rest.split_first_chunk::<2>()?;
        let (store, rest) = rest.split_first_chunk::<16>()?;
        Some(Self {
            format: u16::from_be_bytes(*format),
            store: StoreId::from_bytes(*store),
            record_key: rest.try_into().ok()?,
        })
    }
}

impl Frame<'_> {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        // Keys and values are far below 4 GiB, so that the fallback is never used.
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        match self {
            Self::Put(key, value) => {
                out.push(b'P');
                out.extend_from_slice(&len(key));
                out.extend_from_slice(&len(value));
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
            Self::Forget => out.push(b'F'),
            Self::End { frames, revision } => {
                out.push(b'E');
                out.extend_from_slice(&frames.to_be_bytes());
                out.extend_from_slice(&revision.to_be_bytes());
            }
        }
    }
}

/// The SHA-256 of everything before it, which anybody can check, and a keyed hash of that, which needs the record key.
pub(crate) fn sealed_digest(key: &RecordKey, digest: &[u8; 32]) -> [u8; DIGEST] {
    let mut sealed = [0; DIGEST];
    // Both digests: the first shows an accidental change even without the key.
    sealed[..32].copy_from_slice(digest);
    sealed[32..].copy_from_slice(&key.key_hash("backup", &[digest]));
    sealed
}
