//! The pins of a TLS server's keys, compared instead of trusting any certificate authority. Not a secret.

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

/// The pins of a server's TLS keys: of the one that it has, and of the one that the next rotation makes the current one. Equal
/// if there is only one.
///
/// Text: one pin, or two with a comma between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinPair([Pin; 2]);

impl PinPair {
    pub const fn new(current: Pin, next: Pin) -> Self {
        Self([current, next])
    }

    /// The pins, the current one first: one or two.
    pub fn list(&self) -> &[Pin] {
        let [current, next] = &self.0;
        if current == next { &self.0[..1] } else { &self.0 }
    }

    pub const fn current(&self) -> Pin {
        self.0[0]
    }
}

impl From<Pin> for PinPair {
    fn from(pin: Pin) -> Self {
        Self([pin; 2])
    }
}

impl fmt::Display for PinPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [current, next] = &self.0;
        current.fmt(formatter)?;
        if current == next { Ok(()) } else { write!(formatter, ",{next}") }
    }
}

impl FromStr for PinPair {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let (current, next) = text.split_once(',').unwrap_or((text, text));
        Ok(Self([current.parse()?, next.parse()?]))
    }
}
