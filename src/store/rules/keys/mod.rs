//! The keys of the store: unlocking, key slots, and what depositors need to know.
//!
//! The release key is in memory between an unlock and a lock, and nowhere else in the clear. A change of the keys takes
//! effect in memory only after it is stored.

mod new_generation;
mod release;
pub(crate) mod release_key;
mod slots;
mod status;
mod unlock;
mod verified_keys;

pub(crate) use release::{OpenValueError, Reseal, Resealed};
pub(crate) use slots::first_keys;
pub use status::{DepositInfo, Status};
pub(crate) use unlock::ParsedSecret;
pub use unlock::{UnlockError, UnlockSecret, Unlocked};

use crate::crypto::deposit::DepositKey;
use crate::crypto::generation::Generation;
use crate::crypto::passphrase::Argon2Params;
use crate::crypto::ring::KeyRing;
use crate::crypto::slot::SlotKind;
use crate::domain::id::SlotId;
use crate::domain::name::Label;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::rules::store::Store;
use crate::store::tables::store::{self, KeysRecord};

/// Generations that clients can follow from. Those that know an older one ask a person.
const MAX_CHAIN: usize = 64;

/// A key slot to create.
pub struct NewKeyslot {
    /// Whether a key file is listed as a systemd credential.
    pub credential: bool,
    /// The secret that opens it.
    pub secret: UnlockSecret,
    /// Whether a passphrase that can be guessed is accepted.
    pub allow_weak: bool,
    /// A note for people.
    pub label: Option<Label>,
    /// The cost of a passphrase's derivation. Absent: the default. Less than RFC 9106's second recommended set is refused
    /// (except in tests).
    pub argon2: Option<Argon2Params>,
}

/// A key slot without its secret.
#[derive(Clone, Debug)]
pub struct Keyslot {
    /// Its id.
    pub id: SlotId,
    /// The kind of its secret.
    pub kind: SlotKind,
    /// A note for people.
    pub label: Option<Label>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Store {
    /// Whether no release key is in memory.
    pub fn is_locked(&self) -> bool {
        self.release().is_none()
    }

    pub(crate) async fn keys_record(&self) -> Result<KeysRecord, Failure> {
        // Never cached: other processes change slots and generations.
        self.records().get(&store::keys()).await?.ok_or(Failure::Corrupt)
    }

    pub(crate) async fn deposit_key(&self) -> Result<DepositKey, Failure> {
        Ok(self.keys_record().await?.ring.deposit_key())
    }
}

impl KeysRecord {
    /// The fingerprint that clients pin.
    pub(crate) fn fingerprint(&self) -> String {
        match self.chain.last() {
            Some(current) => current.fingerprint(),
            // A generation that an older version created.
            None => self.ring.deposit_key().fingerprint(),
        }
    }

    /// Whether the generation before signed the current one.
    pub(crate) fn is_endorsed(&self) -> bool {
        self.chain.last().is_some_and(|current| current.endorsement.is_some())
    }

    /// Whether what the record says about the current generation is true.
    pub(crate) fn describes(&self, ring: &KeyRing) -> bool {
        let own = Generation::of(ring.current());
        self.chain.last().is_none_or(|said| said.deposit == own.deposit && said.signing == own.signing)
    }

    /// The chain with the generation of `ring` after that of `before`, which endorses it.
    pub(crate) fn extended_chain(&self, ring: &KeyRing, before: &KeyRing) -> Vec<Generation> {
        // A generation that an older version created is not known to clients by a key that could sign.
        if self.chain.is_empty() {
            return vec![Generation::of(ring.current())];
        }
        let old = self.chain.len().saturating_sub(MAX_CHAIN - 1);
        let endorsed = Generation::endorsed(ring.current(), before.current(), ring.store());
        self.chain[old..].iter().cloned().chain([endorsed]).collect()
    }
}
