//! Subkeys of keys: HKDF-SHA256 (RFC 5869).
//!
//! Each use of a key has its own label, so that no key ever serves two purposes. Never for passwords, which need the slow
//! Argon2id of [`super::passphrase`].

use hkdf::{Hkdf, InvalidLength};
use sha2::Sha256;

use super::aad::Aad;
use super::memory::Key32;

/// The subkey of `key` for the purpose that `info` names.
pub(crate) fn derive(key: &Key32, info: &Aad) -> Key32 {
    derive_salted(&[], key.expose(), info)
}

/// As [`derive()`], with a salt, from key material of any length that already has 256 bits of strength.
#[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
pub(crate) fn derive_salted(salt: &[u8], material: &[u8], info: &Aad) -> Key32 {
    // Expanded straight into the key's locked memory, so that nothing on the stack needs wiping.
    Key32::fill_with(|out| {
        expand(salt, material, info.as_bytes(), out).expect("32 bytes are fewer than 8160")
    })
}

/// HKDF-Extract alone, as HPKE's key schedule needs it.
#[cfg(feature = "agent")]
pub(crate) fn extract(salt: &[u8], material: &[u8]) -> [u8; 32] {
    Hkdf::<Sha256>::extract(Some(salt), material).0.into()
}

pub(crate) fn expand(salt: &[u8], material: &[u8], info: &[u8], out: &mut [u8]) -> Result<(), InvalidLength> {
    Hkdf::<Sha256>::new(Some(salt), material).expand(info, out)
}
