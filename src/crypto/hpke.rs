//! HPKE (RFC 9180) with one suite: the one way this program encrypts to a public key. One message for each encapsulation.
//!
//! In base mode anybody may have sealed; in auth mode only the holder of the sender's private key (or of the
//! recipient's). The `info` names the format, the associated data the place.

use std::convert::Infallible;

use hpke::{Deserializable, HpkeError, Kem as _, OpModeR, OpModeS, Serializable};

use super::aad::Aad;
use super::memory::Key32;
use super::random::Random;
use super::{SecretBytes, random};

/// Identifies how a key is encapsulated, by the KEM's number in the IANA registry "HPKE KEM Identifiers"; the KDF and
/// the AEAD follow from it. X-Wing, the post-quantum hybrid, would be `0x647a`.
pub type SuiteId = u16;

/// DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 and ChaCha20-Poly1305: the only suite so far.
pub const X25519: SuiteId = <Kem as hpke::Kem>::KEM_ID;

pub(crate) type Kem = hpke::kem::X25519HkdfSha256;
pub(crate) type Kdf = hpke::kdf::HkdfSha256;
pub(crate) type Aead = hpke::aead::ChaCha20Poly1305;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;

/// An encapsulated key and what is sealed under it.
pub(crate) struct Sealed {
    pub enc: Vec<u8>,
    pub ct: Vec<u8>,
}

/// Seals `plaintext` to the public key `to`; in auth mode if a private key is given as `from`. Fails only for a public
/// key that is no point of large order.
pub(crate) fn seal(
    to: &[u8; 32],
    from: Option<&Key32>,
    info: &[u8],
    aad: &Aad,
    plaintext: &[u8],
    rng: &mut dyn Random,
) -> Result<Sealed, HpkeError> {
    seal_bytes(to, from, info, aad.as_bytes(), plaintext, rng)
}

/// Opens what [`seal`] made; in auth mode if a public key is given as `from`.
pub(crate) fn open(
    to: &Key32,
    from: Option<&[u8; 32]>,
    info: &[u8],
    aad: &Aad,
    enc: &[u8],
    ct: &[u8],
) -> Result<SecretBytes, HpkeError> {
    open_bytes(to, from, info, aad.as_bytes(), enc, ct)
}

/// The public half of a private key, which may be any 32 bytes (RFC 7748 clamps them when they are used).
pub(crate) fn public_half(secret: &Key32) -> [u8; 32] {
    Kem::sk_to_pk(&private_key(secret)).to_bytes().into()
}

pub(crate) fn seal_bytes(
    to: &[u8; 32],
    from: Option<&Key32>,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut dyn Random,
) -> Result<Sealed, HpkeError> {
    let mode = match from {
        Some(from) => OpModeS::Auth((private_key(from), public_key(&public_half(from)))),
        None => OpModeS::Base,
    };
    let (to, rng) = (public_key(to), &mut HpkeRandom(rng));
    let (enc, ct) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(&mode, &to, info, plaintext, aad, rng)?;
    Ok(Sealed { enc: enc.to_bytes().to_vec(), ct })
}

pub(crate) fn open_bytes(
    to: &Key32,
    from: Option<&[u8; 32]>,
    info: &[u8],
    aad: &[u8],
    enc: &[u8],
    ct: &[u8],
) -> Result<SecretBytes, HpkeError> {
    let mode = from.map_or(OpModeR::Base, |from| OpModeR::Auth(public_key(from)));
    let enc = Deserializable::from_bytes(enc)?;
    let opened = hpke::single_shot_open::<Aead, Kdf, Kem>(&mode, &private_key(to), &enc, info, ct, aad)?;
    Ok(SecretBytes::new(opened))
}

/// Wiped when dropped.
#[expect(clippy::expect_used, reason = "every 32 bytes are an X25519 private key")]
pub(crate) fn private_key(secret: &Key32) -> PrivateKey {
    Deserializable::from_bytes(secret.expose()).expect("32 bytes")
}

#[expect(clippy::expect_used, reason = "every 32 bytes are an X25519 public key")]
pub(crate) fn public_key(public: &[u8; 32]) -> PublicKey {
    Deserializable::from_bytes(public).expect("32 bytes")
}

/// [`Random`] as HPKE wants it.
pub(crate) struct HpkeRandom<'a>(pub &'a mut dyn Random);

impl hpke::rand_core::TryRng for HpkeRandom<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random::array(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random::array(self.0)))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for HpkeRandom<'_> {}
