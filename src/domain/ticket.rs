//! A boot ticket: one opaque string that tells a machine where the store is, which keys it has, and who the machine is.
//! Never printed and never quoted in an error.

use std::fmt;

use zeroize::Zeroizing;

use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::location::{
    AnswerKey, LocationError, PartReader, PartsFault, StoreLocation, TextFault, parse_text,
};
use crate::domain::pin::PinPair;
use crate::domain::{credential, location};

/// What the text form starts with.
pub const PREFIX: &str = "dst_";
/// Of a ticket with at most one pin and no answer key.
const VERSION: u8 = 1;
/// Of a ticket with two pins and no answer key: a program that knows only one form then says that it has to be updated.
const TWO_PINS: u8 = 2;
/// Of a ticket with an answer key.
const ANSWER_KEY: u8 = 3;

/// Where the store is, which keys it has, and the credential to boot with.
///
/// Text: `dst_` and lower-case base32 of: version (3 with an answer key, else 2 with two pins, else 1), id, secret, the
/// [`StoreLocation`], and four bytes of checksum. Each ticket has one text.
pub struct BootTicket {
    location: StoreLocation,
    credential: Credential,
}

/// Why a ticket cannot be made of these parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketPartsError {
    /// The addresses cannot be in a ticket.
    #[error(transparent)]
    Location(#[from] LocationError),
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

impl From<TextFault> for TicketError {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Truncated => Self::Truncated,
            TextFault::Mistyped => Self::Mistyped,
            TextFault::Version => Self::Version,
        }
    }
}

impl BootTicket {
    /// A ticket without an answer key.
    pub fn new(
        urls: Vec<String>,
        pins: Option<PinPair>,
        credential: Credential,
    ) -> Result<Self, TicketPartsError> {
        // A member's token on a machine would open far more than boots.
        if credential.kind != CredentialKind::Ticket {
            return Err(TicketPartsError::Kind);
        }
        Ok(Self { location: StoreLocation::new(urls, pins, None)?, credential })
    }

    /// The same ticket with the key that signs the store's sealed answers.
    #[must_use]
    pub fn with_answer_key(mut self, key: AnswerKey) -> Self {
        self.location.set_answer_key(key);
        self
    }

    /// Where the store is, and which keys it has.
    pub fn location(&self) -> &StoreLocation {
        &self.location
    }

    /// The addresses of the store. Any will do; machines begin with one of them by chance.
    pub fn urls(&self) -> &[String] {
        self.location.urls()
    }

    /// The pins of the store's TLS keys; without any, the system's certificate authorities decide.
    pub fn pins(&self) -> Option<PinPair> {
        self.location.pins()
    }

    fn version(&self) -> u8 {
        match (self.location.answer_key(), self.location.pin_list()) {
            (Some(_), _) => ANSWER_KEY,
            (None, [_, _, ..]) => TWO_PINS,
            (None, _) => VERSION,
        }
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
        let (version, ticket) = parse_text(PREFIX, body, &[VERSION, TWO_PINS, ANSWER_KEY], read)?;
        // The version of another form would make a second text of the same ticket.
        if ticket.version() == version { Ok(ticket) } else { Err(TicketError::Mistyped) }
    }

    pub fn to_text(&self) -> Zeroizing<String> {
        let mut content = location::content_buffer(self.version(), 16 + 32, &self.location);
        self.credential.write_parts(&mut content);
        self.location.write(&mut content);
        credential::encode(PREFIX, content)
    }
}

impl fmt::Debug for BootTicket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BootTicket([redacted])")
    }
}

fn read(reader: &mut PartReader<'_>) -> Result<(u8, BootTicket), PartsFault> {
    // Whether the version is known is not judged here: a damaged text may have any.
    let version = reader.byte()?;
    let credential =
        Credential::from_parts(CredentialKind::Ticket, reader.take(16 + 32)?).ok_or(PartsFault::Damaged)?;
    let location = reader.location(version == ANSWER_KEY)?;
    Ok((version, BootTicket { location, credential }))
}
