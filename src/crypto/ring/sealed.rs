//! The stored form of a ring: the deposit keys in the clear, for a locked store to seal to, and the release keys under the
//! root.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::KeyRing;
use crate::crypto::aad::Aad;
use crate::crypto::aead::Nonce;
use crate::crypto::deposit::{DepositKey, ReleaseKey};
use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::{aead, hpke, random, serial};

const LABEL: &str = "dropsafe key ring v1";
const KEY_LEN: usize = 32;
/// Id and digest of a slot.
const SLOT_LEN: usize = 16 + 32;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedRing {
    #[serde(with = "serial::bytes")]
    pub(crate) identity: [u8; 32],
    pub(crate) current: DepositKey,
    pub(crate) older: Vec<DepositKey>,
    #[serde(with = "serial::bytes")]
    pub(crate) nonce: Nonce,
    #[serde(with = "serial::bytes")]
    pub(crate) ciphertext: Vec<u8>,
}

impl SealedRing {
    /// The key that new values are sealed to. Until the ring is unlocked, only the record that holds it vouches for it.
    pub(crate) fn deposit_key(&self) -> DepositKey {
        self.current
    }

    /// Every generation that still opens, oldest first. The last one is the current one.
    pub(crate) fn generations(&self) -> impl Iterator<Item = u32> {
        self.older.iter().chain([&self.current]).map(DepositKey::generation)
    }

    pub(crate) fn identity(&self) -> &[u8; 32] {
        &self.identity
    }

    fn bind(&self, store: &[u8; 16]) -> Aad {
        // Every field that is stored in the clear is bound, so that changing one makes the whole ring unreadable.
        let start = Aad::new(LABEL).part(store).part(&self.identity).u32(self.current.generation());
        let start = start.part(self.current.public()).part(&(self.older.len() as u64).to_be_bytes());
        self.older.iter().fold(start, |aad, key| aad.u32(key.generation()).part(key.public()))
    }
}

/// The sealed ring was changed, is of another store, or does not belong to the slot that opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed key ring does not open: it was damaged or belongs to other key slots")]
pub(crate) struct RingDamaged;

impl KeyRing {
    /// Seals the ring. Store it in one commit with its slots.
    pub(crate) fn seal(&self, rng: &mut dyn Random) -> SealedRing {
        let keys = self.older.values().chain([&self.current]);
        // The exact size: a vector that grows would leave keys behind in memory that is freed unwiped.
        let size = KEY_LEN + (self.older.len() + 1) * KEY_LEN + self.slots.len() * SLOT_LEN;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(size));
        plaintext.extend_from_slice(self.identity.expose());
        keys.for_each(|key| plaintext.extend_from_slice(key.private_key().expose()));
        for (id, digest) in &self.slots {
            plaintext.extend_from_slice(id);
            plaintext.extend_from_slice(digest);
        }
        let mut sealed = SealedRing {
            identity: hpke::pk(&self.identity),
            current: self.deposit_key(),
            older: self.older.values().map(|key| key.deposit_key()).collect(),
            nonce: random::array(rng),
            ciphertext: Vec::new(),
        };
        sealed.ciphertext = aead::seal(&self.root, &sealed.nonce, &sealed.bind(&self.store), &plaintext);
        sealed
    }

    pub(crate) fn open(store: &[u8; 16], root: Key32, sealed: &SealedRing) -> Result<Self, RingDamaged> {
        let opened = aead::open(&root, &sealed.nonce, &sealed.bind(store), &sealed.ciphertext)
            .map_err(|_| RingDamaged)?;
        // Not compared with the public identity, which the associated data binds to this plaintext.
        let (identity, mut rest) = split_key(&opened)?;
        let mut older = BTreeMap::new();
        for deposit in &sealed.older {
            let (key, after) = split_release_key(rest, deposit)?;
            older.insert(key.generation(), Arc::new(key));
            rest = after;
        }
        let (current, rest) = split_release_key(rest, &sealed.current)?;
        // The slots take up the rest, to the last byte: their number is not stored.
        let (slots, []) = rest.as_chunks::<SLOT_LEN>() else { return Err(RingDamaged) };
        Ok(Self {
            store: *store,
            root: Arc::new(root),
            identity: Arc::new(identity),
            current: Arc::new(current),
            older,
            slots: slots.iter().map(split_slot).collect(),
        })
    }
}

fn split_key(bytes: &[u8]) -> Result<(Key32, &[u8]), RingDamaged> {
    let (key, rest) = bytes.split_first_chunk::<KEY_LEN>().ok_or(RingDamaged)?;
    Ok((Key32::copy_of(key), rest))
}

/// Takes the private half of `deposit` off the front.
fn split_release_key<'a>(
    bytes: &'a [u8],
    deposit: &DepositKey,
) -> Result<(ReleaseKey, &'a [u8]), RingDamaged> {
    let (key, rest) = split_key(bytes)?;
    let key = ReleaseKey::from_parts(deposit.generation(), key);
    // The halves are stored apart. A pair that does not match would seal values that nothing opens.
    if key.deposit_key() == *deposit { Ok((key, rest)) } else { Err(RingDamaged) }
}

fn split_slot(slot: &[u8; SLOT_LEN]) -> ([u8; 16], [u8; 32]) {
    let (mut id, mut digest) = ([0; 16], [0; 32]);
    id.copy_from_slice(&slot[..16]);
    digest.copy_from_slice(&slot[16..]);
    (id, digest)
}
