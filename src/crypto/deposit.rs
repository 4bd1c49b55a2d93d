//! The deposit key, which seals, and the release key, which opens: the two halves of an X25519 pair, one pair per
//! generation.
//!
//! A depositor needs the deposit key only, and it tells nothing of the release key. The release key must never leave
//! the process that boots are answered from, other than wrapped by [`super::ring`].

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::aad::Aad;
use super::memory::Key32;
use super::random::Random;
use super::{hpke, kdf, serial};

/// Seals values of one generation. Public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositKey {
    generation: u32,
    #[serde(with = "serial::bytes")]
    public: [u8; 32],
}

impl DepositKey {
    /// From what [`generation`](Self::generation) and [`public`](Self::public) gave. Whether the point is a usable one
    /// shows when something is sealed to it.
    pub fn from_parts(generation: u32, public: [u8; 32]) -> Self {
        Self { generation, public }
    }

    /// The generation of the release key that opens what this seals.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The X25519 public key, in the encoding of RFC 7748.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// What a depositor pins: `sha256/` and base64 of a digest of suite, generation and key.
    pub fn fingerprint(&self) -> String {
        let named = Aad::new("dropsafe deposit key v1")
            .part(&hpke::X25519.to_be_bytes())
            .number(self.generation)
            .part(&self.public);
        format!("sha256/{}", BASE64URL_NOPAD.encode(&Sha256::digest(named.as_bytes())))
    }
}

/// Opens values of one generation.
pub struct ReleaseKey {
    secret: Key32,
    /// Wraps the data keys of settled values: derived once, since a boot needs nothing else.
    settled: Key32,
    deposit: DepositKey,
}

impl ReleaseKey {
    /// A new pair.
    pub fn generate(generation: u32, rng: &mut dyn Random) -> Self {
        Self::from_parts(generation, Key32::random(rng))
    }

    /// From the private key, any 32 bytes (RFC 7748 clamps them when they are used).
    pub fn from_parts(generation: u32, secret: Key32) -> Self {
        let settled = kdf::derive(&secret, &Aad::new("dropsafe settling key v1").number(generation));
        let public = hpke::public_half(&secret);
        Self { secret, settled, deposit: DepositKey { generation, public } }
    }

    /// The generation it opens.
    pub fn generation(&self) -> u32 {
        self.deposit.generation
    }

    /// The public half.
    pub fn deposit_key(&self) -> DepositKey {
        self.deposit
    }

    pub(crate) fn secret(&self) -> &Key32 {
        &self.secret
    }

    pub(crate) fn settled(&self) -> &Key32 {
        &self.settled
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
