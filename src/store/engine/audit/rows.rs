//! Which rows each commit wrote, as the audit log records them.
//!
//! The changes of one row form a path from nothing to what is stored, over all chains. So a row that was deleted, replaced or
//! restored without this program does not match the log.

use serde_bytes::ByteBuf;

use crate::store::engine::audit::{check, tables, verified};
use crate::store::engine::format::stored;
pub(crate) use crate::store::engine::row_digest::{RowDigest, digest};

/// A row that a commit wrote. `None` stands for no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowChange {
    pub(crate) key: Vec<u8>,
    pub(crate) before: Option<RowDigest>,
    pub(crate) after: Option<RowDigest>,
}

stored! {
    StoredRowChangeV1 = RowChange { key: ByteBuf, before: Option<[u8; 32]>, after: Option<[u8; 32]> }
}

/// Whether the log records the writes of this row. It does not record those of its own records, which its links protect, nor what belongs to
/// the byte store and not to the store, such as the header.
pub(crate) fn is_logged(key: &[u8]) -> bool {
    let log = [tables::HEADS, tables::COVERS, tables::ENTRIES, tables::REGISTRY, tables::PRUNED];
    let mut own = log.into_iter().chain([check::CHECK, verified::VERIFIED]);
    key.first().is_some_and(|letter| *letter != 0 && own.all(|table| table.letter != *letter))
}

/// Joins changes that follow each other: what a row was before the first, and is after the last. Those that end where they began
/// are dropped.
pub(crate) fn join(changes: impl IntoIterator<Item = RowChange>) -> Vec<RowChange> {
    let mut joined: Vec<RowChange> = Vec::new();
    let mut last = std::collections::BTreeMap::new();
    for change in changes {
        let found: Option<&mut RowChange> =
            last.get(&change.key).and_then(|index: &usize| joined.get_mut(*index));
        match found {
            Some(earlier) if earlier.after == change.before => earlier.after = change.after,
            // Another chain has written the row in between.
            _ => {
                last.insert(change.key.clone(), joined.len());
                joined.push(change);
            }
        }
    }
    joined.retain(|change| change.before != change.after);
    joined
}
