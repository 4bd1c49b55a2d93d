//! The stamps of scopes: when the secrets of a scope last changed, and which rows it has.

use std::sync::{Mutex, PoisonError};

use quick_cache::unsync::Cache;

use crate::store::engine::audit::rows::{RowChange, RowDigest};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{decode, encode, record, stored};
use crate::store::engine::journal::CommitHook;
use crate::store::engine::keys::{GROUP, Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;
use crate::store::tables::secrets::{SECRETS, SecretRecord};

pub(crate) const SCOPE_STAMPS: Table = Table::new(b'S', "scope stamps");

/// How many scopes' stamps a process remembers: about 16 MiB.
const SEEN: usize = 100_000;

/// Returns the key of the stamp of the scope that `secrets` lists. Every change of a secret writes it, so what was read of the
/// scope is current as long as the stamp is.
pub(crate) fn scope_stamp_key(secrets: &Prefix<SecretRecord>) -> Key<ScopeStamp> {
    // The same hash under another letter, so that the stamp's key follows from any key of the scope.
    Key::new([[SCOPE_STAMPS.letter].as_slice(), &secrets.bytes()[1..]].concat())
}

/// Returns the key of the stamp that a change at `key` must write. `None` if `key` is not a secret's.
pub(crate) fn covering_stamp_key(key: &[u8]) -> Option<Key<ScopeStamp>> {
    let (scope, id) = key.split_at_checked(GROUP)?;
    // Recognized by its length, because the journal passes every key and knows no table.
    (scope.first() == Some(&SECRETS.letter) && id.len() == 16)
        .then(|| scope_stamp_key(&Prefix::new(scope.to_vec())))
}

/// The stamp of a scope: the commit that wrote it says when the secrets of the scope last changed, and its content are the count and
/// a keyed sum of their rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeStamp {
    /// Goes up by one with each change.
    pub(crate) version: u64,
    /// How many secrets the scope has.
    pub(crate) count: u64,
    /// The sum of a keyed hash of each row, modulo 2^256, so that a change costs two hashes whatever the size of the scope.
    pub(crate) sum: [u8; 32],
}

impl ScopeStamp {
    /// Adds a row.
    pub(crate) fn add(&mut self, records: &Records, key: &[u8], digest: &RowDigest) {
        self.count = self.count.wrapping_add(1);
        add_assign(&mut self.sum, &records.key.stamp_hash(key, digest), false);
    }

    /// Removes a row.
    fn remove(&mut self, records: &Records, key: &[u8], digest: &RowDigest) {
        self.count = self.count.wrapping_sub(1);
        add_assign(&mut self.sum, &records.key.stamp_hash(key, digest), true);
    }

    /// Whether both stand for the same rows.
    pub(crate) fn has_rows_of(&self, other: &Self) -> bool {
        (self.count, self.sum) == (other.count, other.sum)
    }
}

/// Adds or subtracts numbers of 256 bits, least significant byte first, modulo 2^256.
fn add_assign(sum: &mut [u8; 32], term: &[u8; 32], negative: bool) {
    // Subtraction is the addition of the complement and one.
    let (mut carry, flip) = if negative { (1, 0xff) } else { (0, 0) };
    for (digit, term) in sum.iter_mut().zip(term) {
        let total = u16::from(*digit) + u16::from(*term ^ flip) + carry;
        [*digit, _] = total.to_le_bytes();
        carry = total >> 8;
    }
}

/// Writes the stamp of a scope with every change of a secret in it, and remembers the newest stamp of each scope.
pub(crate) struct ScopeStamps {
    /// By key. Bounded, because an organization may have any number of members.
    seen: Mutex<Cache<Vec<u8>, ScopeStamp>>,
}

impl Default for ScopeStamps {
    fn default() -> Self {
        Self { seen: Mutex::new(Cache::new(SEEN)) }
    }
}

impl ScopeStamps {
    /// Compares the stored stamp at `key` with the newest that this process has seen, and remembers it.
    ///
    /// # Errors
    /// `RolledBack` if it is older, or stands for other rows. A read that another one overtook looks the same: the caller reads
    /// again before it believes this.
    pub(crate) fn accept(&self, key: &[u8], stamp: &ScopeStamp) -> Result<(), Failure> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(key) {
            Some(seen) if seen == stamp => Ok(()),
            // Also the same version: an attacker may wait until a change by another server has given the older stamp that version.
            Some(seen) if seen.version >= stamp.version => Err(Failure::RolledBack),
            _ => {
                seen.insert(key.to_vec(), stamp.clone());
                Ok(())
            }
        }
    }
}

impl CommitHook for ScopeStamps {
    fn stamp_key(&self, key: &[u8]) -> Option<Vec<u8>> {
        covering_stamp_key(key).map(|key| key.to_vec())
    }

    fn is_stamp(&self, key: &[u8]) -> bool {
        key.first() == Some(&SCOPE_STAMPS.letter)
    }

    fn accept(&self, key: &[u8], stamp: Option<&[u8]>) -> Result<(), Failure> {
        // A scope without a stamp never had a secret.
        self.accept(key, &stamp.map(decode).transpose()?.unwrap_or_default())
    }

    fn stamp(
        &self,
        records: &Records,
        before: Option<&[u8]>,
        changes: &[&RowChange],
    ) -> Result<Vec<u8>, Failure> {
        let mut stamp: ScopeStamp = before.map(decode).transpose()?.unwrap_or_default();
        stamp.version += 1;
        for change in changes {
            if let Some(digest) = &change.before {
                stamp.remove(records, &change.key, digest);
            }
            if let Some(digest) = &change.after {
                stamp.add(records, &change.key, digest);
            }
        }
        encode(&stamp)
    }
}

stored! {
    StoredScopeStampV1 = ScopeStamp {}
    before { version: 0, count: 0, sum: [0; 32] }
}

stored! {
    StoredScopeStampV2 = ScopeStamp { version: u64, count: u64, sum: [u8; 32] }
}

record! { ScopeStamp { 1 => StoredScopeStampV1, } newest 2 => StoredScopeStampV2 }
