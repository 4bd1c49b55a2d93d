//! The pin of a TLS server's key, compared instead of trusting any certificate authority. Not a secret.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::domain::text;

const PREFIX: &str = "sha256/";

/// SHA-256 of the DER SubjectPublicKeyInfo of the server's leaf key (as in RFC 7469, section 2.4).
/// Text: `sha256/` and 43 characters of base64url without padding (RFC 4648, section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(pub [u8; 32]);

/// A text that is not a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a pin: `sha256/` and 43 characters of base64url")]
pub struct PinError;

impl Pin {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        formatter.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let body = text.strip_prefix(PREFIX).ok_or(PinError)?;
        let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| PinError)?;
        bytes.try_into().map(Self).map_err(|_| PinError)
    }
}

text::serde_as_text!(Pin, "a pin of the form sha256/...");
