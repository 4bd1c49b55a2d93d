//! Keys, sealing and key slots: free functions over small types, in the notation of the standards they follow.
//!
//! Randomness is a parameter everywhere ([`random::Random`]). This module reads no file, clock or environment, and never
//! prints, clones or serializes a key in the clear. It implements no cipher itself: XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03), HPKE (RFC 9180), HKDF-SHA256 (RFC 5869) and Argon2id (RFC 9106), all from RustCrypto, and Ed25519
//! (RFC 8032) from AWS-LC. The agent has Ed25519 and X25519 from ring.
//!
//! | module | holds |
//! |---|---|
//! | [`aead`], [`aad`] | encryption under a symmetric key, and unambiguous associated data |
//! | [`kdf`] | subkeys of keys |
//! | [`memory`] | memory for keys: locked, wiped, excluded from core dumps |
//! | [`random`] | the kernel's randomness |
//! | [`cache`] | the agent's outage cache, under its ticket |
//! | [`sealed_release`] | proofs of requests, and answers that only the sender opens and only the store can have signed |
//! | `hpke` | encryption to a public key |
//! | `record` | encryption of every record of the store, and keyed hashes |
//! | `deposit`, `value` | the deposit and release keys, and values sealed to them |
//! | `process_key` | the key of a server process, to which passphrases are sealed on their way |
//! | `generation` | how each key generation signs the next |
//! | `merkle`, `signed_note`, `checkpoint_file` | trees over the audit log, and their signed heads |
//! | `ring`, `slot`, `slots` | the release keys of all generations, and the key slots that unlock them |
//! | `passphrase`, `keyfile` | secrets that a person types, and keys in files |
//! | [`passphrase_strength`] | whether a new passphrase can be guessed |

pub(crate) mod aad;
pub(crate) mod aead;
pub(crate) mod cache;
pub(crate) mod kdf;
pub mod memory;
pub mod random;
pub(crate) mod sealed_release;

#[cfg(feature = "server")]
pub(crate) mod checkpoint_file;
#[cfg(feature = "server")]
pub mod deposit;
#[cfg(feature = "server")]
pub(crate) mod generation;
#[cfg(feature = "server")]
pub(crate) mod hpke;
#[cfg(feature = "server")]
pub mod keyfile;
#[cfg(feature = "server")]
pub(crate) mod merkle;
#[cfg(feature = "server")]
pub mod passphrase;
#[cfg(feature = "server")]
pub mod passphrase_strength;
#[cfg(feature = "server")]
pub mod process_key;
#[cfg(feature = "server")]
pub mod record;
#[cfg(feature = "server")]
pub mod ring;
#[cfg(feature = "server")]
mod serial;
#[cfg(feature = "server")]
pub(crate) mod signed_note;
#[cfg(feature = "server")]
pub mod slot;
#[cfg(feature = "server")]
pub(crate) mod slots;
#[cfg(feature = "server")]
pub mod value;

#[cfg(all(test, feature = "server"))]
mod tests;

/// Plaintext of a value, wiped when dropped.
pub type SecretBytes = zeroize::Zeroizing<Vec<u8>>;
