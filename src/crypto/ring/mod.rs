//! The release keys of every generation, sealed under one random root key that each key slot wraps.
//!
//! A ring never changes in place. Every change returns another ring, which the caller uses once it is stored, so that
//! nothing is ever sealed to a key that a crash could lose. A new generation also changes the root, for the remaining slots:
//! a removed slot, or an old copy of one, does not open what is sealed from then on. (Its holder still knows the identity
//! from which slots accept a root; to misuse that takes the record key and write access to the byte store.)

mod sealed;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub(crate) use self::sealed::{RingDamaged, SealedRing};
use super::deposit::{DepositKey, ReleaseKey};
use super::memory::Key32;
use super::random::Random;
use super::slot::KeySlot;
use super::slots::KeySlots;

const FIRST_GENERATION: u32 = 1;

/// An unlocked ring.
pub struct KeyRing {
    store: [u8; 16],
    root: Arc<Key32>,
    /// Proves to a slot that a holder of the ring wrapped the root.
    identity: Arc<Key32>,
    current: Arc<ReleaseKey>,
    older: BTreeMap<u32, Arc<ReleaseKey>>,
    /// Digests by id of the slots that were made with this ring.
    slots: BTreeMap<[u8; 16], [u8; 32]>,
}

impl KeyRing {
    /// The first ring of a store, with one generation. It can be unlocked again once it has a slot ([`super::slot::create`]).
    pub fn create(store: &[u8; 16], rng: &mut dyn Random) -> Self {
        Self {
            store: *store,
            root: Arc::new(Key32::random(rng)),
            identity: Arc::new(Key32::random(rng)),
            current: Arc::new(ReleaseKey::generate(FIRST_GENERATION, rng)),
            older: BTreeMap::new(),
            slots: BTreeMap::new(),
        }
    }

    pub(crate) fn current(&self) -> &Arc<ReleaseKey> {
        &self.current
    }

    /// The key that new values are sealed to.
    pub(crate) fn deposit_key(&self) -> DepositKey {
        self.current.deposit_key()
    }

    /// The release key of `generation`, or `None` if the ring no longer has it.
    pub(crate) fn release_key(&self, generation: u32) -> Option<&Arc<ReleaseKey>> {
        if generation == self.current.generation() {
            Some(&self.current)
        } else {
            self.older.get(&generation)
        }
    }

    /// The generations before the current one whose values still open, oldest first.
    pub(crate) fn older_generations(&self) -> impl Iterator<Item = u32> {
        self.older.keys().copied()
    }

    /// A ring with a new current generation and a new root, and `slots` wrapped to that root. Needs no passphrase: each
    /// slot has a public key. A slot that is not in `slots` loses access.
    pub(crate) fn with_generation(
        &self,
        slots: &KeySlots,
        rng: &mut dyn Random,
    ) -> Result<(Self, KeySlots), NewGenerationError> {
        let mut ring = self.share();
        // The old root must not open the new ring: a removed slot still wraps it, in every backup.
        ring.root = Arc::new(Key32::random(rng));
        ring.older.insert(self.current.generation(), self.current.clone());
        ring.current = Arc::new(ReleaseKey::generate(self.current.generation() + 1, rng));
        ring.slots.clear();
        let mut wrapped = Vec::new();
        for slot in slots.iter() {
            // An attacker who writes to the byte store could plant a slot with a public key of their own. The digest,
            // which is inside the sealed ring, covers that key, so the new root is wrapped to known slots only.
            let digest = slot.digest(&self.store);
            if self.slots.get(slot.id()) != Some(&digest) {
                return Err(NewGenerationError::ForeignSlot(*slot.id()));
            }
            ring.slots.insert(*slot.id(), digest);
            wrapped.push(slot.rewrap(&ring, rng));
        }
        Ok((ring, slots.replace_all(wrapped)))
    }

    /// A ring without an older generation, whose values no longer open: for the commit that moves the last of them.
    pub(crate) fn without_generation(&self, generation: u32) -> Result<Self, DropGenerationError> {
        if generation == self.current.generation() {
            return Err(DropGenerationError::Current(generation));
        }
        let mut ring = self.share();
        ring.older.remove(&generation).ok_or(DropGenerationError::Unknown(generation))?;
        Ok(ring)
    }

    pub(crate) fn with_slot(&self, slot: &KeySlot) -> Self {
        let mut ring = self.share();
        ring.slots.insert(*slot.id(), slot.digest(&self.store));
        ring
    }

    pub(crate) fn store(&self) -> &[u8; 16] {
        &self.store
    }

    pub(crate) fn root(&self) -> &Key32 {
        &self.root
    }

    pub(crate) fn identity(&self) -> &Key32 {
        &self.identity
    }

    fn share(&self) -> Self {
        // Private and not `Clone`: callers share a ring behind an `Arc`. The keys themselves are never copied.
        Self {
            store: self.store,
            root: self.root.clone(),
            identity: self.identity.clone(),
            current: self.current.clone(),
            older: self.older.clone(),
            slots: self.slots.clone(),
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing {{ current: {}, [redacted] }}", self.current.generation())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NewGenerationError {
    /// A slot that this ring did not make. Its public key can be anybody's, so nothing is wrapped to it.
    #[error("a key slot was not made with this key ring")]
    ForeignSlot([u8; 16]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DropGenerationError {
    /// New values are sealed to it.
    #[error("generation {0} is the current one")]
    Current(u32),
    #[error("there is no generation {0}")]
    Unknown(u32),
}

#[cfg(test)]
mod tests;
