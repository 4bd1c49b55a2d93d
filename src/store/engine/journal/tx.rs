//! The transaction of an operation: a view of the store, overlaid by the changes of its batch.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::SecretBytes;
use crate::domain::audit::{AuditEvent, Outcome};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::audit::rows::{self, RowDigest};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Record, decode, encode};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::engine::row_digest::RowVersion;

/// Why an operation stops.
pub(crate) enum Stop<E> {
    /// The view lacks records; the journal reads them and runs it again.
    Missing,
    /// The operation refused.
    Refused(E),
    /// The operation failed.
    Failed(Failure),
}

/// [`Stop`] without a refusal, since a read cannot refuse.
pub(crate) enum Halt {
    Missing,
    Failed(Failure),
}

impl<E> From<Halt> for Stop<E> {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Missing => Self::Missing,
            Halt::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl<E> From<Failure> for Stop<E> {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The records that were read, by key.
#[derive(Default)]
pub(crate) struct Base {
    pub(crate) known: BTreeMap<Vec<u8>, Known>,
    /// The revision of the first read's snapshot.
    pub(crate) revision: Revision,
    /// The keys that the last attempt wrote as if they were absent.
    pub(crate) unread: Vec<Vec<u8>>,
}

/// The result of reading a key.
pub(crate) enum Known {
    /// There is no record.
    Absent,
    /// Its plaintext, and the row as it is stored.
    Present(SecretBytes, StoredRow),
    /// It does not open. Only the operations that read it fail, not their whole batch.
    Damaged(StoredRow),
}

/// A row as it is stored.
pub(crate) struct StoredRow {
    pub(crate) sealed: Vec<u8>,
    /// The commit that wrote it.
    pub(crate) revision: Revision,
}

impl Known {
    pub(crate) fn row(&self) -> Option<&StoredRow> {
        match self {
            Self::Absent => None,
            Self::Present(_, row) | Self::Damaged(row) => Some(row),
        }
    }
}

/// Changes by key: a record's plaintext, or its deletion.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<SecretBytes>>;

/// One run of one operation.
pub(crate) struct Tx<'a> {
    records: &'a Records,
    now: Timestamp,
    base: &'a Base,
    /// The changes of the operations before this one in its batch.
    before: &'a Changes,
    pub(crate) changes: Changes,
    pub(crate) read: BTreeSet<Vec<u8>>,
    pub(crate) missing: BTreeSet<Vec<u8>>,
    pub(crate) events: Vec<AuditEvent>,
    pub(crate) unsealed: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(records: &'a Records, now: Timestamp, base: &'a Base, before: &'a Changes) -> Self {
        Self {
            records,
            now,
            base,
            before,
            changes: Changes::new(),
            read: BTreeSet::new(),
            missing: BTreeSet::new(),
            events: Vec::new(),
            unsealed: Vec::new(),
        }
    }

    /// The time of the commit. It never goes back within this process.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The record key, to derive keys.
    pub(crate) fn records(&self) -> &'a Records {
        self.records
    }

    /// The record at `key`. The commit fails if the record changes until then.
    pub(crate) fn get<T: Record>(&mut self, key: &Key<T>) -> Result<Option<T>, Halt> {
        // The operations before it in the batch are part of the same commit, so their changes count as stored.
        let changed = self.changes.get(key.bytes()).or_else(|| self.before.get(key.bytes()));
        if let Some(change) = changed {
            return change.as_ref().map(|plain| decode(plain)).transpose().map_err(Halt::Failed);
        }
        match self.base.known.get(key.bytes()) {
            None => {
                // No read from here: the journal loads all missing keys of a batch at once, and runs it again.
                self.missing.insert(key.to_vec());
                Err(Halt::Missing)
            }
            Some(Known::Damaged(_)) => Err(Halt::Failed(Failure::Corrupt)),
            Some(Known::Absent) => {
                // Absence is a precondition too: the commit fails if another process creates the record.
                self.read.insert(key.to_vec());
                Ok(None)
            }
            Some(Known::Present(plain, _)) => {
                self.read.insert(key.to_vec());
                decode(plain).map(Some).map_err(Halt::Failed)
            }
        }
    }

    /// The revision of the view: the operation sees the store at this revision or a later one.
    pub(crate) fn revision(&self) -> Revision {
        self.base.revision
    }

    /// The commit that wrote the record at `key`, if there is one. It adds no precondition.
    pub(crate) fn written_at(&mut self, key: &[u8]) -> Result<Option<Revision>, Halt> {
        match self.base.known.get(key) {
            None => {
                self.missing.insert(key.to_vec());
                Err(Halt::Missing)
            }
            Some(Known::Absent) => Ok(None),
            Some(Known::Present(_, row)) => Ok(Some(row.revision)),
            Some(Known::Damaged(_)) => Err(Halt::Failed(Failure::Corrupt)),
        }
    }

    /// Whether the row at `key` has this digest, and no operation of the batch has changed it. It adds no precondition.
    pub(crate) fn is_row(&mut self, key: &[u8], digest: &RowDigest) -> Result<bool, Halt> {
        if self.changes.contains_key(key) || self.before.contains_key(key) {
            return Ok(false);
        }
        let Some(known) = self.base.known.get(key) else {
            self.missing.insert(key.to_vec());
            return Err(Halt::Missing);
        };
        Ok(known.row().is_some_and(|row| rows::digest(&row.sealed) == *digest))
    }

    /// Which write of the record at `key` is stored, if there is one. It adds no precondition.
    pub(crate) fn version(&mut self, key: &[u8]) -> Result<Option<RowVersion>, Halt> {
        self.written_at(key)?;
        let row = self.base.known.get(key).and_then(Known::row);
        Ok(row.map(|row| RowVersion::new(row.revision, &row.sealed)))
    }

    /// Whether there is a record at `key`, as [`get`](Self::get).
    pub(crate) fn has<T: Record>(&mut self, key: &Key<T>) -> Result<bool, Halt> {
        Ok(self.get(key)?.is_some())
    }

    /// Requests all of `keys` in one round of reads.
    pub(crate) fn need(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Halt> {
        // Collects every unknown key before it stops, because each round is a read of the byte store.
        for key in keys {
            let known = self.changes.contains_key(&key)
                || self.before.contains_key(&key)
                || self.base.known.contains_key(&key);
            if !known {
                self.missing.insert(key);
            }
        }
        if self.missing.is_empty() { Ok(()) } else { Err(Halt::Missing) }
    }

    /// Stores a record.
    pub(crate) fn put<T: Record>(&mut self, key: &Key<T>, record: &T) -> Result<(), Halt> {
        // Encoded at once, so that a later operation of the batch decodes the same bytes as from the byte store.
        let plain = encode(record).map_err(Halt::Failed)?;
        self.changes.insert(key.to_vec(), Some(SecretBytes::new(plain)));
        Ok(())
    }

    /// Removes a record, if there is one.
    pub(crate) fn delete<T>(&mut self, key: &Key<T>) {
        // Not in `read`: deleting an absent record changes nothing, so there is nothing to rely on.
        self.changes.insert(key.to_vec(), None);
    }

    /// Whether `key` is absent. Its record need not be sealed.
    pub(crate) fn is_absent(&mut self, key: &[u8]) -> Result<bool, Halt> {
        match self.base.known.get(key) {
            None => {
                self.missing.insert(key.to_vec());
                Err(Halt::Missing)
            }
            Some(Known::Absent) => {
                self.read.insert(key.to_vec());
                Ok(true)
            }
            // Damaged also means that something is there, such as the unsealed bytes of another program.
            Some(Known::Present(..) | Known::Damaged(_)) => Ok(false),
        }
    }

    /// Stores bytes unsealed: for the header only, which is read before the record key is known to be right.
    pub(crate) fn put_unsealed(&mut self, key: &[u8], bytes: &[u8]) {
        self.unsealed.push((key.to_vec(), bytes.to_vec()));
    }

    /// Adds an entry to the audit log in the same commit. If the operation refuses, only entries about denials and failures
    /// are kept.
    pub(crate) fn audit(&mut self, event: AuditEvent) {
        self.events.push(event);
    }

    pub(crate) fn keep_denials(&mut self) {
        self.changes.clear();
        self.unsealed.clear();
        // An allowed entry describes a change that was just dropped.
        self.events.retain(|event| event.outcome != Outcome::Allowed);
    }
}
