//! The rows of running boots, with those versions in their receipts that a question is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::id::{BootId, OrgId};
use crate::store::engine::failure::Failure;
use crate::store::engine::records::Found;
use crate::store::rules::audit::ReleasedVersion;
use crate::store::rules::boots::receipt_cache::CachedReceipt;
use crate::store::rules::store::Store;
use crate::store::tables::holders::{ReceiptHash, RunningRecord};

/// Rows read at once.
const CHUNK: usize = 500;
/// Receipts opened at once. Each may have thousands of entries.
const RECEIPTS: usize = 50;

/// Reads the rows of an organization, sorted by receipt.
pub(crate) struct RunningReader<'a> {
    store: &'a Store,
    org: OrgId,
    after: Option<Vec<u8>>,
    more: bool,
}

/// The row of a running boot. A boot has a row for each different receipt of its tries.
pub(crate) struct RunningRow {
    pub(crate) key: Vec<u8>,
    pub(crate) receipt: ReceiptHash,
    pub(crate) boot: BootId,
    pub(crate) record: RunningRecord,
}

/// Some of the rows.
pub(crate) struct RunningChunk {
    /// Only those whose receipts have a selected version.
    pub(crate) rows: Vec<RunningRow>,
    /// The selected versions of their receipts.
    pub(crate) selected: BTreeMap<ReceiptHash, Vec<Arc<ReleasedVersion>>>,
}

impl<'a> RunningReader<'a> {
    pub(crate) fn new(store: &'a Store, org: OrgId) -> Self {
        Self { store, org, after: None, more: true }
    }

    /// Returns the next rows. `None` after the last.
    pub(crate) async fn next(
        &mut self,
        select: impl Fn(&CachedReceipt) -> Vec<Arc<ReleasedVersion>>,
    ) -> Result<Option<RunningChunk>, Failure> {
        if !self.more {
            return Ok(None);
        }
        let prefix = self.store.records().running(self.org);
        let page = self.store.records().scan(&prefix, self.after.as_deref(), CHUNK).await?;
        self.more = page.more;
        let mut rows = Vec::with_capacity(page.found.len());
        for Found { key, record } in page.found {
            let (receipt, boot) = prefix.parse(&key).ok_or(Failure::Corrupt)?;
            rows.push(RunningRow { key, receipt, boot, record });
        }
        let receipts: BTreeSet<ReceiptHash> = rows.iter().map(|row| row.receipt).collect();
        let mut selected = self.store.select_received(receipts, select).await?;
        selected.retain(|_, versions| !versions.is_empty());
        self.after = rows.last().map(|row| match selected.contains_key(&row.receipt) {
            true => row.key.clone(),
            // The other boots with this receipt do not matter, however many they are.
            false => prefix.end_of(&row.receipt),
        });
        rows.retain(|row| selected.contains_key(&row.receipt));
        Ok(Some(RunningChunk { rows, selected }))
    }
}

impl RunningChunk {
    /// The selected versions that a boot received.
    pub(crate) fn of(&self, row: &RunningRow) -> &[Arc<ReleasedVersion>] {
        self.selected.get(&row.receipt).map_or(&[], Vec::as_slice)
    }
}

impl Store {
    /// Selects versions of receipts, which are read unless they are cached.
    async fn select_received(
        &self,
        receipts: BTreeSet<ReceiptHash>,
        select: impl Fn(&CachedReceipt) -> Vec<Arc<ReleasedVersion>>,
    ) -> Result<BTreeMap<ReceiptHash, Vec<Arc<ReleasedVersion>>>, Failure> {
        let cache = &self.inner.receipt_cache;
        let mut selected = BTreeMap::new();
        let mut missing = Vec::new();
        for receipt in receipts {
            match cache.get(&receipt) {
                Some(cached) => _ = selected.insert(receipt, select(&cached)),
                None => missing.push(receipt),
            }
        }
        for receipts in missing.chunks(RECEIPTS) {
            let keys: Vec<_> = receipts.iter().map(|receipt| self.records().receipt_of(receipt)).collect();
            for (receipt, record) in receipts.iter().zip(self.records().get_all(&keys).await?) {
                let record = record.ok_or(Failure::Corrupt)?;
                selected.insert(*receipt, select(&cache.insert(*receipt, record.entries)));
            }
        }
        Ok(selected)
    }
}
