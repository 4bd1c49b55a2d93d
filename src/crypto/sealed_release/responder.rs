//! The store's side: verifies proofs, and seals and signs answers.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use hpke::HpkeError;

use super::answer::{AnswerContent, SealedAnswer, signed_list};
use super::statement::{Statement, StatementHash};
use super::{ANSWER_INFO, ONE_TIME_KEY, SIGNATURE};
use crate::crypto::hpke::XWingKey;
use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::domain::location::AnswerKey;

/// The seed of the answer key, as the store keeps it.
pub(crate) struct AnswerSeed(Key32);

impl AnswerSeed {
    pub(crate) fn generate(rng: &mut dyn Random) -> Self {
        Self(Key32::random(rng))
    }

    pub(crate) fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(Key32::copy_of(seed))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl Clone for AnswerSeed {
    fn clone(&self) -> Self {
        Self::from_bytes(self.expose())
    }
}

impl fmt::Debug for AnswerSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerSeed([redacted])")
    }
}

/// Signs answers with the answer key.
pub(crate) struct AnswerSigner {
    pair: Ed25519KeyPair,
    public: AnswerKey,
}

/// The request that an answer is for.
pub(crate) struct AnsweredRequest {
    pub(crate) hash: StatementHash,
    pub(crate) signature: [u8; SIGNATURE],
    /// To whom the answer is sealed.
    pub(crate) recipient: XWingKey,
}

impl AnswerSigner {
    pub(crate) fn new(seed: &AnswerSeed) -> Self {
        let pair = key_pair(&seed.0);
        let public = AnswerKey(public_bytes(&pair));
        Self { pair, public }
    }

    pub(crate) fn public(&self) -> AnswerKey {
        self.public
    }

    /// Seals `content` for the sender of a request, and signs the result.
    pub(crate) fn answer(
        &self,
        request: &AnsweredRequest,
        content: &AnswerContent<'_>,
        rng: &mut dyn Random,
    ) -> Result<Vec<u8>, HpkeError> {
        let AnsweredRequest { hash, signature, recipient } = request;
        let (enc, ciphertext) = recipient.seal(ANSWER_INFO, hash, &content.encode(), rng)?;
        let signed = signed_list(hash, signature, &enc, &ciphertext);
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(self.pair.sign(signed.as_bytes()).as_ref());
        Ok(SealedAnswer { hash, enc: &enc, signature: &signature, ciphertext: &ciphertext }.encode())
    }
}

impl AnsweredRequest {
    /// `None` if the one-time key is no X-Wing key, so that nothing can be sealed to it.
    pub(crate) fn new(
        hash: StatementHash,
        signature: [u8; SIGNATURE],
        one_time_key: &[u8; ONE_TIME_KEY],
    ) -> Option<Self> {
        Some(Self { hash, signature, recipient: XWingKey::parse(one_time_key)? })
    }
}

/// The public key of a seed.
pub(crate) fn public_key(seed: &Key32) -> [u8; 32] {
    public_bytes(&key_pair(seed))
}

/// Whether the holder of `key` signed the statement.
pub(crate) fn is_signed(statement: &Statement, key: &[u8; 32], signature: &[u8; SIGNATURE]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(statement.as_bytes(), signature).is_ok()
}

fn public_bytes(pair: &Ed25519KeyPair) -> [u8; 32] {
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    public
}

#[expect(clippy::expect_used, reason = "every 32 bytes are a seed (RFC 8032, section 5.1.5)")]
fn key_pair(seed: &Key32) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed of 32 bytes")
}
