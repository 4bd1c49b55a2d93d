//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): the one way this program encrypts under a symmetric key.
//!
//! A nonce is random and used once, so [`seal`] (nonce given) is for callers that store the nonce apart and draw it
//! themselves; [`seal_prefixed`] draws it. Nothing is returned of a ciphertext that fails its tag. The cipher is not
//! key-committing: where several keys may be tried on one ciphertext (key slots), the caller adds a commitment.

use chacha20poly1305::{AeadInOut, Key, KeyInit, XChaCha20Poly1305, XNonce};

use super::SecretBytes;
use super::aad::Aad;
use super::memory::Key32;
use super::random::{Random, array};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;
/// Bytes that sealing adds at the end.
pub const TAG_LEN: usize = 16;

/// A nonce; random, so that one key may seal 2⁸⁰ messages before a collision is worth counting.
pub type Nonce = [u8; NONCE_LEN];

/// The ciphertext, its nonce or what it is bound to has changed, or the key is another one. Which of them is unknowable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed data does not open: it was damaged, moved or sealed under another key")]
pub struct DecryptError;

/// Encrypts `plaintext`; the answer is [`TAG_LEN`] bytes longer.
pub fn seal(key: &Key32, nonce: &Nonce, aad: &Aad, plaintext: &[u8]) -> Vec<u8> {
    seal_bytes(key, nonce, aad.as_bytes(), plaintext)
}

/// Opens what [`seal`] made of the same key, nonce and associated data.
pub fn open(key: &Key32, nonce: &Nonce, aad: &Aad, sealed: &[u8]) -> Result<SecretBytes, DecryptError> {
    open_bytes(key, nonce, aad.as_bytes(), sealed)
}

/// Encrypts under a fresh nonce and puts it in front: nonce, ciphertext, tag.
pub fn seal_prefixed(key: &Key32, aad: &Aad, plaintext: &[u8], rng: &mut dyn Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
    seal_after(&mut out, key, aad, plaintext, rng);
    out
}

/// As [`seal_prefixed`], appended to `out`.
pub fn seal_after(out: &mut Vec<u8>, key: &Key32, aad: &Aad, plaintext: &[u8], rng: &mut dyn Random) {
    let nonce: Nonce = array(rng);
    out.reserve(NONCE_LEN + plaintext.len() + TAG_LEN);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plaintext);
    encrypt(key, &nonce, aad.as_bytes(), out, start);
}

/// Opens what [`seal_prefixed`] made.
pub fn open_prefixed(key: &Key32, aad: &Aad, sealed: &[u8]) -> Result<SecretBytes, DecryptError> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(DecryptError)?;
    open(key, nonce, aad, sealed)
}

pub(crate) fn seal_bytes(key: &Key32, nonce: &Nonce, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plaintext.len() + TAG_LEN);
    out.extend_from_slice(plaintext);
    encrypt(key, nonce, aad, &mut out, 0);
    out
}

pub(crate) fn open_bytes(
    key: &Key32,
    nonce: &Nonce,
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, DecryptError> {
    let mut out = SecretBytes::new(sealed.to_vec());
    cipher(key).decrypt_in_place(&XNonce::from(*nonce), aad, &mut *out).map_err(|_| DecryptError)?;
    Ok(out)
}

/// Encrypts `out` from `start` on, and appends the tag.
#[expect(
    clippy::expect_used,
    reason = "the cipher refuses messages of 256 GiB and more, which do not fit in memory"
)]
fn encrypt(key: &Key32, nonce: &Nonce, aad: &[u8], out: &mut Vec<u8>, start: usize) {
    let tag = cipher(key)
        .encrypt_inout_detached(&XNonce::from(*nonce), aad, (&mut out[start..]).into())
        .expect("shorter than 256 GiB");
    out.extend_from_slice(&tag);
}

fn cipher(key: &Key32) -> XChaCha20Poly1305 {
    // `new` copies the key into the cipher, which wipes its copy when dropped.
    XChaCha20Poly1305::new(<&Key>::from(key.expose()))
}
