//! Digests of rows as they are stored, and which write of a row is stored.

use sha2::{Digest, Sha256};

use crate::kv::Revision;

/// The SHA-256 of a row as it is stored.
pub(crate) type RowDigest = [u8; 32];

/// Returns the digest of a row as it is stored.
pub(crate) fn digest(sealed: &[u8]) -> RowDigest {
    Sha256::digest(sealed).into()
}

/// Which write of a row is stored. The digest too, because the owner of a byte store can set a row's revision back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowVersion {
    revision: Revision,
    digest: RowDigest,
}

impl RowVersion {
    pub(crate) fn new(revision: Revision, sealed: &[u8]) -> Self {
        Self { revision, digest: digest(sealed) }
    }
}
