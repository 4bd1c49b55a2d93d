//! The agent's outage cache: the last release, sealed on disk under a key that only the ticket's holder can derive.
//!
//! A holder of the ticket could ask the store for the same release; a reader of the disk learns its length. The cache must
//! never open without the ticket, nor for another address or member than it was sealed for: the caller lists those in
//! `bound_to`.

use super::aad::Aad;
use super::aead::DecryptError;
use super::memory::Key32;
use super::random::Random;
use super::{SecretBytes, aead, kdf};

const LABEL: &str = "dropsafe agent cache v1";

/// The key of the cache, from the secret part of the ticket.
pub(crate) fn key(ticket_secret: &[u8; 32]) -> Key32 {
    // No salt: the secret is 256 random bits (RFC 5869, section 3.1), and a stored salt would be one more thing to lose.
    kdf::derive_salted(&[], ticket_secret, &Aad::new(LABEL))
}

/// Seals `blob` for the same key and `bound_to` only.
pub(crate) fn seal(key: &Key32, bound_to: &[&[u8]], blob: &[u8], rng: &mut dyn Random) -> Vec<u8> {
    aead::seal_prefixed(key, &Aad::new(LABEL).list(bound_to), blob, rng)
}

/// Opens what [`seal`] made.
pub(crate) fn open(key: &Key32, bound_to: &[&[u8]], sealed: &[u8]) -> Result<SecretBytes, DecryptError> {
    aead::open_prefixed(key, &Aad::new(LABEL).list(bound_to), sealed)
}
