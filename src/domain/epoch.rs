//! The epoch that a restore starts.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, DecodeError};

/// Names a restore: 5 random bytes, written as 8 characters of lower-case base32. Each restore has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreEpoch([u8; 5]);

/// Why a text is not an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is 8 characters of a-z and 2-7, as `dropsafe restore` printed it")]
pub struct RestoreEpochError;

impl RestoreEpoch {
    /// The epoch of these random bytes.
    pub const fn from_bytes(bytes: [u8; 5]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for RestoreEpoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl FromStr for RestoreEpoch {
    type Err = RestoreEpochError;

    fn from_str(text: &str) -> Result<Self, RestoreEpochError> {
        // One text for each epoch: upper case is not accepted.
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        let bytes = bytes.map_err(|DecodeError { .. }| RestoreEpochError)?;
        bytes.try_into().ok().filter(|_| is_lower).map(Self).ok_or(RestoreEpochError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_one_text() {
        let epoch = RestoreEpoch::from_bytes([1, 2, 3, 4, 250]);
        let text = epoch.to_string();
        assert_eq!((text.len(), text.parse()), (8, Ok(epoch)));
        for wrong in [text.to_uppercase(), text[1..].to_owned(), format!("{text}a"), String::new()] {
            assert!(wrong.parse::<RestoreEpoch>().is_err(), "{wrong}");
        }
    }
}
