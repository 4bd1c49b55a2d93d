//! Where a store is and which keys it has: what a boot ticket and a store card have in common, and the parts of their texts.
//! Never quotes what it parses, because a ticket holds a secret.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::domain::credential;
use crate::domain::pin::{Pin, PinPair};

/// The largest number of addresses in one ticket or card.
pub const MAX_URLS: usize = 8;
/// The longest address, in bytes.
pub const MAX_URL: usize = 512;

const KEY_PREFIX: &str = "ed25519/";

/// The store's Ed25519 public key, which signs each sealed answer. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerKey(pub [u8; 32]);

/// Text: `ed25519/` and 43 characters of base64url without padding.
impl fmt::Display for AnswerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(KEY_PREFIX)?;
        formatter.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

/// A text that is not an answer key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an answer key: `ed25519/` and 43 characters of base64url")]
pub struct AnswerKeyError;

impl FromStr for AnswerKey {
    type Err = AnswerKeyError;

    fn from_str(text: &str) -> Result<Self, AnswerKeyError> {
        let body = text.strip_prefix(KEY_PREFIX).ok_or(AnswerKeyError)?;
        let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| AnswerKeyError)?;
        bytes.try_into().map(Self).map_err(|_| AnswerKeyError)
    }
}

/// Where a store is, and which keys it has.
///
/// Bytes: the number of pins (0 to 2), the pins, the answer key if there is one, the number of addresses (1 to 8), and each
/// address with its length in two bytes (big-endian). What holds a location says whether it has an answer key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLocation {
    urls: Vec<String>,
    pins: Option<PinPair>,
    answer_key: Option<AnswerKey>,
}

/// Why a location cannot be made of these addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// No address, or more than [`MAX_URLS`].
    #[error("a ticket or a card holds 1 to {MAX_URLS} addresses of the store")]
    UrlCount,
    /// An address that is empty, too long, or has blanks or characters outside ASCII.
    #[error("an address in a ticket or a card is 1 to {MAX_URL} printable ASCII characters")]
    Url,
}

impl StoreLocation {
    pub fn new(
        urls: Vec<String>,
        pins: Option<PinPair>,
        answer_key: Option<AnswerKey>,
    ) -> Result<Self, LocationError> {
        if urls.is_empty() || urls.len() > MAX_URLS {
            return Err(LocationError::UrlCount);
        }
        if !urls.iter().all(|url| is_address(url)) {
            return Err(LocationError::Url);
        }
        Ok(Self { urls, pins, answer_key })
    }

    /// The addresses of the store. Any will do; machines begin with one of them by chance.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The pins of the store's TLS keys; without any, the system's certificate authorities decide.
    pub fn pins(&self) -> Option<PinPair> {
        self.pins
    }

    /// The key that signs the store's sealed answers. `None` in a ticket of an older version.
    pub fn answer_key(&self) -> Option<AnswerKey> {
        self.answer_key
    }

    pub(crate) fn set_answer_key(&mut self, key: AnswerKey) {
        self.answer_key = Some(key);
    }

    pub(crate) fn pin_list(&self) -> &[Pin] {
        self.pins.as_ref().map_or(&[], PinPair::list)
    }

    /// The number of bytes that [`write`](Self::write) appends.
    pub(crate) fn encoded_len(&self) -> usize {
        let key = self.answer_key.map_or(0, |AnswerKey(key)| key.len());
        let addresses: usize = self.urls.iter().map(|url| 2 + url.len()).sum();
        1 + 32 * self.pin_list().len() + key + 1 + addresses
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        // No cast can lose anything: there are two pins at most, and `new` bounds the count and the lengths of addresses.
        into.push(self.pin_list().len() as u8);
        for pin in self.pin_list() {
            into.extend_from_slice(pin.as_bytes());
        }
        if let Some(AnswerKey(key)) = &self.answer_key {
            into.extend_from_slice(key);
        }
        into.push(self.urls.len() as u8);
        for url in &self.urls {
            into.extend_from_slice(&(url.len() as u16).to_be_bytes());
            into.extend_from_slice(url.as_bytes());
        }
    }
}

fn is_address(url: &str) -> bool {
    (1..=MAX_URL).contains(&url.len()) && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Why a text is not what its prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextFault {
    /// Characters are missing at the end.
    Truncated,
    /// The checksum does not match, or there are characters that the text cannot have.
    Mistyped,
    /// Made by a later program.
    Version,
}

/// Why parts cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartsFault {
    Ended,
    Damaged,
}

/// Reads a text: base32 of a version, the parts that `read` takes, and a checksum. `body` follows the prefix.
pub(crate) fn parse_text<T>(
    prefix: &'static str,
    body: &str,
    versions: &[u8],
    read: fn(&mut PartReader<'_>) -> Result<T, PartsFault>,
) -> Result<T, TextFault> {
    let Some(bytes) = credential::decode(body) else {
        return Err(fault_of_undecodable(body, read));
    };
    let Some((content, checksum)) = credential::split_checksum(&bytes) else {
        return Err(TextFault::Truncated);
    };
    if checksum != credential::checksum_of(prefix, content) {
        return Err(fault_of_contents(&bytes, read));
    }
    // The checksum is right: what does not fit now was written so, by another version or by no program of ours.
    if !content.first().is_some_and(|version| versions.contains(version)) {
        return Err(TextFault::Version);
    }
    let mut reader = PartReader(content);
    let parsed = read(&mut reader).map_err(|_| TextFault::Mistyped)?;
    // Bytes behind the last address would make a second text of the same contents.
    if reader.0.is_empty() { Ok(parsed) } else { Err(TextFault::Mistyped) }
}

/// A text of the wrong length for base32, or with bits left over, was probably cut: the whole groups before the cut tell.
fn fault_of_undecodable<T>(body: &str, read: fn(&mut PartReader<'_>) -> Result<T, PartsFault>) -> TextFault {
    if !body.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) {
        return TextFault::Mistyped;
    }
    let whole = &body[..body.len() - body.len() % 8];
    match credential::decode(whole) {
        Some(bytes) => fault_of_contents(&bytes, read),
        None => TextFault::Mistyped,
    }
}

/// The checksum does not match. If the contents end before they say that they do, they were cut.
fn fault_of_contents<T>(bytes: &[u8], read: fn(&mut PartReader<'_>) -> Result<T, PartsFault>) -> TextFault {
    let mut reader = PartReader(bytes);
    match read(&mut reader) {
        Err(PartsFault::Ended) => TextFault::Truncated,
        // All parts are there, and of the checksum at most three bytes.
        Ok(_) if reader.0.len() < 4 => TextFault::Truncated,
        Ok(_) | Err(PartsFault::Damaged) => TextFault::Mistyped,
    }
}

/// Takes the parts of a decoded text, front to back.
pub(crate) struct PartReader<'a>(&'a [u8]);

impl<'a> PartReader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], PartsFault> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(PartsFault::Ended)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], PartsFault> {
        self.take(N)?.try_into().map_err(|_| PartsFault::Damaged)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, PartsFault> {
        self.array().map(|[byte]| byte)
    }

    /// A location, which has an answer key or not.
    pub(crate) fn location(&mut self, has_answer_key: bool) -> Result<StoreLocation, PartsFault> {
        let pins = self.pins()?;
        let answer_key = if has_answer_key { Some(AnswerKey(self.array()?)) } else { None };
        let count = self.byte()?;
        let urls = (0..count).map(|_| self.address()).collect::<Result<Vec<_>, _>>()?;
        StoreLocation::new(urls, pins, answer_key).map_err(|_| PartsFault::Damaged)
    }

    fn pins(&mut self) -> Result<Option<PinPair>, PartsFault> {
        let count = self.byte()?;
        match count {
            0 => Ok(None),
            1 | 2 => {
                let current = Pin(self.array()?);
                let next = if count == 2 { Pin(self.array()?) } else { current };
                // Two equal pins would make a second text of a ticket with one.
                if (count == 2) == (current == next) {
                    return Err(PartsFault::Damaged);
                }
                Ok(Some(PinPair::new(current, next)))
            }
            _ => Err(PartsFault::Damaged),
        }
    }

    fn address(&mut self) -> Result<String, PartsFault> {
        let len = u16::from_be_bytes(self.array()?);
        let url = str::from_utf8(self.take(usize::from(len))?).map_err(|_| PartsFault::Damaged)?;
        Ok(url.to_owned())
    }
}

/// A buffer for a version, `fixed` bytes and a location, which none of them outgrows.
pub(crate) fn content_buffer(version: u8, fixed: usize, location: &StoreLocation) -> Zeroizing<Vec<u8>> {
    // Reserved in full: a vector that grows leaves copies behind that are not wiped.
    let mut content = Zeroizing::new(Vec::with_capacity(1 + fixed + location.encoded_len()));
    content.push(version);
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_key_reads_back() {
        let key = AnswerKey([0xff; 32]);
        assert_eq!(key.to_string().len(), 8 + 43);
        assert_eq!(key.to_string().parse(), Ok(key));
        for bad in
            ["", "ed25519/", "sha256/x", &key.to_string()[..50], &format!("{key}="), &format!(" {key}")]
        {
            assert!(bad.parse::<AnswerKey>().is_err(), "{bad:?}");
        }
    }
}
