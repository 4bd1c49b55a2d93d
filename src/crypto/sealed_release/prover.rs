//! The agent's side: proves a request, and reads the answer to it.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::answer::{AnswerContent, AnswerError, SealedAnswer, signed_list};
use super::one_time_key::{OneTimeKey, OneTimeKeyError};
use super::proof::RequestProof;
use super::statement::{
    ProofSubject, RequestTarget, Statement, StatementHash, StatementParts, digest, signing_seed,
};
use super::{Challenge, SIGNATURE};
use crate::crypto::SecretBytes;
use crate::crypto::memory::{Key32, wipe_stack_after};
use crate::crypto::random::Random;
use crate::domain::credential::Credential;
use crate::domain::id::IdentityId;
use crate::domain::location::AnswerKey;

/// What a machine proves its requests with: who it is, the seed of its key, and the key of the store that it talks to.
pub(crate) struct Prover {
    pub(crate) subject: ProofSubject,
    pub(crate) seed: Key32,
    pub(crate) answer_key: AnswerKey,
}

impl Prover {
    /// What a bearer credential proves itself with. `None` if its kind does not boot or end a boot.
    pub(crate) fn of_credential(credential: &Credential, answer_key: AnswerKey) -> Option<Self> {
        let (subject, seed) = (ProofSubject::of(credential)?, signing_seed(credential)?);
        Some(Self { subject, seed, answer_key })
    }

    /// What proves an identity by a token that is bound to the key of `seed`.
    pub(crate) fn of_token(identity: IdentityId, token: &str, seed: Key32, answer_key: AnswerKey) -> Self {
        let (key, token_digest) = (Self::public_key(&seed), digest(token.as_bytes()));
        Self { subject: ProofSubject::Token { identity, key, token_digest }, seed, answer_key }
    }

    /// The public key of a seed.
    pub(crate) fn public_key(seed: &Key32) -> [u8; 32] {
        with_pair(seed, |pair| copy(pair.public_key().as_ref()))
    }
}

/// The time of a request: by this machine's clock, and what the store gave it in place of that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProofTime {
    pub(crate) millis: u64,
    pub(crate) challenge: Option<Challenge>,
}

/// What opens the answer to one request.
pub(crate) struct PendingAnswer {
    hash: StatementHash,
    signature: [u8; SIGNATURE],
    answer_key: AnswerKey,
    key: OneTimeKey,
}

/// An answer that the store has signed, opened.
pub(crate) struct OpenedAnswer(SecretBytes);

impl Prover {
    /// Proves a request with `body`. Returns the text for the header, and what opens the answer.
    pub(crate) fn prove(
        &self,
        target: RequestTarget<'_>,
        body: &[u8],
        time: ProofTime,
        rng: &mut dyn Random,
    ) -> Result<(String, PendingAnswer), OneTimeKeyError> {
        let key = OneTimeKey::generate(rng)?;
        let parts = StatementParts {
            subject: self.subject,
            millis: time.millis,
            challenge: time.challenge,
            body_digest: digest(body),
            one_time_key: Box::new(*key.public()),
        };
        let statement = Statement::new(self.answer_key, target, &parts);
        let signature = sign(&self.seed, statement.as_bytes());
        let pending = PendingAnswer { hash: statement.hash(), signature, answer_key: self.answer_key, key };
        Ok((RequestProof { parts, signature }.to_text(), pending))
    }
}

impl PendingAnswer {
    /// Verifies the answer, and opens it.
    pub(crate) fn open(self, bytes: &[u8]) -> Result<OpenedAnswer, AnswerError> {
        let answer = SealedAnswer::parse(bytes).ok_or(AnswerError::Form)?;
        if *answer.hash != self.hash {
            return Err(AnswerError::OtherRequest);
        }
        // Before anything is decrypted: a stranger must not reach the code that opens.
        let signed = signed_list(&self.hash, &self.signature, answer.enc, answer.ciphertext);
        let AnswerKey(key) = &self.answer_key;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(signed.as_bytes(), answer.signature)
            .map_err(|_| AnswerError::Signature)?;
        let opened = self.key.open(answer.enc, &self.hash, answer.ciphertext);
        let opened = opened.map_err(|_| AnswerError::Sealed)?;
        // Here, so that `content` cannot fail.
        AnswerContent::parse(&opened).ok_or(AnswerError::Sealed)?;
        Ok(OpenedAnswer(opened))
    }
}

impl OpenedAnswer {
    pub(crate) fn content(&self) -> AnswerContent<'_> {
        let empty = AnswerContent { status: 0, retry_after: None, body: &[] };
        AnswerContent::parse(&self.0).unwrap_or(empty)
    }
}

/// An Ed25519 signature (RFC 8032).
fn sign(seed: &Key32, message: &[u8]) -> [u8; SIGNATURE] {
    with_pair(seed, |pair| copy(pair.sign(message).as_ref()))
}

#[expect(clippy::expect_used, reason = "every 32 bytes are a seed (RFC 8032, section 5.1.5)")]
fn with_pair<T>(seed: &Key32, act: impl FnOnce(&Ed25519KeyPair) -> T) -> T {
    // ring wipes no key: what it leaves on the stack is wiped here.
    wipe_stack_after(|| act(&Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed of 32 bytes")))
}

fn copy<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut copied = [0; N];
    copied.copy_from_slice(bytes);
    copied
}
