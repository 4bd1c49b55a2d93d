//! The release keys of every generation, sealed under one random root key that each key slot wraps.
//!
//! A ring never changes in place: every change gives another ring, which the caller takes into use once it is stored, so
//! that nothing is ever sealed to a key that a crash could lose. A new generation changes the root too, for the slots that
//! are left: whoever holds only a removed slot, or an old copy of it, does not open what is sealed from then on. (They do
//! know the identity that slots take a root from; to misuse it takes the record key and write access to the byte store.)

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::aad::Aad;
use crate::crypto::aead::Nonce;
use crate::crypto::deposit::{DepositKey, ReleaseKey};
use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::slot::KeySlot;
use crate::crypto::slots::KeySlots;
use crate::crypto::{aead, hpke, random, serial};

const LABEL: &str = "dropsafe key ring v1";
const FIRST_GENERATION: u32 = 1;
const KEY: usize = 32;
/// Id and digest of a slot.
const REGISTERED: usize = 16 + 32;

/// An unlocked ring.
pub struct KeyRing {
    store: [u8; 16],
    root: Arc<Key32>,
    /// Proves to a slot that what it wraps was wrapped by a holder of the ring.
    identity: Arc<Key32>,
    current: Arc<ReleaseKey>,
    older: BTreeMap<u32, Arc<ReleaseKey>>,
    /// Id to digest of the slots whose public keys are known to be honest.
    slots: BTreeMap<[u8; 16], [u8; 32]>,
}

/// A ring as it is stored: the deposit keys, for a locked store to seal with, and the release keys under the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRing {
    #[serde(with = "serial::bytes")]
    pub(crate) identity: [u8; 32],
    pub(crate) current: DepositKey,
    pub(crate) older: Vec<DepositKey>,
    #[serde(with = "serial::bytes")]
    pub(crate) nonce: Nonce,
    #[serde(with = "serial::bytes")]
    pub(crate) ciphertext: Vec<u8>,
}

impl KeyRing {
    /// The first ring of a store, with one generation. It can be unlocked again once it has a slot ([`crate::crypto::slot::create`]).
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

    /// The release key of the newest generation.
    pub fn current(&self) -> &Arc<ReleaseKey> {
        &self.current
    }

    /// What new values are sealed to.
    pub fn deposit_key(&self) -> DepositKey {
        self.current.deposit_key()
    }

    /// The release key of a generation that has not been dropped.
    pub fn release_key(&self, generation: u32) -> Option<&Arc<ReleaseKey>> {
        if generation == self.current.generation() {
            Some(&self.current)
        } else {
            self.older.get(&generation)
        }
    }

    /// The generations older than the current one whose values still open, oldest first.
    pub fn older_generations(&self) -> impl Iterator<Item = u32> {
        self.older.keys().copied()
    }

    /// Seals the ring. To be stored in one commit with the slots that belong to it.
    pub fn seal(&self, rng: &mut dyn Random) -> SealedRing {
        let keys = self.older.values().chain([&self.current]);
        let size = KEY + (self.older.len() + 1) * KEY + self.slots.len() * REGISTERED;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(size));
        plaintext.extend_from_slice(self.identity.expose());
        keys.for_each(|key| plaintext.extend_from_slice(key.secret().expose()));
        for (id, digest) in &self.slots {
            plaintext.extend_from_slice(id);
            plaintext.extend_from_slice(digest);
        }
        let mut sealed = SealedRing {
            identity: hpke::public_half(&self.identity),
            current: self.deposit_key(),
            older: self.older.values().map(|key| key.deposit_key()).collect(),
            nonce: random::array(rng),
            ciphertext: Vec::new(),
        };
        sealed.ciphertext = aead::seal(&self.root, &sealed.nonce, &sealed.bind(&self.store), &plaintext);
        sealed
    }

    /// Opens a sealed ring under its root.
    pub(crate) fn open(store: &[u8; 16], root: Key32, sealed: &SealedRing) -> Result<Self, RingDamaged> {
        let opened = aead::open(&root, &sealed.nonce, &sealed.bind(store), &sealed.ciphertext)
            .map_err(|_| RingDamaged)?;
        let (identity, rest) = take_key(&opened)?;
        let (mut older, mut rest) = (BTreeMap::new(), rest);
        for deposit in &sealed.older {
            let (key, after) = take_release_key(rest, deposit)?;
            older.insert(key.generation(), Arc::new(key));
            rest = after;
        }
        let (current, rest) = take_release_key(rest, &sealed.current)?;
        let (registered, []) = rest.as_chunks::<REGISTERED>() else { return Err(RingDamaged) };
        let slots = registered.iter().map(split_registered).collect();
        Ok(Self {
            store: *store,
            root: Arc::new(root),
            identity: Arc::new(identity),
            current: Arc::new(current),
            older,
            slots,
        })
    }

    /// A ring with one more generation, which is the current one, under a new root, and its slots. No passphrase is needed:
    /// each slot has a public key that the root is wrapped to. A slot that is not in `slots` loses access.
    pub fn with_generation(
        &self,
        slots: &KeySlots,
        rng: &mut dyn Random,
    ) -> Result<(Self, KeySlots), NewGenerationError> {
        let mut ring = self.another();
        ring.root = Arc::new(Key32::random(rng));
        ring.older.insert(self.current.generation(), self.current.clone());
        ring.current = Arc::new(ReleaseKey::generate(self.current.generation() + 1, rng));
        ring.slots.clear();
        let mut wrapped = Vec::new();
        for slot in slots.iter() {
            let digest = slot.digest(&self.store);
            if self.slots.get(slot.id()) != Some(&digest) {
                return Err(NewGenerationError::ForeignSlot(*slot.id()));
            }
            ring.slots.insert(*slot.id(), digest);
            wrapped.push(slot.rewrapped(&ring, rng));
        }
        Ok((ring, slots.replaced(wrapped)))
    }

    /// A ring that no longer opens the values of an older generation: for the commit that moves the last of them.
    pub fn without_generation(&self, generation: u32) -> Result<Self, DropGenerationError> {
        if generation == self.current.generation() {
            return Err(DropGenerationError::Current(generation));
        }
        let mut ring = self.another();
        ring.older.remove(&generation).ok_or(DropGenerationError::Unknown(generation))?;
        Ok(ring)
    }

    /// A ring that knows one slot more.
    pub(crate) fn with_slot(&self, slot: &KeySlot) -> Self {
        let mut ring = self.another();
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

    /// Another ring of the same keys. Not `Clone`: a caller shares a ring, it does not copy one.
    fn another(&self) -> Self {
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

impl SealedRing {
    /// What new values are sealed to. Until the ring is unlocked only the record that holds it vouches for it.
    pub fn deposit_key(&self) -> DepositKey {
        self.current
    }

    /// Every generation that still opens, oldest first; the last is the current one.
    pub fn generations(&self) -> impl Iterator<Item = u32> {
        self.older.iter().chain([&self.current]).map(DepositKey::generation)
    }

    pub(crate) fn identity(&self) -> &[u8; 32] {
        &self.identity
    }

    fn bind(&self, store: &[u8; 16]) -> Aad {
        let start = Aad::new(LABEL).part(store).part(&self.identity).number(self.current.generation());
        let start = start.part(self.current.public()).part(&(self.older.len() as u64).to_be_bytes());
        self.older.iter().fold(start, |aad, key| aad.number(key.generation()).part(key.public()))
    }
}

/// The sealed ring has changed, is of another store, or does not belong to the slot that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed key ring does not open: it was damaged or belongs to other key slots")]
pub struct RingDamaged;

/// Why there is no new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewGenerationError {
    /// A slot that was not made with this ring: its public key may be anybody's, so nothing is wrapped to it.
    #[error("a key slot was not made with this key ring")]
    ForeignSlot([u8; 16]),
}

/// Why a generation was not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropGenerationError {
    /// It is the one that new values are sealed to.
    #[error("generation {0} is the current one")]
    Current(u32),
    /// There is none of that number.
    #[error("there is no generation {0}")]
    Unknown(u32),
}

fn take_key(bytes: &[u8]) -> Result<(Key32, &[u8]), RingDamaged> {
    let (key, rest) = bytes.split_first_chunk::<KEY>().ok_or(RingDamaged)?;
    Ok((Key32::copy_of(key), rest))
}

/// The next key, which must be the private half of `deposit`.
fn take_release_key<'a>(
    bytes: &'a [u8],
    deposit: &DepositKey,
) -> Result<(ReleaseKey, &'a [u8]), RingDamaged> {
    let (key, rest) = take_key(bytes)?;
    let key = ReleaseKey::from_parts(deposit.generation(), key);
    if key.deposit_key() == *deposit { Ok((key, rest)) } else { Err(RingDamaged) }
}

fn split_registered(registered: &[u8; REGISTERED]) -> ([u8; 16], [u8; 32]) {
    let (mut id, mut digest) = ([0; 16], [0; 32]);
    id.copy_from_slice(&registered[..16]);
    digest.copy_from_slice(&registered[16..]);
    (id, digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keyfile::UnlockKey;
    use crate::crypto::passphrase::Argon2Params;
    use crate::crypto::random::Kernel;
    use crate::crypto::slot::{KeySlotError, SlotSecret};
    use crate::crypto::value::{SealedValueError, ValueContext};
    use crate::crypto::{slot, value};

    const STORE: [u8; 16] = [1; 16];
    const CONTEXT: ValueContext<'static> = ValueContext {
        store: &STORE,
        org: &[2; 16],
        scope: 0,
        owner: None,
        secret: &[4; 16],
        env: "DB_URL",
        version: &[5; 16],
    };

    fn ring_with(keys: &[UnlockKey]) -> (KeyRing, KeySlots) {
        let (mut ring, mut slots) = (KeyRing::create(&STORE, &mut Kernel), Vec::new());
        for (id, key) in (0..).zip(keys) {
            let (slot, known) =
                slot::create(&ring, &[id; 16], SlotSecret::KeyFile(key), Argon2Params::DEFAULT, &mut Kernel)
                    .unwrap();
            slots.push(slot);
            ring = known;
        }
        (ring, KeySlots::try_from(slots).unwrap())
    }

    fn keys<const N: usize>() -> [UnlockKey; N] {
        std::array::from_fn(|_| UnlockKey::generate(&mut Kernel))
    }

    #[test]
    fn a_new_generation_needs_no_secret_and_every_slot_left_opens_it() {
        let (keys, rng) = (keys::<3>(), &mut Kernel);
        let (ring, slots) = ring_with(&keys);
        let old_value = value::seal(&ring.deposit_key(), &CONTEXT, b"value", rng).unwrap();
        let old_sealed = ring.seal(rng);

        let left = slots.without(&[1; 16]).unwrap();
        let (ring, left) = ring.with_generation(&left, rng).unwrap();
        let sealed = ring.seal(rng);
        assert_eq!(sealed.generations().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(sealed.deposit_key(), ring.deposit_key());
        for at in [0, 2] {
            let unlocked = left.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[at])).unwrap().ring;
            assert_eq!(unlocked.older_generations().collect::<Vec<_>>(), [1]);
            let old = unlocked.release_key(1).unwrap();
            assert_eq!(*value::open(old, &CONTEXT, &old_value).unwrap(), b"value");
            let new = value::seal(&sealed.deposit_key(), &CONTEXT, b"new", rng).unwrap();
            assert_eq!(*value::open(unlocked.current(), &CONTEXT, &new).unwrap(), b"new");
        }

        // The removed slot, put back from an old copy: it opens the old ring, and never again the present one.
        assert!(slots.unlock(&STORE, &old_sealed, SlotSecret::KeyFile(&keys[1])).is_ok());
        let answer = slots.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[1])).unwrap_err();
        assert_eq!(answer, KeySlotError::Ring(RingDamaged));
        assert_eq!(
            left.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[1])).unwrap_err(),
            KeySlotError::Refused
        );
        assert_eq!(ring.with_generation(&slots, rng).unwrap_err(), NewGenerationError::ForeignSlot([1; 16]));
    }

    #[test]
    fn what_unlocked_one_ring_follows_to_the_next_while_its_slot_is_there() {
        let (keys, rng) = (keys::<2>(), &mut Kernel);
        let (ring, slots) = ring_with(&keys);
        let opener = slots.unlock(&STORE, &ring.seal(rng), SlotSecret::KeyFile(&keys[0])).unwrap().opener;

        let (ring, slots) = ring.with_generation(&slots, rng).unwrap();
        let (ring, slots) = ring.with_generation(&slots, rng).unwrap();
        let sealed = ring.seal(rng);
        let followed = slots.follow(&STORE, &sealed, &opener).unwrap();
        assert_eq!(followed.deposit_key(), ring.deposit_key());
        assert_eq!(followed.older_generations().collect::<Vec<_>>(), [1, 2]);
        let other = [9; 16];
        assert_eq!(slots.follow(&other, &sealed, &opener).unwrap_err(), KeySlotError::Damaged);

        let left = slots.without(&[0; 16]).unwrap();
        let (ring, left) = ring.with_generation(&left, rng).unwrap();
        let sealed = ring.seal(rng);
        assert_eq!(left.follow(&STORE, &sealed, &opener).unwrap_err(), KeySlotError::Refused);
        // Nor does what is wrapped to the slot from before open the ring of now.
        let answer = slots.follow(&STORE, &sealed, &opener).unwrap_err();
        assert_eq!(answer, KeySlotError::Ring(RingDamaged));
        assert_eq!(format!("{opener:?}"), "Opener([redacted])");
    }

    #[test]
    fn a_dropped_generation_is_unreadable() {
        let (keys, rng) = (keys::<1>(), &mut Kernel);
        let (ring, slots) = ring_with(&keys);
        let old_value = value::seal(&ring.deposit_key(), &CONTEXT, b"value", rng).unwrap();
        let (ring, slots) = ring.with_generation(&slots, rng).unwrap();
        let moved =
            value::reseal(ring.release_key(1).unwrap(), ring.current(), &CONTEXT, &old_value, rng).unwrap();

        assert_eq!(ring.without_generation(2).unwrap_err(), DropGenerationError::Current(2));
        assert_eq!(ring.without_generation(3).unwrap_err(), DropGenerationError::Unknown(3));
        let sealed = ring.without_generation(1).unwrap().seal(rng);
        assert_eq!(sealed.generations().collect::<Vec<_>>(), [2]);
        let ring = slots.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[0])).unwrap().ring;
        assert!(ring.release_key(1).is_none());
        let answer = value::open(ring.current(), &CONTEXT, &old_value);
        assert_eq!(answer, Err(SealedValueError::Generation { sealed: 1, key: 2 }));
        assert_eq!(*value::open(ring.current(), &CONTEXT, &moved).unwrap(), b"value");
    }

    #[test]
    fn nothing_is_wrapped_to_a_slot_of_another_ring() {
        let keys = keys::<1>();
        let (ring, _) = ring_with(&keys);
        let (_, foreign) = ring_with(&keys);
        let answer = ring.with_generation(&foreign, &mut Kernel).unwrap_err();
        assert_eq!(answer, NewGenerationError::ForeignSlot([0; 16]));
    }

    #[test]
    fn the_stored_form_survives_json_and_shows_public_keys_only() {
        let keys = keys::<1>();
        let (ring, slots) = ring_with(&keys);
        let sealed = ring.seal(&mut Kernel);
        let json = serde_json::to_string(&(&slots, &sealed)).unwrap();
        let (read_slots, read): (KeySlots, SealedRing) = serde_json::from_str(&json).unwrap();
        assert_eq!((&read_slots, &read), (&slots, &sealed));
        for secret in [ring.root(), ring.identity(), ring.current().secret(), ring.current().settled()] {
            assert!(!json.contains(&data_encoding::BASE64URL_NOPAD.encode(secret.expose())));
        }
        assert_eq!(format!("{ring:?}"), "KeyRing { current: 1, [redacted] }");
    }
}
