//! Version ids by which this machine recognizes a value that it has imported before, so that a repeated import leaves it as it
//! is.
//!
//! Half of such an id is random, since no id may ever be used twice. The other half is a keyed hash of the value and of its
//! place. The key stays on this machine: to everybody else, the store included, the id looks random.

use crate::crypto::aad::Aad;
use crate::crypto::kdf;
use crate::crypto::memory::Key32;
use crate::crypto::random::{self, Kernel, Random};
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::EnvName;
use crate::domain::value::SecretValue;

const HALF: usize = 8;

/// The key of this machine's version ids.
pub(crate) struct VersionTagger(Key32);

impl VersionTagger {
    pub(crate) fn new(key: Key32) -> Self {
        Self(key)
    }

    /// With a key that no other process has.
    pub(crate) fn random() -> Self {
        Self(Key32::fill_with(|out| Kernel.fill(out)))
    }

    pub(crate) fn key(&self) -> &Key32 {
        &self.0
    }

    /// A new version id for this value.
    pub(crate) fn issue(&self, secret: SecretId, env: &EnvName, value: &SecretValue) -> VersionId {
        self.tag(random::array(&mut Kernel), secret, env, value)
    }

    /// Whether this machine issued the id for this value.
    pub(crate) fn is_version_of(
        &self,
        version: VersionId,
        secret: SecretId,
        env: &EnvName,
        value: &SecretValue,
    ) -> bool {
        let mut nonce = [0; HALF];
        nonce.copy_from_slice(&version.as_bytes()[..HALF]);
        self.tag(nonce, secret, env, value) == version
    }

    fn tag(&self, nonce: [u8; HALF], secret: SecretId, env: &EnvName, value: &SecretValue) -> VersionId {
        let info = Aad::new("dropsafe import version v1")
            .part(&nonce)
            .part(secret.as_bytes())
            .part(env.as_str().as_bytes());
        // The key is the salt, so that HKDF's first step is HMAC under it: a value has less strength than a key.
        let hash = kdf::derive_salted(self.0.expose(), value.expose(), &info);
        let mut id = [0; 2 * HALF];
        id[..HALF].copy_from_slice(&nonce);
        id[HALF..].copy_from_slice(&hash.expose()[..HALF]);
        VersionId::from_bytes(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_recognized_with_its_key_place_and_value_only() {
        let tagger = VersionTagger::new(Key32::copy_of(&[1; 32]));
        let (secret, other) = (SecretId::from_bytes([2; 16]), SecretId::from_bytes([3; 16]));
        let (env, other_env) = (EnvName::parse("A").unwrap(), EnvName::parse("B").unwrap());
        let (value, other_value) = (SecretValue::new(b"v".to_vec()), SecretValue::new(b"w".to_vec()));
        let version = tagger.issue(secret, &env, &value);
        assert!(tagger.is_version_of(version, secret, &env, &value));
        assert!(!tagger.is_version_of(version, other, &env, &value));
        assert!(!tagger.is_version_of(version, secret, &other_env, &value));
        assert!(!tagger.is_version_of(version, secret, &env, &other_value));
        let stranger = VersionTagger::new(Key32::copy_of(&[9; 32]));
        assert!(!stranger.is_version_of(version, secret, &env, &value));
        assert_ne!(tagger.issue(secret, &env, &value), version, "no id is used twice");
    }
}
