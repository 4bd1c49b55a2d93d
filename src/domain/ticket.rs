//! A boot ticket: one opaque string that tells a machine where the store is, which keys it has, and who the machine is.
//! Never printed and never quoted in an error.

use std::fmt;

use zeroize::Zeroizing;

use crate::domain::credential;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::pin::{Pin, PinPair};

/// What the text form starts with.
pub const PREFIX: &str = "dst_";
/// Of a ticket with at most one pin.
const VERSION: u8 = 1;
/// Of a ticket with two pins: a program that knows only one form then says that it has to be updated.
const TWO_PINS: u8 = 2;
/// The largest number of addresses in one ticket.
pub const MAX_URLS: usize = 8;
/// The longest address, in bytes.
pub const MAX_URL: usize = 512;

/// Where the store is, which TLS keys it has, and the credential to boot with.
///
/// Text: `dst_` and lower-case base32 of: version (2 with two pins, else 1), id, secret, the number of pins, the pins, the
/// number of addresses, each with its length in two bytes (big-endian), and four bytes of checksum. Each ticket has one text.
pub struct BootTicket {
    urls: Vec<String>,
    pins: Option<PinPair>,
    credential: Credential,
}

/// Why a ticket cannot be made of these parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketPartsError {
    /// No address, or more than [`MAX_URLS`].
    #[error("a ticket holds 1 to {MAX_URLS} addresses of the store")]
    UrlCount,
    /// An address that is empty, too long, or has blanks or characters outside ASCII.
    #[error("an address in a ticket is 1 to {MAX_URL} printable ASCII characters")]
    Url,
    /// The credential is a token.
    #[error("a ticket holds a ticket's credential, not a token")]
    Kind,
}

/// Why a text is not a boot ticket. Never says anything of the text but what kind of fault it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not start with `dst_`.
    #[error("this is not a boot ticket: it does not start with dst_")]
    Prefix,
    /// It starts like a token.
    #[error("this is a token, not a boot ticket")]
    IsToken,
    /// Characters are missing at the end.
    #[error("the boot ticket is cut short")]
    Truncated,
    /// The checksum does not match, or there are characters that a ticket cannot have.
    #[error("the boot ticket is mistyped: its checksum does not match")]
    Mistyped,
    /// Made by a later program.
    #[error("the boot ticket is of a version that this program does not know")]
    Version,
}

impl TicketError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Truncated | Self::Mistyped => Some("copy the ticket again, whole and on one line"),
            Self::Version => Some("update this program"),
            Self::Prefix | Self::IsToken => Some("`dropsafe ticket new` prints a ticket"),
        }
    }
}

impl BootTicket {
    pub fn new(
        urls: Vec<String>,
        pins: Option<PinPair>,
        credential: Credential,
    ) -> Result<Self, TicketPartsError> {
        if urls.is_empty() || urls.len() > MAX_URLS {
            return Err(TicketPartsError::UrlCount);
        }
        if !urls.iter().all(|url| is_address(url)) {
            return Err(TicketPartsError::Url);
        }
        // A member's token on a machine would open far more than boots.
        if credential.kind != CredentialKind::Ticket {
            return Err(TicketPartsError::Kind);
        }
        Ok(Self { urls, pins, credential })
    }

    /// The addresses of the store. Any will do; machines begin with one of them by chance.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The pins of the store's TLS keys; without any, the system's certificate authorities decide.
    pub fn pins(&self) -> Option<PinPair> {
        self.pins
    }

    fn pin_list(&self) -> &[Pin] {
        self.pins.as_ref().map_or(&[], PinPair::list)
    }

    fn version(&self) -> u8 {
        if self.pin_list().len() > 1 { TWO_PINS } else { VERSION }
    }

    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Reads the text form, which must be exactly that: no blanks around it.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        let Some(body) = text.strip_prefix(PREFIX) else {
            let token = CredentialKind::ALL.iter().any(|kind| text.starts_with(kind.prefix()));
            return Err(if token { TicketError::IsToken } else { TicketError::Prefix });
        };
        let Some(bytes) = credential::decode(body) else {
            return Err(fault_of_undecodable(body));
        };
        let Some((content, checksum)) = credential::split_checksum(&bytes) else {
            return Err(TicketError::Truncated);
        };
        if checksum != credential::checksum_of(PREFIX, content) {
            return Err(fault_of_contents(&bytes));
        }
        // The checksum is right: what does not fit now was written so, by another version or by no program of ours.
        let Some(version @ (VERSION | TWO_PINS)) = content.first().copied() else {
            return Err(TicketError::Version);
        };
        let mut reader = TicketReader(content);
        let ticket = read(&mut reader).map_err(|_| TicketError::Mistyped)?;
        // Bytes behind the last address, or the version of the other form, would make a second text of the same ticket.
        let only_form = reader.0.is_empty() && ticket.version() == version;
        if only_form { Ok(ticket) } else { Err(TicketError::Mistyped) }
    }

    pub fn to_text(&self) -> Zeroizing<String> {
        let addresses: usize = self.urls.iter().map(|url| 2 + url.len()).sum();
        // Reserved in full: a vector that grows leaves copies behind that are not wiped.
        let mut content = Zeroizing::new(Vec::with_capacity(1 + 16 + 32 + 1 + 64 + 1 + addresses));
        content.push(self.version());
        self.credential.write_parts(&mut content);
        // No cast can lose anything: there are two pins at most, and `new` bounds the count and the lengths of addresses.
        content.push(self.pin_list().len() as u8);
        for pin in self.pin_list() {
            content.extend_from_slice(pin.as_bytes());
        }
        content.push(self.urls.len() as u8);
        for url in &self.urls {
            content.extend_from_slice(&(url.len() as u16).to_be_bytes());
            content.extend_from_slice(url.as_bytes());
        }
        credential::encode(PREFIX, content)
    }
}

impl fmt::Debug for BootTicket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BootTicket([redacted])")
    }
}

fn is_address(url: &str) -> bool {
    (1..=MAX_URL).contains(&url.len()) && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A text of the wrong length for base32, or with bits left over, was probably cut: the whole groups before the cut tell.
fn fault_of_undecodable(body: &str) -> TicketError {
    if !body.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) {
        return TicketError::Mistyped;
    }
    let whole = &body[..body.len() - body.len() % 8];
    match credential::decode(whole) {
        Some(bytes) => fault_of_contents(&bytes),
        None => TicketError::Mistyped,
    }
}

/// The checksum does not match. If the contents end before they say that they do, they were cut.
fn fault_of_contents(bytes: &[u8]) -> TicketError {
    let mut reader = TicketReader(bytes);
    match read(&mut reader) {
        Err(TicketReadError::Ended) => TicketError::Truncated,
        // All parts are there, and of the checksum at most three bytes.
        Ok(_) if reader.0.len() < 4 => TicketError::Truncated,
        Ok(_) | Err(TicketReadError::Damaged) => TicketError::Mistyped,
    }
}

enum TicketReadError {
    Ended,
    Damaged,
}

fn read(reader: &mut TicketReader<'_>) -> Result<BootTicket, TicketReadError> {
    // The version is not judged here: `parse` has compared it, and a damaged text may have any.
    reader.take(1)?;
    let credential = Credential::from_parts(CredentialKind::Ticket, reader.take(16 + 32)?)
        .ok_or(TicketReadError::Damaged)?;
    let pins = match reader.take(1)? {
        [0] => None,
        [count @ (1 | 2)] => {
            let current = reader.pin()?;
            let next = if *count == 2 { reader.pin()? } else { current };
            // Two equal pins would make a second text of a ticket with one.
            if (*count == 2) == (current == next) {
                return Err(TicketReadError::Damaged);
            }
            Some(PinPair::new(current, next))
        }
        _ => return Err(TicketReadError::Damaged),
    };
    let count = reader.take(1)?.first().copied().unwrap_or(0);
    let urls = (0..count).map(|_| reader.address()).collect::<Result<Vec<_>, _>>()?;
    BootTicket::new(urls, pins, credential).map_err(|_| TicketReadError::Damaged)
}

struct TicketReader<'a>(&'a [u8]);

impl<'a> TicketReader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TicketReadError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TicketReadError::Ended)?;
        self.0 = rest;
        Ok(taken)
    }

    fn pin(&mut self) -> Result<Pin, TicketReadError> {
        self.take(32)?.try_into().map(Pin).map_err(|_| TicketReadError::Damaged)
    }

    fn address(&mut self) -> Result<String, TicketReadError> {
        let len = self.take(2)?.iter().fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
        let url = str::from_utf8(self.take(len)?).map_err(|_| TicketReadError::Damaged)?;
        Ok(url.to_owned())
    }
}
