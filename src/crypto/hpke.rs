//! HPKE (RFC 9180): the only way this program encrypts to a public key. What is stored is sealed with X25519. Answers to agents,
//! which somebody on the way may record, are sealed with the post-quantum hybrid X-Wing ([`XWingKey`]).
//!
//! Names follow the RFC: `pk_r` and `sk_r` are the recipient's keys, `pk_s` and `sk_s` the sender's, `enc` is the
//! encapsulated key. In base mode anybody may have sealed; in auth mode only a holder of `sk_s` or of `sk_r`. Callers put
//! the name of their format into `info` and the place of the message into `aad`.

use std::convert::Infallible;

use hpke::aead::{AeadCtxR, AeadCtxS};
use hpke::kem::XWing;
use hpke::{Deserializable, HpkeError, Kem as _, OpModeR, OpModeS, Serializable};

use super::memory::Key32;
use super::random::Random;
use super::sealed_release::{ENCAPSULATED, ONE_TIME_KEY};
use super::{SecretBytes, random};

/// A KEM's number in the IANA registry "HPKE KEM Identifiers"; the KDF and the AEAD follow from it.
pub(crate) type SuiteId = u16;

/// DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 and ChaCha20-Poly1305: the only suite of what is stored.
pub(crate) const X25519: SuiteId = <Kem as hpke::Kem>::KEM_ID;

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

/// `ContextS`: seals the messages of one encapsulation, in order.
pub(crate) struct SenderContext(AeadCtxS<Aead, Kdf, Kem>);

/// `ContextR`: opens the messages of one encapsulation, in the order in which they were sealed.
pub(crate) struct RecipientContext(AeadCtxR<Aead, Kdf, Kem>);

/// `SetupBaseS`. Returns `enc` and the context; fails only if `pk_r` is a point of small order.
pub(crate) fn setup_base_s(
    pk_r: &[u8; 32],
    info: &[u8],
    rng: &mut dyn Random,
) -> Result<(Vec<u8>, SenderContext), HpkeError> {
    setup_sender(&OpModeS::Base, pk_r, info, rng)
}

/// `SetupAuthS`: as [`setup_base_s`], and proves that the sender holds `sk_s`.
pub(crate) fn setup_auth_s(
    pk_r: &[u8; 32],
    info: &[u8],
    sk_s: &Key32,
    rng: &mut dyn Random,
) -> Result<(Vec<u8>, SenderContext), HpkeError> {
    // The crate takes both halves. Computing the public one here keeps a mismatched pair out.
    let mode = OpModeS::Auth((deserialize_private(sk_s), deserialize_public(&pk(sk_s))));
    setup_sender(&mode, pk_r, info, rng)
}

pub(crate) fn setup_base_r(enc: &[u8], sk_r: &Key32, info: &[u8]) -> Result<RecipientContext, HpkeError> {
    setup_recipient(&OpModeR::Base, enc, sk_r, info)
}

pub(crate) fn setup_auth_r(
    enc: &[u8],
    sk_r: &Key32,
    info: &[u8],
    pk_s: &[u8; 32],
) -> Result<RecipientContext, HpkeError> {
    setup_recipient(&OpModeR::Auth(deserialize_public(pk_s)), enc, sk_r, info)
}

impl SenderContext {
    pub(crate) fn seal(&mut self, aad: &[u8], pt: &[u8]) -> Result<Vec<u8>, HpkeError> {
        self.0.seal(pt, aad)
    }
}

impl RecipientContext {
    pub(crate) fn open(&mut self, aad: &[u8], ct: &[u8]) -> Result<SecretBytes, HpkeError> {
        self.0.open(ct, aad).map(SecretBytes::new)
    }
}

/// `pk(sk)`: the public key of a private key, which may be any 32 bytes.
pub(crate) fn pk(sk: &Key32) -> [u8; 32] {
    Kem::sk_to_pk(&deserialize_private(sk)).to_bytes().into()
}

fn setup_sender(
    mode: &OpModeS<Kem>,
    pk_r: &[u8; 32],
    info: &[u8],
    rng: &mut dyn Random,
) -> Result<(Vec<u8>, SenderContext), HpkeError> {
    // The `_with_rng` variant: the other one reads the operating system, and a test could not reproduce a vector.
    let (enc, context) =
        hpke::setup_sender_with_rng(mode, &deserialize_public(pk_r), info, &mut HpkeRandom(rng))?;
    Ok((enc.to_bytes().to_vec(), SenderContext(context)))
}

fn setup_recipient(
    mode: &OpModeR<Kem>,
    enc: &[u8],
    sk_r: &Key32,
    info: &[u8],
) -> Result<RecipientContext, HpkeError> {
    // `enc` comes from outside: a wrong length is an error here, and a point of small order is one in the Decap of
    // RFC 9180 (section 7.1.4), which both modes run.
    let enc = Deserializable::from_bytes(enc)?;
    hpke::setup_receiver(mode, &deserialize_private(sk_r), &enc, info).map(RecipientContext)
}

/// The result is wiped when dropped.
#[expect(clippy::expect_used, reason = "every 32 bytes are an X25519 private key")]
fn deserialize_private(sk: &Key32) -> <Kem as hpke::Kem>::PrivateKey {
    // X25519 clamps the scalar when it multiplies (RFC 7748, section 5), so no value is invalid.
    Deserializable::from_bytes(sk.expose()).expect("32 bytes")
}

#[expect(clippy::expect_used, reason = "every 32 bytes are an X25519 public key")]
fn deserialize_public(pk: &[u8; 32]) -> <Kem as hpke::Kem>::PublicKey {
    // Points of small order pass here and fail in the multiplication, which refuses an all-zero result.
    Deserializable::from_bytes(pk).expect("32 bytes")
}

/// An X-Wing encapsulation key (0x647a) of an agent, for one message with HKDF-SHA256 and ChaCha20-Poly1305.
pub(crate) struct XWingKey(<XWing as hpke::Kem>::PublicKey);

impl XWingKey {
    /// `None` if the bytes are no encapsulation key, which FIPS 203 (section 7.2) has checked.
    pub(crate) fn parse(bytes: &[u8; ONE_TIME_KEY]) -> Option<Self> {
        Deserializable::from_bytes(bytes).ok().map(Self)
    }

    /// `SealBase`. Returns `enc` and the ciphertext.
    pub(crate) fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        pt: &[u8],
        rng: &mut dyn Random,
    ) -> Result<([u8; ENCAPSULATED], Vec<u8>), HpkeError> {
        let (enc, mut context) = hpke::setup_sender_with_rng::<Aead, Kdf, XWing>(
            &OpModeS::Base,
            &self.0,
            info,
            &mut HpkeRandom(rng),
        )?;
        let mut encapsulated = [0; ENCAPSULATED];
        encapsulated.copy_from_slice(&enc.to_bytes());
        Ok((encapsulated, context.seal(pt, aad)?))
    }
}

/// Implements the traits that `hpke` requires for a [`Random`].
struct HpkeRandom<'a>(&'a mut dyn Random);

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
