//! How boots are kept: one small record each; what a boot was given in a record that all boots of the same share.

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
    /// The member, and its name at the time.
    pub(crate) member: (MemberId, MemberName),
    pub(crate) at: Timestamp,
    pub(crate) source: Option<IpAddr>,
    pub(crate) machine: Option<String>,
    pub(crate) kernel_boot: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) agent: Option<String>,
    /// Of the [`ReceiptRecord`]: the same for all boots that were told the same.
    pub(crate) content: Digest,
    pub(crate) revision: u64,
    /// What the agent checks.
    pub(crate) digest: Digest,
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) variables: Option<u32>,
    pub(crate) state: BootState,
}

/// What boots were told, the revision apart.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ReceiptRecord {
    pub(crate) entries: Vec<ReceiptEntry>,
    pub(crate) skipped: Vec<Skipped>,
}

/// The latest boot of a machine whose kernel's boot is known.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MachineRecord {
    pub(crate) at: Timestamp,
    pub(crate) kernel_boot: String,
}

/// A try of a boot that spent a use of its ticket.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AttemptRecord {
    pub(crate) at: Timestamp,
}

/// How long further tries of the same boot spend nothing: beyond the deadline that any agent waits for.
const SAME_BOOT: Duration = Duration::from_secs(300);

impl AttemptRecord {
    /// Whether it counts no more.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.at.plus(SAME_BOOT) <= now
    }
}

impl Record for AttemptRecord {}
impl Record for BootRecord {}
impl Record for ReceiptRecord {}
impl Record for MachineRecord {}

impl BootRecord {
    /// Whether the machine has booted its kernel anew since. As `domain::boot::holders` has it, with the machine's
    /// latest boot in place of all later ones.
    pub(crate) fn is_superseded_by(&self, latest: &MachineRecord) -> bool {
        latest.at > self.at && self.kernel_boot.as_ref().is_some_and(|own| *own != latest.kernel_boot)
    }
}

impl ReceiptRecord {
    pub(crate) fn of(receipt: &Receipt) -> Self {
        Self { entries: receipt.entries.clone(), skipped: receipt.skipped.clone() }
    }

    pub(crate) fn digest(&self) -> Result<Digest, Failure> {
        let bytes = postcard::to_allocvec(self).map_err(|_| Failure::Internal)?;
        Ok(Digest::of_parts([b"dropsafe receipt record v1".as_slice(), &bytes]))
    }

    pub(crate) fn receipt(self, revision: u64) -> Receipt {
        Receipt { entries: self.entries, skipped: self.skipped, revision }
    }
}

/// Receipts that this process knows to be stored. They are never deleted, so nothing here goes stale.
#[derive(Default)]
pub(crate) struct SeenReceipts(Mutex<HashSet<(OrgId, Digest)>>);

/// Some hundred KiB; then it starts anew, at the price of storing some again.
const MAX_SEEN: usize = 10_000;

impl SeenReceipts {
    pub(crate) fn has(&self, org: OrgId, content: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&(org, *content))
    }

    pub(crate) fn add(&self, org: OrgId, content: Digest) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        seen.insert((org, content));
    }
}
