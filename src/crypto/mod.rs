//! Keys, sealing and key slots. Free functions over small types, in the terms of the standards they follow.
//!
//! Randomness is an argument everywhere ([`random::Random`]); nothing here reads a file, a clock or the environment, and
//! no key is ever printed, cloned or serialized in the clear. There are no ciphers of our own: XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03), HPKE (RFC 9180), HKDF-SHA256 (RFC 5869) and Argon2id (RFC 9106), all from RustCrypto.
//!
//! | module | holds |
//! |---|---|
//! | [`aead`], [`aad`] | one sealing function, and associated data that cannot be read two ways |
//! | [`kdf`] | subkeys of keys |
//! | [`memory`] | where keys live: locked, wiped, kept out of core dumps |
//! | [`random`] | the kernel's randomness |
//! | [`cache`] | the agent's outage cache, under its ticket |
//! | `hpke` | encryption to a public key |
//! | `record` | every record of the store, and keyed hashes |
//! | `deposit`, `value` | the deposit and release keys, and values sealed to them |
//! | `ring`, `slot`, `slots` | the release keys of all generations, and what unlocks them |
//! | `passphrase`, `keyfile` | what a person types, and what a machine reads |

pub mod aad;
pub mod aead;
pub mod cache;
pub mod kdf;
pub mod memory;
pub mod random;

#[cfg(feature = "server")]
pub mod deposit;
#[cfg(feature = "server")]
pub mod hpke;
#[cfg(feature = "server")]
pub mod keyfile;
#[cfg(feature = "server")]
pub mod passphrase;
#[cfg(feature = "server")]
pub mod record;
#[cfg(feature = "server")]
pub mod ring;
#[cfg(feature = "server")]
mod serial;
#[cfg(feature = "server")]
pub mod slot;
#[cfg(feature = "server")]
pub mod slots;
#[cfg(feature = "server")]
pub mod value;

#[cfg(all(test, feature = "server"))]
mod tests;

/// Plaintext of a value, wiped when dropped.
pub type SecretBytes = zeroize::Zeroizing<Vec<u8>>;
