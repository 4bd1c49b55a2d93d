//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): the only way this program encrypts under a symmetric key.
//!
//! A nonce is random and used once. [`seal`] takes it from callers that store it elsewhere; [`seal_prefixed`] draws it. A
//! ciphertext that fails its tag yields nothing. The cipher is not key-committing: where several keys may be tried on one
//! ciphertext (key slots), the caller adds a commitment.

use chacha20poly1305::{AeadInOut, Key, KeyInit, XChaCha20Poly1305, XNonce};

use super::SecretBytes;
use super::aad::Aad;
use super::memory::Key32;
use super::random::{Random, array};

pub(crate) const NONCE_LEN: usize = 24;
/// Length of the tag, which sealing appends.
pub(crate) const TAG_LEN: usize = 16;

/// A random nonce: long enough that one key can seal 2⁸⁰ messages before a collision becomes likely.
pub(crate) type Nonce = [u8; NONCE_LEN];

/// The ciphertext, its nonce or its associated data was changed, or the key is another one. Nobody can tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed data does not open: it was damaged, moved or sealed under another key")]
pub struct DecryptError;

/// Encrypts `plaintext`. The result is [`TAG_LEN`] bytes longer.
pub(crate) fn seal(key: &Key32, nonce: &Nonce, aad: &Aad, plaintext: &[u8]) -> Vec<u8> {
    seal_bytes(key, nonce, aad.as_bytes(), plaintext)
}

/// Opens what [`seal`] made with the same key, nonce and associated data.
pub(crate) fn open(
    key: &Key32,
    nonce: &Nonce,
    aad: &Aad,
    sealed: &[u8],
) -> Result<SecretBytes, DecryptError> {
    open_bytes(key, nonce, aad.as_bytes(), sealed)
}

/// Encrypts under a fresh nonce. Returns nonce, ciphertext and tag in one.
pub(crate) fn seal_prefixed(key: &Key32, aad: &Aad, plaintext: &[u8], rng: &mut dyn Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
    append_sealed(&mut out, key, aad, plaintext, rng);
    out
}

/// Appends the result of [`seal_prefixed`] to `out`.
pub(crate) fn append_sealed(
    out: &mut Vec<u8>,
    key: &Key32,
    aad: &Aad,
    plaintext: &[u8],
    rng: &mut dyn Random,
) {
    let nonce: Nonce = array(rng);
    // Reserved at once: `out` holds the plaintext until it is encrypted in place, and growing would leave a copy behind.
    out.reserve(NONCE_LEN + plaintext.len() + TAG_LEN);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plaintext);
    encrypt_in_place(key, &nonce, aad.as_bytes(), out, start);
}

/// Opens what [`seal_prefixed`] made.
pub(crate) fn open_prefixed(key: &Key32, aad: &Aad, sealed: &[u8]) -> Result<SecretBytes, DecryptError> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(DecryptError)?;
    open(key, nonce, aad, sealed)
}

pub(crate) fn seal_bytes(key: &Key32, nonce: &Nonce, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plaintext.len() + TAG_LEN);
    out.extend_from_slice(plaintext);
    encrypt_in_place(key, nonce, aad, &mut out, 0);
    out
}

pub(crate) fn open_bytes(
    key: &Key32,
    nonce: &Nonce,
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, DecryptError> {
    // Decrypted in place, in a buffer that is wiped when dropped: no intermediate copy of the plaintext exists.
    let mut out = SecretBytes::new(sealed.to_vec());
    cipher(key).decrypt_in_place(&XNonce::from(*nonce), aad, &mut *out).map_err(|_| DecryptError)?;
    Ok(out)
}

/// Encrypts `out` from `start` on, and appends the tag.
#[expect(
    clippy::expect_used,
    reason = "the cipher refuses messages of 256 GiB and more, which do not fit in memory"
)]
fn encrypt_in_place(key: &Key32, nonce: &Nonce, aad: &[u8], out: &mut Vec<u8>, start: usize) {
    let tag = cipher(key)
        .encrypt_inout_detached(&XNonce::from(*nonce), aad, (&mut out[start..]).into())
        .expect("shorter than 256 GiB");
    out.extend_from_slice(&tag);
}

fn cipher(key: &Key32) -> XChaCha20Poly1305 {
    // `new` copies the key into the cipher, which wipes its copy when dropped.
    XChaCha20Poly1305::new(<&Key>::from(key.expose()))
}
