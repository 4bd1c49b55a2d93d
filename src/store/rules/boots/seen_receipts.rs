//! Which receipts are stored, so that a boot with the same receipt as an earlier one does not store it again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::domain::digest::Digest;
use crate::domain::id::OrgId;

/// Receipts that this process knows to be stored. Receipts are never deleted, so that this never becomes outdated.
#[derive(Default)]
pub(crate) struct SeenReceipts(Mutex<HashSet<(OrgId, Digest)>>);

/// Receipts that are remembered, which takes some hundred KiB. Beyond that all are forgotten, and some are stored again.
const MAX_SEEN: usize = 10_000;

impl SeenReceipts {
    pub(crate) fn has(&self, org: OrgId, content: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&(org, *content))
    }

    pub(crate) fn add(&self, org: OrgId, content: Digest) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN {
            // Not the oldest ones: an order costs more than storing some receipts again.
            seen.clear();
        }
        seen.insert((org, content));
    }
}
