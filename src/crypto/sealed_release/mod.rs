//! Sealed release: a boot, its explanation, its report and its end where somebody terminates TLS between agent and store.
//!
//! The agent proves who it is with a signature and sends no bearer secret. The store seals its answer to a one-time key that
//! the proof is bound to, and signs it. This module has the bytes of both, which this page describes completely. Lists of parts are
//! encoded as [`Aad`](super::aad::Aad) says: a label, then parts, each after its length in 8 bytes. All numbers are big-endian.
//! Nothing here reads a clock, and nothing here falls back to another form.
//!
//! **Subject**: who proves itself. One byte for the kind, and what follows it: `1` and an identity's id (16), or `2`, the id of a boot
//! (16) and the id of its organization (16), under which the store keeps the boot, or `3`, an identity's id (16), an Ed25519 public
//! key (32) and the SHA-256 of a token (32).
//!
//! **Statement** R: `dropsafe request v1`, answer key, subject, method, path with query, milliseconds since 1970 (8 bytes),
//! challenge or nothing, attempt key (the text of `Idempotency-Key`) or nothing, SHA-256 of the body, one-time key. "Or nothing"
//! is an [`optional`](super::aad::Aad::optional) part. H = SHA-256(R). R names the answer key, which the agent knows from its
//! ticket or card, and not the store's id: so a statement is for exactly that store which can sign the answer, and a store with
//! several answer keys would know which one to use.
//!
//! **Signing key** of a bearer credential: Ed25519 with the seed HKDF-SHA256(secret, info), without a salt, where info is the list
//! `dropsafe ticket proof v1`, ticket id, or `dropsafe boot proof v1`, boot id. Other kinds of identities have their own key.
//!
//! **Token of an issuer** (subject `3`): a bearer token by nature, which somebody in between sees. So the agent makes an Ed25519 key
//! for one request and its repetition, and the issuer binds the token to it: the audience (`aud`) is that of the identity, `#`, and the key's
//! thumbprint (RFC 7638 with SHA-256, RFC 8037 appendix A.3: the hash of `{"crv":"Ed25519","kty":"OKP","x":"KEY"}`, KEY and the hash in
//! unpadded base64url). The request has the token in the header `Dropsafe-Token`, in exactly the bytes that were hashed, and
//! R is signed by that key. The store verifies, in this order: the time, that the header's token has the digest, the signature of R,
//! the token, that its audience names the key, and its claims. R has the token's digest, so that nobody in between can have the store
//! refuse another token in its place. A token with a thumbprint in its audience is never accepted as a bearer token, and one
//! without is never accepted beside a proof. An issuer that cannot be reached is an outage, and not signed.
//!
//! **Proof**: `Authorization: Dropsafe-Proof TEXT`, where TEXT is unpadded base64url of: version (1), subject, milliseconds (8),
//! length of the challenge (1; 0 or 24), challenge, SHA-256 of the body (32), one-time key (1216), Ed25519 signature of R
//! (64). The body's digest is sent, so that the store verifies the signature before it reads the body of a stranger.
//!
//! **One-time key**: an X-Wing encapsulation key (draft-connolly-cfrg-xwing-kem), made for one request.
//!
//! **Answer**: status 200, `application/vnd.dropsafe.sealed`: version (1), H (32), enc (1120), signature (64), ciphertext. The
//! ciphertext is HPKE (RFC 9180) in base mode with X-Wing (0x647a), HKDF-SHA256 and ChaCha20-Poly1305; info is `dropsafe sealed
//! answer v1`, and aad is H. The plaintext is the true status (2), the seconds of `Retry-After` or 0xffffffff (4), and the body: JSON
//! after a success, else a problem. The answer key signs the list `dropsafe answer v1`, H, the request's signature, enc,
//! SHA-256(ciphertext). The request's signature is a part because H does not cover it: otherwise somebody in between could damage
//! the signature of a request and pass on the store's true refusal of that. The ciphertext is hashed, so that nobody needs a
//! second copy of a large release to verify it.
//!
//! **Verification** by the agent, in this order: H, signature, HPKE. Whatever fails, and every response of another form, is an
//! outage. So the store signs only what follows from R and from its own state, and leaves unsigned what somebody in between can cause
//! in another way: a body that differs from its digest, a source address, a statement that was used or is too old.
//!
//! | file | holds |
//! |---|---|
//! | [`statement`] | subject, statement, seeds |
//! | [`proof`] | the proof in its header |
//! | [`answer`] | the answer and what it contains |
//! | `one_time_key`, `prover` | the agent's side, on ring, `ml-kem` and `hkdf` |
//! | `responder` | the store's side, on AWS-LC and `hpke` |
//!
//! Each side has its own implementation of X-Wing, because the agent is small and has no `hpke`, and because each is tested
//! against the other.

use data_encoding::BASE64URL_NOPAD;

pub(crate) mod answer;
pub(crate) mod proof;
pub(crate) mod statement;

#[cfg(feature = "agent")]
pub(crate) mod one_time_key;
#[cfg(feature = "agent")]
pub(crate) mod prover;
#[cfg(feature = "server")]
pub(crate) mod responder;

#[cfg(all(test, feature = "agent", feature = "server"))]
mod tests;

/// Bytes of an Ed25519 signature (RFC 8032).
pub(crate) const SIGNATURE: usize = 64;
/// Bytes of an X-Wing encapsulation key.
pub(crate) const ONE_TIME_KEY: usize = 1216;
/// Bytes of an X-Wing ciphertext.
pub(crate) const ENCAPSULATED: usize = 1120;
/// Bytes of a challenge, which only the store that made it reads.
pub(crate) const CHALLENGE: usize = 24;

/// The thumbprint of an Ed25519 public key, in unpadded base64url.
pub(crate) fn thumbprint(key: &[u8; 32]) -> String {
    // The members of the key that RFC 8037 names, in the order of their names, without blanks (RFC 7638 section 3).
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL_NOPAD.encode(key));
    BASE64URL_NOPAD.encode(&statement::digest(jwk.as_bytes()))
}

/// HPKE's `info` of an answer.
const ANSWER_INFO: &[u8] = b"dropsafe sealed answer v1";

/// What a server answers in place of a sealed answer if the statement's time is not its own. Not a secret.
pub(crate) type Challenge = [u8; CHALLENGE];
