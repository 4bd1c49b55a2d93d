//! The agent's outage cache: the last release, sealed on disk under a key that only the ticket's holder can derive.
//!
//! Whoever holds the ticket could have asked the store for the same; whoever has the disk alone learns the length.
//! It must never be opened without the ticket, nor for another address or member than it was sealed for: the caller says
//! which in `bound_to`.

use super::aad::Aad;
use super::aead::DecryptError;
use super::memory::Key32;
use super::random::Random;
use super::{SecretBytes, aead, kdf};

const LABEL: &str = "dropsafe agent cache v1";

/// The key of the cache, from the secret part of the ticket.
pub fn key(ticket_secret: &[u8; 32]) -> Key32 {
    kdf::derive_salted(&[], ticket_secret, &Aad::new(LABEL))
}

/// Seals `blob`, to be opened with the same key and `bound_to` only.
pub fn seal(key: &Key32, bound_to: &[&[u8]], blob: &[u8], rng: &mut dyn Random) -> Vec<u8> {
    aead::seal_prefixed(key, &Aad::new(LABEL).list(bound_to), blob, rng)
}

/// Opens what [`seal`] made.
pub fn open(key: &Key32, bound_to: &[&[u8]], sealed: &[u8]) -> Result<SecretBytes, DecryptError> {
    aead::open_prefixed(key, &Aad::new(LABEL).list(bound_to), sealed)
}
