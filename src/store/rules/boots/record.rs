//! The records of boots: a small one for each boot, and one receipt for all boots that received the same.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::digest::Digest;
use crate::domain::id::OrgId;
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::encode;
use crate::store::tables::boots::{AttemptRecord, BootRecord, MachineRecord, ReceiptRecord};

/// How long further tries of the same boot spend no use: longer than any agent waits.
const SAME_BOOT: Duration = Duration::from_secs(300);

impl AttemptRecord {
    /// Whether further tries spend a use again.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.at.plus(SAME_BOOT) <= now
    }
}

impl BootRecord {
    /// Whether the machine has rebooted since, by its latest boot. `domain::boot::holders` defines the rule.
    pub(crate) fn is_superseded_by(&self, latest: &MachineRecord) -> bool {
        // Another kernel boot id alone is not enough: the latest boot may be the older one.
        latest.at > self.at && self.kernel_boot.as_ref().is_some_and(|own| *own != latest.kernel_boot)
    }
}

impl ReceiptRecord {
    pub(crate) fn of(receipt: &Receipt) -> Self {
        // Without the revision, so that boots at different revisions share the record.
        Self { entries: receipt.entries.clone(), skipped: receipt.skipped.clone() }
    }

    pub(crate) fn digest(&self) -> Result<Digest, Failure> {
        // Of the stored form, so that equal digests mean equal records.
        let bytes = encode(self)?;
        Ok(Digest::of_parts([b"dropsafe receipt record v1".as_slice(), &bytes]))
    }

    pub(crate) fn receipt(self, revision: u64) -> Receipt {
        Receipt { entries: self.entries, skipped: self.skipped, revision }
    }
}
