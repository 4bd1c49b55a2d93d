//! The record of how far a few tables were verified ([`verify_tables`](super::verify_tables)).

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;

use crate::store::engine::audit::rows::RowDigest;
use crate::store::engine::audit::tables::{ChainId, Mac};
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::Key;
use crate::store::engine::table::Table;

/// The log does not record writes of this table: see [`verify_tables`](super::verify_tables).
pub(crate) const VERIFIED: Table = Table::new(b'j', "verified tables");

/// What a verification has found: at these heads, the log names these rows of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VerifiedTables {
    /// Their letters.
    pub(crate) letters: Vec<u8>,
    /// The length of each chain, and the MAC of its last entry.
    pub(crate) heads: BTreeMap<ChainId, (u64, Mac)>,
    pub(crate) rows: BTreeMap<Vec<u8>, RowDigest>,
}

stored! {
    StoredVerifiedTablesV1 = VerifiedTables {
        letters: ByteBuf,
        heads: Vec<([u8; 16], (u64, [u8; 32]))>,
        rows: Vec<(ByteBuf, [u8; 32])>,
    }
}

record! { VerifiedTables {} newest 1 => StoredVerifiedTablesV1 }

pub(crate) fn key() -> Key<VerifiedTables> {
    VERIFIED.singleton()
}
