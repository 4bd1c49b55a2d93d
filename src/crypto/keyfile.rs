//! The text form of a key in a file: 32 random bytes with a purpose, a version and a checksum.
//!
//! The checksum finds typing and copying mistakes; it protects nothing. An error never quotes the text, and the decoded bytes
//! stay in memory that is wiped.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::memory::Key32;
use super::random::Random;

const DECODED_LEN: usize = 32 + CHECKSUM_LEN;
const CHECKSUM_LEN: usize = 4;
/// 36 bytes as base32.
const ENCODED_LEN: usize = 58;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Unlock,
    Record,
}

/// The key that opens a key slot, from a key file or a systemd credential.
pub struct UnlockKey(Key32);

impl UnlockKey {
    pub fn generate(rng: &mut dyn Random) -> Self {
        Self(Key32::random(rng))
    }

    /// The inverse of [`to_text`](Self::to_text). White space around the text is ignored.
    pub fn from_text(text: &str) -> Result<Self, KeyFileError> {
        read(Purpose::Unlock, text).map(Self)
    }

    /// `dropsafe-key-1…`: one line of ASCII, without a newline.
    pub fn to_text(&self) -> Zeroizing<String> {
        write(Purpose::Unlock, &self.0)
    }

    pub(crate) fn key(&self) -> &Key32 {
        &self.0
    }
}

impl fmt::Debug for UnlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnlockKey([redacted])")
    }
}

/// Why a text is not the expected key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It does not start like a key of this version.
    #[error("this is not a dropsafe key file")]
    NotAKey,
    /// It is a record key and an unlock key is expected, or the reverse.
    #[error("this is a dropsafe key file for another purpose")]
    OtherPurpose,
    /// It is shorter or longer than a key.
    #[error("the key file is truncated or has something after the key")]
    Length,
    /// It has a character that base32 does not use, or a wrong checksum.
    #[error("invalid key file (checksum mismatch)")]
    Mistyped,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Unlock, Self::Record];

    const fn prefix(self) -> &'static str {
        // The 1 is the version. Base32, which follows, has no such digit.
        match self {
            Self::Unlock => "dropsafe-key-1",
            Self::Record => "dropsafe-record-1",
        }
    }

    fn checksum(self, key: &[u8; 32]) -> [u8; CHECKSUM_LEN] {
        // The prefix is hashed too: a key that is copied under another purpose's prefix fails its checksum.
        let mut digest: [u8; 32] =
            Sha256::new().chain_update(self.prefix()).chain_update(key).finalize().into();
        let mut checksum = [0; CHECKSUM_LEN];
        checksum.copy_from_slice(&digest[..CHECKSUM_LEN]);
        digest.zeroize();
        checksum
    }
}

pub(crate) fn read(purpose: Purpose, text: &str) -> Result<Key32, KeyFileError> {
    let text = text.trim();
    let Some(encoded) = text.strip_prefix(purpose.prefix()) else {
        // Told apart because the two files lie side by side, and mixing them up is the likeliest mistake.
        let other_purpose = Purpose::ALL.iter().any(|other| text.starts_with(other.prefix()));
        return Err(if other_purpose { KeyFileError::OtherPurpose } else { KeyFileError::NotAKey });
    };
    if encoded.len() != ENCODED_LEN {
        return Err(KeyFileError::Length);
    }
    let mut decoded = Zeroizing::new([0; DECODED_LEN]);
    // Either case: some people type a key from paper.
    BASE32_NOPAD_NOCASE.decode_mut(encoded.as_bytes(), &mut *decoded).map_err(|_| KeyFileError::Mistyped)?;
    let Some((key, checksum)) = decoded.split_first_chunk::<32>() else { return Err(KeyFileError::Length) };
    // Not in constant time: the checksum follows from the text, so that there is nothing to learn.
    if purpose.checksum(key) == checksum { Ok(Key32::copy_of(key)) } else { Err(KeyFileError::Mistyped) }
}

pub(crate) fn write(purpose: Purpose, key: &Key32) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; DECODED_LEN]);
    let (key_bytes, checksum) = bytes.split_at_mut(32);
    key_bytes.copy_from_slice(key.expose());
    checksum.copy_from_slice(&purpose.checksum(key.expose()));
    // The full capacity at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(purpose.prefix().len() + ENCODED_LEN));
    text.push_str(purpose.prefix());
    BASE32_NOPAD.encode_append(&*bytes, &mut text);
    text.make_ascii_lowercase();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Kernel;

    #[test]
    fn a_key_survives_its_text() {
        for purpose in Purpose::ALL {
            let key = Key32::random(&mut Kernel);
            let text = write(purpose, &key);
            assert_eq!(text.len(), purpose.prefix().len() + ENCODED_LEN);
            assert!(text.starts_with(purpose.prefix()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
            for spelled in [text.to_string(), format!("{}\n", *text), format!(" {}\r\n", *text)] {
                assert!(read(purpose, &spelled).unwrap().ct_eq(key.expose()));
            }
        }
    }

    /// Fixes the format: a key written today is read by every later version.
    #[test]
    fn the_text_of_a_known_key() {
        let text = write(Purpose::Unlock, &Key32::copy_of(&[7; 32]));
        assert_eq!(*text, "dropsafe-key-1a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4d426aiie");
    }

    #[test]
    fn a_damaged_text_is_refused_with_its_reason() {
        let text = UnlockKey::generate(&mut Kernel).to_text();
        let parse = |text: &str| UnlockKey::from_text(text).map(drop);
        assert_eq!(parse(""), Err(KeyFileError::NotAKey));
        assert_eq!(parse("hunter2"), Err(KeyFileError::NotAKey));
        assert_eq!(read(Purpose::Record, &text).map(drop), Err(KeyFileError::OtherPurpose));
        assert_eq!(parse(&text[..text.len() - 1]), Err(KeyFileError::Length));
        assert_eq!(parse(&format!("{}a", *text)), Err(KeyFileError::Length));
        for at in Purpose::Unlock.prefix().len()..text.len() {
            for wrong in "abcdefghijklmnopqrstuvwxyz234567 1é".chars() {
                let (before, rest) = text.split_at(at);
                let changed = format!("{before}{wrong}{}", &rest[1..]);
                if changed != *text {
                    assert!(
                        matches!(parse(&changed), Err(KeyFileError::Mistyped | KeyFileError::Length)),
                        "{at} {wrong}"
                    );
                }
            }
        }
    }
}
