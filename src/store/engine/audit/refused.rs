//! The rows that failed the last verification.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use sha2::{Digest, Sha256};

/// Identifies a row: a part of the SHA-256 of its key.
pub(crate) type RowId = [u8; 16];

/// Identifies a row.
pub(crate) fn row_id(key: &[u8]) -> RowId {
    let mut id = RowId::default();
    id.copy_from_slice(&Sha256::digest(key)[..16]);
    id
}

/// The rows that failed the last verification. They are refused until this server verifies the store without finding them.
#[derive(Default)]
pub(crate) struct RefusedRows(RwLock<HashSet<RowId>>);

impl RefusedRows {
    pub(crate) fn replace(&self, rows: &[RowId]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rows.iter().copied().collect();
    }

    /// Adds the rows that another server found.
    pub(crate) fn add(&self, rows: &[RowId]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(rows);
    }

    /// Accepts a row that was verified since.
    pub(crate) fn remove(&self, key: &[u8]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&row_id(key));
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // Almost always none: then no hash is computed.
        !rows.is_empty() && rows.contains(&row_id(key))
    }
}
