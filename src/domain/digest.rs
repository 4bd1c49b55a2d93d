//! A SHA-256 digest and the unambiguous way parts are fed to it: each with its length in front.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use hkdf::HkdfExtract;
use sha2::{Digest as _, Sha256};

use crate::domain::text;

/// 32 bytes of SHA-256 (FIPS 180-4). Text: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a digest: 64 lower-case hexadecimal digits")]
pub struct DigestError;

impl Digest {
    /// The digest of these bytes, already computed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 over the parts, each preceded by its length as 8 bytes, big-endian, so that no two lists collide by
    /// moving a byte from one part to the next.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// HMAC-SHA-256 (RFC 2104) over the same. It says nothing of the parts to those who do not have the key.
    pub(crate) fn keyed<'a>(key: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        // HKDF's extraction is HMAC with the salt as its key (RFC 5869, section 2.2), and takes the data in parts.
        let mut mac = HkdfExtract::<Sha256>::new(Some(key));
        for part in parts {
            mac.input_ikm(&(part.len() as u64).to_be_bytes());
            mac.input_ikm(part);
        }
        Self(mac.finalize().0.into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        // Lower case only, so that equal digests are equal texts.
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| DigestError)?;
        bytes.try_into().map(Self).map_err(|_| DigestError)
    }
}

text::serde_as_text!(Digest, "a digest of 64 hexadecimal digits");
