//! The deposit key, which seals, and the release key, which opens: the two halves of an X25519 pair, one pair per
//! generation.
//!
//! A depositor needs the deposit key only, and it tells nothing of the release key. The release key must never leave
//! the process that boots are answered from, other than wrapped by [`super::ring`].

use super::aad::Aad;
use super::kdf;
use super::memory::Key32;
use super::random::Random;
use super::serial;
use data_encoding::BASE64URL_NOPAD;
use hpke::Deserializable;
use hpke::Kem as _;
use hpke::Serializable;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;
use std::fmt;

/// Identifies how a key is encapsulated, by the KEM's number in the IANA registry "HPKE KEM Identifiers"; the KDF and
/// the AEAD follow from it. X-Wing, the post-quantum hybrid, would be `0x647a`.
pub type SuiteId = u16;

/// DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 and ChaCha20-Poly1305: the only suite so far.
pub const X25519: SuiteId = <Kem as hpke::Kem>::KEM_ID;

pub(super) type Kem = hpke::kem::X25519HkdfSha256;
pub(super) type Kdf = hpke::kdf::HkdfSha256;
pub(super) type Aead = hpke::aead::ChaCha20Poly1305;

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
            .part(&X25519.to_be_bytes())
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
        let settled = kdf::derive(&secret, &Aad::new("dropsafe settled key v1").number(generation));
        let public = public_half(&secret);
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

    pub(super) fn secret(&self) -> &Key32 {
        &self.secret
    }

    pub(super) fn settled(&self) -> &Key32 {
        &self.settled
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey {{ generation: {}, [redacted] }}", self.generation())
    }
}

/// The HPKE form of a private key; wiped when dropped.
#[expect(clippy::expect_used, reason = "every 32 bytes are an X25519 private key")]
pub(super) fn private_key(secret: &Key32) -> <Kem as hpke::Kem>::PrivateKey {
    Deserializable::from_bytes(secret.expose()).expect("32 bytes")
}

#[expect(clippy::expect_used, reason = "every 32 bytes are an X25519 public key")]
pub(super) fn public_key(public: &[u8; 32]) -> <Kem as hpke::Kem>::PublicKey {
    Deserializable::from_bytes(public).expect("32 bytes")
}

pub(super) fn public_half(secret: &Key32) -> [u8; 32] {
    Kem::sk_to_pk(&private_key(secret)).to_bytes().into()
}

/// [`Random`] as HPKE wants it.
pub(super) struct HpkeRandom<'a>(pub &'a mut dyn Random);

impl hpke::rand_core::TryRng for HpkeRandom<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes(super::random::array(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes(super::random::array(self.0)))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for HpkeRandom<'_> {}
