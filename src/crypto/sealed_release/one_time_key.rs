//! The agent's one-time key: X-Wing and HPKE's base mode for one recipient and one message, on what the agent has anyway. It is
//! used once, and its private halves never leave this file.
//!
//! X-Wing derives both halves from one seed of 32 bytes. That only makes private keys short; one that is stored nowhere takes its
//! halves from the kernel, and everything else is as the draft says.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, Key, KeyInit, Nonce};
use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{DecapsulationKey768, Seed};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::SystemRandom;
use sha3::{Digest as _, Sha3_256};
use zeroize::Zeroizing;

use super::{ANSWER_INFO, ENCAPSULATED, ONE_TIME_KEY};
use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::{SecretBytes, kdf};

/// Bytes of an ML-KEM-768 encapsulation key and of its ciphertext (FIPS 203, table 3), which come first.
const ML_KEM_KEY: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;
/// The label of X-Wing's combiner, which comes last.
const X_WING_LABEL: &[u8; 6] = b"\\.//^\\";
/// HPKE's `suite_id`: KEM 0x647a, KDF 0x0001 (HKDF-SHA256), AEAD 0x0003 (ChaCha20-Poly1305).
const SUITE_ID: &[u8; 10] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// A pair of keys for one answer.
pub(crate) struct OneTimeKey {
    post_quantum: Box<DecapsulationKey768>,
    classical: EphemeralPrivateKey,
    public: Box<[u8; ONE_TIME_KEY]>,
}

/// There were no random bytes, or what arrived was not sealed to this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OneTimeKeyError {
    /// The kernel gave no random bytes.
    #[error("the kernel returned no random bytes")]
    NoRandomness,
    /// It was changed, or sealed to another key.
    #[error("the answer does not open")]
    NotSealed,
}

impl OneTimeKey {
    pub(crate) fn generate(rng: &mut dyn Random) -> Result<Self, OneTimeKeyError> {
        let mut seed = Zeroizing::new(Seed::default());
        rng.fill(seed.as_mut_slice());
        let post_quantum = Box::new(DecapsulationKey768::from_seed(*seed));
        // ring makes ephemeral keys from the kernel's randomness only.
        let classical = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
        let classical = classical.map_err(|_| OneTimeKeyError::NoRandomness)?;
        let point = classical.compute_public_key().map_err(|_| OneTimeKeyError::NoRandomness)?;
        let mut public = Box::new([0; ONE_TIME_KEY]);
        public[..ML_KEM_KEY].copy_from_slice(&post_quantum.encapsulation_key().to_bytes());
        public[ML_KEM_KEY..].copy_from_slice(point.as_ref());
        Ok(Self { post_quantum, classical, public })
    }

    pub(crate) fn public(&self) -> &[u8; ONE_TIME_KEY] {
        &self.public
    }

    /// Opens the only message of an answer.
    pub(crate) fn open(
        self,
        enc: &[u8; ENCAPSULATED],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, OneTimeKeyError> {
        let (ml_kem, point) = enc.split_at(ML_KEM_CIPHERTEXT);
        let shared = self.post_quantum.decapsulate_slice(ml_kem);
        // The library does not wipe its result on drop.
        let shared = Zeroizing::new(shared.map_err(|_| OneTimeKeyError::NotSealed)?);
        let own_point = &self.public[ML_KEM_KEY..];
        // ring fails for a point of low order. X-Wing does not ask for that, and no store sends one.
        let combined =
            agree_ephemeral(self.classical, &UnparsedPublicKey::new(&X25519, point), |exchanged| {
                combine(&shared, exchanged, point, own_point)
            });
        let combined = combined.map_err(|_| OneTimeKeyError::NotSealed)?;
        open_base(&combined, ANSWER_INFO, aad, ciphertext).ok_or(OneTimeKeyError::NotSealed)
    }
}

/// X-Wing's `Combiner`.
pub(super) fn combine(ml_kem: &[u8], x25519: &[u8], point: &[u8], own_point: &[u8]) -> Key32 {
    Key32::fill_with(|key| {
        let mut hash = Sha3_256::new();
        [ml_kem, x25519, point, own_point, X_WING_LABEL].into_iter().for_each(|part| hash.update(part));
        hash.finalize_into(key.into());
    })
}

/// `OpenBase` of RFC 9180, section 6.1, after `Decap`.
pub(super) fn open_base(shared: &Key32, info: &[u8], aad: &[u8], ciphertext: &[u8]) -> Option<SecretBytes> {
    let (key, nonce) = key_schedule(shared, info)?;
    let mut bytes = SecretBytes::new(ciphertext.to_vec());
    // The first message's nonce is the base nonce itself (section 5.2).
    let cipher = ChaCha20Poly1305::new(<&Key>::from(key.expose()));
    cipher.decrypt_in_place(&Nonce::from(nonce), aad, &mut *bytes).ok()?;
    Some(bytes)
}

/// `KeySchedule` of section 5.1 in base mode, without a pre-shared key. Returns the key and the base nonce.
pub(super) fn key_schedule(shared: &Key32, info: &[u8]) -> Option<(Key32, [u8; 12])> {
    const BASE: u8 = 0;
    let psk_id_hash = kdf::extract(&[], &labeled(b"psk_id_hash", b""));
    let info_hash = kdf::extract(&[], &labeled(b"info_hash", info));
    let context = [&[BASE], psk_id_hash.as_slice(), &info_hash].concat();
    // `LabeledExtract` and `LabeledExpand` in one: the label of the secret with an empty key, and that of each output.
    let derive = |label: &[u8], out: &mut [u8]| {
        let length = u16::try_from(out.len()).ok()?.to_be_bytes();
        let info = [length.as_slice(), &labeled(label, &context)].concat();
        kdf::expand(shared.expose(), &labeled(b"secret", b""), &info, out).ok()
    };
    let mut derived = Some(());
    let key = Key32::fill_with(|key| derived = derive(b"key", key));
    let mut nonce = [0; 12];
    derived.and_then(|()| derive(b"base_nonce", &mut nonce))?;
    Some((key, nonce))
}

/// `concat("HPKE-v1", suite_id, label, rest)` of section 4.
fn labeled(label: &[u8], rest: &[u8]) -> Vec<u8> {
    [b"HPKE-v1".as_slice(), SUITE_ID, label, rest].concat()
}
