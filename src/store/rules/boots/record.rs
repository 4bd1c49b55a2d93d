//! The records of boots: a small one for each boot, and one receipt for all boots that received the same.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::boot::BootState;
use crate::domain::digest::Digest;
use crate::domain::id::{BootId, MemberId, OrgId, TicketId};
use crate::domain::name::MemberName;
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::resolve::Skipped;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::records::Record;

/// A boot.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct BootRecord {
    pub(crate) id: BootId,
    pub(crate) ticket: TicketId,
    /// The member, and its name at that time.
    pub(crate) member: (MemberId, MemberName),
    pub(crate) at: Timestamp,
    pub(crate) source: Option<IpAddr>,
    pub(crate) machine: Option<String>,
    pub(crate) kernel_boot: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) agent: Option<String>,
    /// The digest of its [`ReceiptRecord`].
    pub(crate) content: Digest,
    pub(crate) revision: u64,
    /// What the agent checks.
    pub(crate) digest: Digest,
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) variables: Option<u32>,
    pub(crate) state: BootState,
}

/// The receipt of boots, without the revision.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ReceiptRecord {
    pub(crate) entries: Vec<ReceiptEntry>,
    pub(crate) skipped: Vec<Skipped>,
}

/// The latest boot of a machine that reports its kernel's boot id.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MachineRecord {
    pub(crate) at: Timestamp,
    pub(crate) kernel_boot: String,
}

/// The try of a boot that spent a use of its ticket.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AttemptRecord {
    pub(crate) at: Timestamp,
}

/// How long further tries of the same boot spend no use: longer than any agent waits.
const SAME_BOOT: Duration = Duration::from_secs(300);

impl AttemptRecord {
    /// Whether further tries spend a use again.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.at.plus(SAME_BOOT) <= now
    }
}

impl Record for AttemptRecord {}
impl Record for BootRecord {}
impl Record for ReceiptRecord {}
impl Record for MachineRecord {}

impl BootRecord {
    /// Whether the machine has rebooted since, by its latest boot. `domain::boot::holders` defines the rule.
    pub(crate) fn is_superseded_by(&self, latest: &MachineRecord) -> bool {
        latest.at > self.at && self.kernel_boot.as_ref().is_some_and(|own| *own != latest.kernel_boot)
    }
}

impl ReceiptRecord {
    pub(crate) fn of(receipt: &Receipt) -> Self {
        Self { entries: receipt.entries.clone(), skipped: receipt.skipped.clone() }
    }

    pub(crate) fn digest(&self) -> Result<Digest, Failure> {
        // Of the stored form, so that equal digests mean equal records.
        let bytes = postcard::to_allocvec(self).map_err(|_| Failure::Internal)?;
        Ok(Digest::of_parts([b"dropsafe receipt record v1".as_slice(), &bytes]))
    }

    pub(crate) fn receipt(self, revision: u64) -> Receipt {
        Receipt { entries: self.entries, skipped: self.skipped, revision }
    }
}

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
