//! Which boots run, by the receipt that they received: what answers "who still holds this secret" exactly.
//!
//! There is no index from a secret to its receipts: it would grow with each change of a scope, while this one has a row for
//! each running boot and shrinks when boots end.

use serde_bytes::ByteBuf;

use crate::domain::digest::Digest;
use crate::domain::id::{BootId, MemberId, OrgId};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;
use crate::store::tables::boots::{RECEIPTS, ReceiptRecord};

pub(crate) const RUNNING: Table = Table::new(b'B', "running boots");
pub(crate) const INDEXING: Table = Table::new(b'N', "indexing of boots");

/// Returns the prefix of the running boots of all organizations.
pub(crate) fn all_running() -> Prefix<RunningRecord> {
    RUNNING.all()
}

/// Returns the key of the progress of the indexing of boots that an older version stored.
pub(crate) fn indexing() -> Key<IndexingRecord> {
    INDEXING.singleton()
}

/// The keyed hash of an organization and the content of a receipt.
pub(crate) type ReceiptHash = [u8; 16];

impl Records {
    /// Returns the prefix of the running boots of an organization.
    pub(crate) fn running(&self, org: OrgId) -> Prefix<RunningRecord> {
        self.grouped(&RUNNING, &[org.as_bytes()])
    }

    /// Returns the key of the row of a boot that received this content.
    pub(crate) fn running_boot(&self, org: OrgId, content: &Digest, boot: BootId) -> Key<RunningRecord> {
        // The hash that also identifies the receipt, so that its key follows from that of a row.
        let receipt = self.receipt(org, content);
        let newest_first = boot.as_bytes().map(|byte| !byte);
        self.running(org).key(&[&receipt.bytes()[1..], &newest_first].concat())
    }

    /// Returns the key of the receipt that a row belongs to.
    pub(crate) fn receipt_of(&self, hash: &ReceiptHash) -> Key<ReceiptRecord> {
        RECEIPTS.by_id(hash)
    }
}

impl Prefix<RunningRecord> {
    /// The receipt and the boot in the key of a row. `None` if it does not have this prefix.
    pub(crate) fn parse(&self, key: &[u8]) -> Option<(ReceiptHash, BootId)> {
        let (receipt, boot) = key.strip_prefix(self.bytes())?.split_first_chunk::<16>()?;
        let boot: [u8; 16] = boot.try_into().ok()?;
        Some((*receipt, BootId::from_bytes(boot.map(|byte| !byte))))
    }

    /// The last key that a row of this receipt could have.
    pub(crate) fn end_of(&self, receipt: &ReceiptHash) -> Vec<u8> {
        [self.bytes(), receipt, &[0xff; 16]].concat()
    }
}

/// A boot that is not known to be over. Deleted with its end.
#[derive(Clone)]
pub(crate) struct RunningRecord {
    pub(crate) member: MemberId,
    pub(crate) lifetime_ends_at: Option<Timestamp>,
    pub(crate) reports_end: bool,
    /// Whether the boot has a row for each of several receipts, since its tries received different ones.
    pub(crate) several: bool,
}

stored! {
    StoredRunningV1 = RunningRecord {
        member: [u8; 16],
        lifetime_ends_at: Option<i64>,
        reports_end: bool,
        several: bool,
    }
}

record! { RunningRecord {} newest 1 => StoredRunningV1 }

/// How far the boots that an older version stored are indexed.
#[derive(Clone, Default)]
pub(crate) struct IndexingRecord {
    /// Everything up to this boot's key is indexed.
    pub(crate) cursor: Option<ByteBuf>,
    /// Whether all of them are.
    pub(crate) done: bool,
}

stored! {
    StoredIndexingV1 = IndexingRecord { cursor: Option<ByteBuf>, done: bool }
}

record! { IndexingRecord {} newest 1 => StoredIndexingV1 }
