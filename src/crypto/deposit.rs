//! The deposit key, which seals, and the release key, which opens: the halves of one X25519 pair for each generation.
//!
//! A depositor needs the deposit key only, and it reveals nothing about the release key. The release key must never leave
//! the process that answers boots, other than sealed by [`super::ring`].

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::aad::Aad;
use super::memory::Key32;
use super::random::Random;
use super::{hpke, kdf, serial};

/// The public key that values of one generation are sealed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositKey {
    generation: u32,
    #[serde(with = "serial::bytes")]
    public: [u8; 32],
}

impl DepositKey {
    /// The inverse of [`generation`](Self::generation) and [`public`](Self::public).
    pub(crate) fn from_parts(generation: u32, public: [u8; 32]) -> Self {
        // Any 32 bytes are accepted. Sealing fails if they are a point of small order.
        Self { generation, public }
    }

    /// The generation of the release key that opens values sealed to this key.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The X25519 public key, in the encoding of RFC 7748.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The text that a depositor pins: `sha256/` and the base64 of a digest over suite, generation and key.
    pub(crate) fn fingerprint(&self) -> String {
        // The generation is included, so that an old key which is served again does not match the pin of a newer one.
        let input = Aad::new("dropsafe deposit key v1")
            .part(&hpke::X25519.to_be_bytes())
            .u32(self.generation)
            .part(&self.public);
        format!("sha256/{}", BASE64URL_NOPAD.encode(&Sha256::digest(input.as_bytes())))
    }
}

/// The private key that opens the values of one generation.
pub struct ReleaseKey {
    private: Key32,
    /// Wraps the data keys of settled values.
    settling: Key32,
    deposit: DepositKey,
}

impl ReleaseKey {
    pub fn generate(generation: u32, rng: &mut dyn Random) -> Self {
        Self::from_parts(generation, Key32::random(rng))
    }

    /// From a private key, which may be any 32 bytes.
    pub(crate) fn from_parts(generation: u32, private: Key32) -> Self {
        // Derived here once and not for each value: a boot of settled values then runs no HKDF and no X25519 at all.
        let settling = kdf::derive(&private, &Aad::new("dropsafe settling key v1").u32(generation));
        let public = hpke::pk(&private);
        Self { private, settling, deposit: DepositKey { generation, public } }
    }

    pub(crate) fn generation(&self) -> u32 {
        self.deposit.generation
    }

    pub fn deposit_key(&self) -> DepositKey {
        self.deposit
    }

    pub(crate) fn private_key(&self) -> &Key32 {
        &self.private
    }

    pub(crate) fn settling_key(&self) -> &Key32 {
        &self.settling
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey {{ generation: {}, [redacted] }}", self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Kernel;

    #[test]
    fn a_deposit_key_survives_its_parts_and_json() {
        let key = ReleaseKey::generate(3, &mut Kernel).deposit_key();
        assert_eq!(DepositKey::from_parts(key.generation(), *key.public()), key);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<DepositKey>(&json).unwrap(), key);
    }

    #[test]
    fn a_fingerprint_names_key_and_generation() {
        let key = DepositKey::from_parts(1, [7; 32]);
        assert_eq!(key.fingerprint(), DepositKey::from_parts(1, [7; 32]).fingerprint());
        assert_ne!(key.fingerprint(), DepositKey::from_parts(2, [7; 32]).fingerprint());
        assert_ne!(key.fingerprint(), DepositKey::from_parts(1, [8; 32]).fingerprint());
        assert!(key.fingerprint().starts_with("sha256/") && key.fingerprint().len() == 7 + 43);
    }

    #[test]
    fn a_release_key_prints_its_generation_only() {
        assert_eq!(
            format!("{:?}", ReleaseKey::generate(3, &mut Kernel)),
            "ReleaseKey { generation: 3, [redacted] }"
        );
    }
}
