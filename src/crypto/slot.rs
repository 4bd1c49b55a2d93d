//! Key slots: how a passphrase, a key file or a systemd credential unlocks a store.
//!
//! The secret of a slot gives a key pair (through Argon2id if it is a passphrase), and the ring seals its root to that pair in
//! HPKE's auth mode. So a new root can be wrapped without the passphrase, yet nobody without the ring can put a root of their
//! own into a slot. A slot commits to its secret, so that no second secret opens it. All wrong secrets give one answer.

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

/// A secret that may open a slot.
#[derive(Clone, Copy, Debug)]
pub enum SlotSecret<'a> {
    Passphrase(&'a Passphrase),
    KeyFile(&'a UnlockKey),
    /// From systemd, which seals it to the machine (systemd-creds(1)).
    Credential(&'a UnlockKey),
}

/// The kind of secret that opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A passphrase, through Argon2id with these parameters.
    Passphrase(Argon2Params),
    KeyFile,
    /// A systemd credential. The same key in a file opens it too.
    Credential,
}

impl SlotKind {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::KeyFile => "key_file",
            Self::Credential => "credential",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySlot {
    #[serde(with = "serial::bytes")]
    pub(crate) id: [u8; 16],
    pub(crate) kind: SlotKind,
    #[serde(with = "serial::bytes")]
    pub(crate) salt: [u8; 16],
    /// Public key of the ring that may wrap a root here.
    #[serde(with = "serial::bytes")]
    pub(crate) ring: [u8; 32],
    pub(crate) suite: SuiteId,
    /// Public key that the root is sealed to.
    #[serde(with = "serial::bytes")]
    pub(crate) public: [u8; 32],
    /// Fixes the secret: no second one opens this slot.
    #[serde(with = "serial::bytes")]
    pub(crate) commitment: [u8; 32],
    #[serde(with = "serial::bytes")]
    pub(crate) enc: Vec<u8>,
    #[serde(with = "serial::bytes")]
    pub(crate) ct: Vec<u8>,
}

/// Makes a slot of `ring` that `secret` opens, and a ring that knows the slot. Store both in one commit. `id` is random;
/// `params` matter for a passphrase only. Blocks while the derivation runs.
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
        ring: hpke::pk(ring.identity()),
        suite: hpke::X25519,
        // Filled in below: the derivation binds the fields above, so it needs the slot that far.
        public: [0; 32],
        commitment: [0; 32],
        enc: Vec::new(),
        ct: Vec::new(),
    };
    if let Some(keys) = slot.derive(ring.store(), secret)? {
        slot.public = hpke::pk(&keys.private);
        slot.commitment = *keys.commitment.expose();
    }
    let slot = slot.rewrap(ring, rng);
    let ring = ring.with_slot(&slot);
    Ok((slot, ring))
}

impl KeySlot {
    pub(crate) fn id(&self) -> &[u8; 16] {
        &self.id
    }

    pub(crate) fn kind(&self) -> SlotKind {
        self.kind
    }

    pub(crate) fn ring(&self) -> &[u8; 32] {
        &self.ring
    }

    /// Unwraps the ring's root. Returns `None` if `secret` does not belong to this slot.
    pub(crate) fn open(
        &self,
        store: &[u8; 16],
        secret: SlotSecret<'_>,
    ) -> Result<Option<(Key32, Opener)>, KeySlotError> {
        if self.suite != hpke::X25519 {
            return Err(KeySlotError::UnknownSuite(self.suite));
        }
        let Some(keys) = self.derive(store, secret)? else { return Ok(None) };
        // ChaCha20-Poly1305 commits to no key: without this check one slot could be made to open under two secrets, and each
        // answer would halve the candidates (https://eprint.iacr.org/2020/1491, partitioning oracles).
        if !keys.commitment.ct_eq(&self.commitment) {
            return Ok(None);
        }
        let opener = Opener { slot: self.id, private: keys.private };
        Ok(Some((self.open_with(store, &opener)?, opener)))
    }

    /// Unwraps the present root with the key that opened this slot before.
    pub(crate) fn open_with(&self, store: &[u8; 16], opener: &Opener) -> Result<Key32, KeySlotError> {
        if self.suite != hpke::X25519 {
            return Err(KeySlotError::UnknownSuite(self.suite));
        }
        let aad = self.bind(store);
        // Auth mode: a root that anybody but the ring sealed to the public key of this slot does not open.
        let root = hpke::setup_auth_r(&self.enc, &opener.private, LABEL.as_bytes(), &self.ring)
            .and_then(|mut recipient| recipient.open(aad.as_bytes(), &self.ct))
            .map_err(|_| KeySlotError::Damaged)?;
        let root = root.as_slice().try_into().map_err(|_| KeySlotError::Damaged)?;
        Ok(Key32::copy_of(root))
    }

    /// This slot with the root of `ring`, which must be the ring that made it.
    #[expect(
        clippy::expect_used,
        reason = "both public keys were computed from private ones, so they are usable points"
    )]
    pub(crate) fn rewrap(&self, ring: &KeyRing, rng: &mut dyn Random) -> Self {
        let (aad, root) = (self.bind(ring.store()), ring.root().expose());
        let (enc, ct) = hpke::setup_auth_s(&self.public, LABEL.as_bytes(), ring.identity(), rng)
            .and_then(|(enc, mut sender)| Ok((enc, sender.seal(aad.as_bytes(), root)?)))
            .expect("sealing to a key of our own");
        Self { enc, ct, ..self.clone() }
    }

    /// A digest of the slot without its wrapped root.
    pub(crate) fn digest(&self, store: &[u8; 16]) -> [u8; 32] {
        // Without `enc` and `ct`, which change with every new root while the slot stays the same.
        Sha256::digest(self.bind(store).as_bytes()).into()
    }

    /// The keys of `secret` with this slot's parameters. Returns `None` if it is of another kind.
    fn derive(&self, store: &[u8; 16], secret: SlotSecret<'_>) -> Result<Option<SlotKeys>, DeriveError> {
        let derived;
        let material = match (self.kind, secret) {
            (SlotKind::Passphrase(params), SlotSecret::Passphrase(passphrase)) => {
                derived = passphrase::derive(passphrase.expose(), &self.salt, params)?;
                &derived
            }
            // 256 random bits need no Argon2id. The two kinds differ only in where the operator keeps the key.
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

    /// Binds every field that is fixed before the secret is used.
    fn header(&self, store: &[u8; 16]) -> Aad {
        // The parameters are bound, so that nobody can weaken a stored slot and have the passphrase tried against it.
        let (kind, (memory_kib, passes, lanes)) = match self.kind {
            SlotKind::Passphrase(params) => (1, params.costs()),
            SlotKind::KeyFile => (2, (0, 0, 0)),
            SlotKind::Credential => (3, (0, 0, 0)),
        };
        Aad::new(LABEL)
            .part(store)
            .part(&self.id)
            .u32(kind)
            .u32(memory_kib)
            .u32(passes)
            .u32(lanes)
            .part(&self.salt)
            .part(&self.ring)
            .part(&self.suite.to_be_bytes())
    }

    fn bind(&self, store: &[u8; 16]) -> Aad {
        self.header(store).part(&self.public).part(&self.commitment)
    }
}

/// The private key of an opened slot. It unwraps later roots while the slot exists, so it is as secret as the ring; it does
/// not reveal the passphrase.
pub(crate) struct Opener {
    slot: [u8; 16],
    private: Key32,
}

impl Opener {
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

/// Why no slot unlocked the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeySlotError {
    #[error("no key slot opens with this passphrase or key")]
    Refused,
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// A later version made the slot.
    #[error("a key slot is sealed with suite {0:#06x}, which this version does not know")]
    UnknownSuite(SuiteId),
    /// The secret is right, and the slot was changed.
    #[error("the key slot was damaged, or is of another store")]
    Damaged,
    /// The slot opened, and the ring did not.
    #[error(transparent)]
    Ring(#[from] RingDamaged),
}
