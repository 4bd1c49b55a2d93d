//! The records of boots: a small one for each boot, and one receipt for all boots that received the same.

use crate::domain::boot::{BootLife, BootStatus};
use crate::domain::digest::Digest;
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::encode;
use crate::store::tables::boots::{BootRecord, ReceiptRecord};

impl BootRecord {
    pub(crate) fn life(&self) -> BootLife {
        BootLife { state: self.state, end: self.end, lifetime_ends_at: self.lifetime_ends_at }
    }

    pub(crate) fn status(&self, now: Timestamp) -> BootStatus {
        self.life().status(now)
    }

    /// The digests of all receipts that it received, the last try's first.
    pub(crate) fn contents(&self) -> impl Iterator<Item = Digest> {
        std::iter::once(self.content).chain(self.earlier.iter().map(|(content, _)| *content))
    }

    /// Whether a try released exactly what the agent says that it received.
    pub(crate) fn released(&self, digest: &str) -> bool {
        // A try whose response was late may be the one that the agent used.
        let digests = std::iter::once(self.digest).chain(self.earlier.iter().map(|(_, digest)| *digest));
        digests.into_iter().any(|released| released.to_string() == digest)
    }

    /// Adds what a further try released.
    pub(crate) fn add_try(&mut self, content: Digest, digest: Digest, revision: u64) {
        if self.content != content {
            // Each content once: the boot holds it, whichever try released it.
            self.earlier.retain(|(earlier, _)| *earlier != content);
            self.earlier.push((self.content, self.digest));
        }
        (self.content, self.digest, self.revision) = (content, digest, revision);
    }
}

impl ReceiptRecord {
    pub(crate) fn of(receipt: &Receipt) -> Self {
        // Without the revision, so that boots at different revisions share the record.
        Self { entries: receipt.entries.clone(), skipped: receipt.skipped.clone() }
    }

    pub(crate) fn digest(&self) -> Result<Digest, Failure> {
        // Of the stored form, so that equal digests mean equal records.
        Ok(Self::digest_of_bytes(&encode(self)?))
    }

    /// The digest of a record from its stored form.
    pub(crate) fn digest_of_bytes(bytes: &[u8]) -> Digest {
        Digest::of_parts([b"dropsafe receipt record v1".as_slice(), bytes])
    }

    pub(crate) fn receipt(self, revision: u64) -> Receipt {
        Receipt { entries: self.entries, skipped: self.skipped, revision }
    }
}
