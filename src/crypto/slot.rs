//! Key slots: what a passphrase, a key file or a systemd credential unlocks a store with.
//!
//! The secret of a slot gives a key pair (through Argon2id if a person chose it), and the ring's root is sealed to it, in
//! HPKE's auth mode, by the ring. So a new root can be wrapped without the passphrase, yet nobody without the ring can
//! put a root of their own into a slot. A slot commits to its secret, so no slot opens under two. Nothing here tells
//! a wrong passphrase from another, or how close it came.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::aad::Aad;
use super::hpke::SuiteId;
use super::keyfile::UnlockKey;
use super::memory::Key32;
use super::passphrase::{Argon2Params, DeriveError, Passphrase};
use super::random::Random;
use super::ring::{KeyRing, RingDamaged};
use super::{hpke, kdf, passphrase, random, serial};

const LABEL: &str = "dropsafe key slot v1";

/// What is presented to a slot.
#[derive(Clone, Copy, Debug)]
pub enum SlotSecret<'a> {
    /// What a person types.
    Passphrase(&'a Passphrase),
    /// A file of the operator's.
    KeyFile(&'a UnlockKey),
    /// The same, handed over by systemd and sealed to the machine (systemd-creds(1)).
    Credential(&'a UnlockKey),
}

/// What a slot is opened by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A passphrase, through Argon2id with these parameters.
    Passphrase(Argon2Params),
    /// A key file.
    KeyFile,
    /// A systemd credential. Any key file opens it too: only where it is kept differs.
    Credential,
}

impl SlotKind {
    /// `passphrase`, `key_file` or `credential`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::KeyFile => "key_file",
            Self::Credential => "credential",
        }
    }
}

/// One slot, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySlot {
    #[serde(with = "serial::bytes")]
    pub(crate) id: [u8; 16],
    pub(crate) kind: SlotKind,
    #[serde(with = "serial::bytes")]
    pub(crate) salt: [u8; 16],
    /// Public half of the identity of the ring that may wrap a root here.
    #[serde(with = "serial::bytes")]
    pub(crate) ring: [u8; 32],
    pub(crate) suite: SuiteId,
    /// What the root is sealed to.
    #[serde(with = "serial::bytes")]
    pub(crate) public: [u8; 32],
    /// Of the secret, so that no second one opens this slot.
    #[serde(with = "serial::bytes")]
    pub(crate) commitment: [u8; 32],
    #[serde(with = "serial::bytes")]
    pub(crate) enc: Vec<u8>,
    #[serde(with = "serial::bytes")]
    pub(crate) ct: Vec<u8>,
}

/// Makes a slot of `ring` that `secret` will open, and the ring that knows it; both are to be stored in one commit.
/// `params` matter for a passphrase only. `id` is the slot's, random. Blocks for as long as the derivation takes.
pub fn create(
    ring: &KeyRing,
    id: &[u8; 16],
    secret: SlotSecret<'_>,
    params: Argon2Params,
    rng: &mut dyn Random,
) -> Result<(KeySlot, KeyRing), DeriveError> {
    let mut slot = KeySlot {
        id: *id,
        kind: match secret {
            SlotSecret::Passphrase(_) => SlotKind::Passphrase(params),
            SlotSecret::KeyFile(_) => SlotKind::KeyFile,
            SlotSecret::Credential(_) => SlotKind::Credential,
        },
        salt: random::array(rng),
        ring: hpke::public_half(ring.identity()),
        suite: hpke::X25519,
        public: [0; 32],
        commitment: [0; 32],
        enc: Vec::new(),
        ct: Vec::new(),
    };
    if let Some(keys) = slot.derive(ring.store(), secret)? {
        slot.public = hpke::public_half(&keys.private);
        slot.commitment = *keys.commitment.expose();
    }
    let slot = slot.rewrapped(ring, rng);
    let ring = ring.with_slot(&slot);
    Ok((slot, ring))
}

impl KeySlot {
    /// Its id.
    pub fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// What opens it.
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// Public half of the identity of the ring it was made with.
    pub(crate) fn ring(&self) -> &[u8; 32] {
        &self.ring
    }

    /// The ring's root and what opened it, or none if `secret` is not this slot's.
    pub(crate) fn open(
        &self,
        store: &[u8; 16],
        secret: SlotSecret<'_>,
    ) -> Result<Option<(Key32, Opener)>, KeySlotError> {
        if self.suite != hpke::X25519 {
            return Err(KeySlotError::UnknownSuite(self.suite));
        }
        let Some(keys) = self.derive(store, secret)? else { return Ok(None) };
        if !keys.commitment.is(&self.commitment) {
            return Ok(None);
        }
        let opener = Opener { slot: self.id, private: keys.private };
        Ok(Some((self.open_with(store, &opener)?, opener)))
    }

    /// The ring's root as it is wrapped now, by what opened this slot before.
    pub(crate) fn open_with(&self, store: &[u8; 16], opener: &Opener) -> Result<Key32, KeySlotError> {
        if self.suite != hpke::X25519 {
            return Err(KeySlotError::UnknownSuite(self.suite));
        }
        let aad = self.bind(store);
        let root = hpke::open(&opener.private, Some(&self.ring), LABEL.as_bytes(), &aad, &self.enc, &self.ct)
            .map_err(|_| KeySlotError::Damaged)?;
        let root = root.as_slice().try_into().map_err(|_| KeySlotError::Damaged)?;
        Ok(Key32::copy_of(root))
    }

    /// This slot with the root of `ring`, which must be the one it was made with.
    #[expect(
        clippy::expect_used,
        reason = "both public keys were computed from private ones, so they are usable points"
    )]
    pub(crate) fn rewrapped(&self, ring: &KeyRing, rng: &mut dyn Random) -> Self {
        let (aad, root) = (self.bind(ring.store()), ring.root().expose());
        let sealed = hpke::seal(&self.public, Some(ring.identity()), LABEL.as_bytes(), &aad, root, rng)
            .expect("sealing to a key of our own");
        Self { enc: sealed.enc, ct: sealed.ct, ..self.clone() }
    }

    /// Identifies all of the slot but the wrapped root.
    pub(crate) fn digest(&self, store: &[u8; 16]) -> [u8; 32] {
        Sha256::digest(self.bind(store).as_bytes()).into()
    }

    /// The keys that `secret` gives with this slot's parameters; none if it is of another kind.
    fn derive(&self, store: &[u8; 16], secret: SlotSecret<'_>) -> Result<Option<SlotKeys>, DeriveError> {
        let derived;
        let material = match (self.kind, secret) {
            (SlotKind::Passphrase(params), SlotSecret::Passphrase(passphrase)) => {
                derived = passphrase::derive(passphrase.expose(), &self.salt, params)?;
                &derived
            }
            (
                SlotKind::KeyFile | SlotKind::Credential,
                SlotSecret::KeyFile(key) | SlotSecret::Credential(key),
            ) => key.key(),
            _ => return Ok(None),
        };
        let subkey = |purpose: &str| {
            kdf::derive_salted(&self.salt, material.expose(), &self.header(store).part(purpose.as_bytes()))
        };
        Ok(Some(SlotKeys { private: subkey("private key"), commitment: subkey("commitment") }))
    }

    /// All that was fixed before the secret was used.
    fn header(&self, store: &[u8; 16]) -> Aad {
        let (kind, (memory_kib, passes, lanes)) = match self.kind {
            SlotKind::Passphrase(params) => (1, params.costs()),
            SlotKind::KeyFile => (2, (0, 0, 0)),
            SlotKind::Credential => (3, (0, 0, 0)),
        };
        Aad::new(LABEL)
            .part(store)
            .part(&self.id)
            .number(kind)
            .number(memory_kib)
            .number(passes)
            .number(lanes)
            .part(&self.salt)
            .part(&self.ring)
            .part(&self.suite.to_be_bytes())
    }

    fn bind(&self, store: &[u8; 16]) -> Aad {
        self.header(store).part(&self.public).part(&self.commitment)
    }
}

/// What a slot was opened with: opens what is wrapped to it later, for as long as the slot is there. As secret as the
/// ring itself, and no more: it does not give the passphrase.
pub struct Opener {
    slot: [u8; 16],
    private: Key32,
}

impl Opener {
    /// Id of the slot.
    pub(crate) fn slot(&self) -> &[u8; 16] {
        &self.slot
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener([redacted])")
    }
}

struct SlotKeys {
    private: Key32,
    commitment: Key32,
}

/// Why nothing was unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySlotError {
    /// The secret is not that of any slot. Deliberately nothing more.
    #[error("no key slot opens with this passphrase or key")]
    Refused,
    /// A slot could not even be tried.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// A slot of a later version.
    #[error("a key slot is sealed with suite {0:#06x}, which this version does not know")]
    UnknownSuite(SuiteId),
    /// The secret is right and what it should open has changed.
    #[error("the key slot was damaged, or is of another store")]
    Damaged,
    /// The slot opened and the ring did not.
    #[error(transparent)]
    Ring(#[from] RingDamaged),
}
