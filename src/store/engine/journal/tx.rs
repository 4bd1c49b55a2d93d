//! What an operation sees of the store and what it wants to change: a view that its own batch's changes overlay.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::SecretBytes;
use crate::domain::audit::{AuditEvent, Outcome};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Record, decode, encode};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;

/// Why an operation does not go on.
pub(crate) enum Stop<E> {
    /// The view lacks records; the journal reads them and runs it again.
    Missing,
    /// It is not to be done.
    Refused(E),
    /// It cannot be done.
    Failed(Failure),
}

/// [`Stop`] without a refusal, which reading cannot answer with.
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

/// What is known of the keys that were read.
#[derive(Default)]
pub(crate) struct Base {
    pub(crate) known: BTreeMap<Vec<u8>, Known>,
    /// Of the snapshot that the first of them come from.
    pub(crate) revision: Revision,
}

/// What is known of a key.
pub(crate) enum Known {
    /// There is no record.
    Absent,
    /// Its plaintext, and the commit that wrote it.
    Present(SecretBytes, Revision),
    /// It does not open. Only the operations that ask for it fail, not their whole batch.
    Damaged,
}

/// Changes by key: a record's plaintext, or its deletion.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<SecretBytes>>;

/// One run of one operation.
pub(crate) struct Tx<'a> {
    records: &'a Records,
    now: Timestamp,
    base: &'a Base,
    /// What the operations before this one in its batch changed.
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

    /// The time of the commit: never before that of an earlier one of this process.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// For keys.
    pub(crate) fn records(&self) -> &'a Records {
        self.records
    }

    /// The record at `key`. The commit then holds only if it is still that.
    pub(crate) fn get<T: Record>(&mut self, key: &Key<T>) -> Result<Option<T>, Halt> {
        let changed = self.changes.get(key.bytes()).or_else(|| self.before.get(key.bytes()));
        if let Some(change) = changed {
            return change.as_ref().map(|plain| decode(plain)).transpose().map_err(Halt::Failed);
        }
        match self.base.known.get(key.bytes()) {
            None => {
                self.missing.insert(key.to_vec());
                Err(Halt::Missing)
            }
            Some(Known::Damaged) => Err(Halt::Failed(Failure::Corrupt)),
            Some(Known::Absent) => {
                self.read.insert(key.to_vec());
                Ok(None)
            }
            Some(Known::Present(plain, _)) => {
                self.read.insert(key.to_vec());
                decode(plain).map(Some).map_err(Halt::Failed)
            }
        }
    }

    /// The revision of the view: what the store held then, or later, is what the operation saw.
    pub(crate) fn revision(&self) -> Revision {
        self.base.revision
    }

    /// The commit that wrote the record at `key`, if there is one. The commit does not depend on it: it tells what the view
    /// saw, not what may never change.
    pub(crate) fn written_at(&mut self, key: &[u8]) -> Result<Option<Revision>, Halt> {
        match self.base.known.get(key) {
            None => {
                self.missing.insert(key.to_vec());
                Err(Halt::Missing)
            }
            Some(Known::Absent) => Ok(None),
            Some(Known::Present(_, revision)) => Ok(Some(*revision)),
            Some(Known::Damaged) => Err(Halt::Failed(Failure::Corrupt)),
        }
    }

    /// Whether there is a record at `key`, as [`get`](Self::get).
    pub(crate) fn has<T: Record>(&mut self, key: &Key<T>) -> Result<bool, Halt> {
        Ok(self.get(key)?.is_some())
    }

    /// Makes sure that `keys` are all asked for in one round.
    pub(crate) fn need(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Halt> {
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
        let plain = encode(record).map_err(Halt::Failed)?;
        self.changes.insert(key.to_vec(), Some(SecretBytes::new(plain)));
        Ok(())
    }

    /// Removes a record, if there is one.
    pub(crate) fn delete<T>(&mut self, key: &Key<T>) {
        self.changes.insert(key.to_vec(), None);
    }

    /// Whether nothing is stored at `key`, which need not be a sealed record.
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
            Some(Known::Present(..) | Known::Damaged) => Ok(false),
        }
    }

    /// Stores bytes as they are: for the header only, which is read before the record key is known to be right.
    pub(crate) fn put_unsealed(&mut self, key: &[u8], bytes: &[u8]) {
        self.unsealed.push((key.to_vec(), bytes.to_vec()));
    }

    /// Adds an entry to the audit trail, in the same commit. When the operation refuses, only denials and failures stay.
    pub(crate) fn audit(&mut self, event: AuditEvent) {
        self.events.push(event);
    }

    pub(crate) fn keep_denials(&mut self) {
        self.changes.clear();
        self.unsealed.clear();
        self.events.retain(|event| event.outcome != Outcome::Allowed);
    }
}
