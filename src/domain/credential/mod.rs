//! Bearer credentials: 256 random bits with a public id to look them up by, typed by prefix and checksummed.
//! Never printed and never quoted in an error; the text form leaves only through `to_text`, in memory that is wiped.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::domain::id::{EnrolmentId, OrgId, TicketId, TokenId};
pub use crate::domain::pin::Pin;
use crate::domain::text;
pub use crate::domain::ticket::BootTicket;

#[cfg(test)]
mod tests;

const VERSION: u8 = 1;
const CHECKSUM: usize = 4;
/// Version, id, secret, checksum.
const BODY: usize = 1 + 16 + 32 + CHECKSUM;

text::text_enum! {
    /// Whose credential it is.
    pub enum CredentialKind, "a kind of credential: operator, member, ticket, enrolment or boot" {
        /// The store's operator, `dso_`.
        Operator = "operator",
        /// A member, `dsm_`.
        Member = "member",
        /// A boot ticket's own credential, `dsc_`.
        Ticket = "ticket",
        /// The code that a new member redeems once for a token, `dse_`.
        Enrolment = "enrolment",
        /// What a boot received to end itself with, `dsb_`.
        Boot = "boot",
    }
}

impl CredentialKind {
    /// What the text form starts with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Operator => "dso_",
            Self::Member => "dsm_",
            Self::Ticket => "dsc_",
            Self::Enrolment => "dse_",
            Self::Boot => "dsb_",
        }
    }

    fn of(text: &str) -> Option<(Self, &str)> {
        Self::ALL.iter().find_map(|kind| Some((*kind, text.strip_prefix(kind.prefix())?)))
    }
}

/// A bearer credential. Text: the kind's prefix and 85 characters of lower-case base32 over version, id, secret and
/// the first four bytes of SHA-256 over the prefix and all of those.
pub struct Credential {
    /// Whose credential it is.
    pub kind: CredentialKind,
    /// The public part, by which it is looked up.
    pub id: [u8; 16],
    secret: Zeroizing<[u8; 32]>,
}

/// Why a text is not a credential. Never says anything of the text but what kind of fault it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No known prefix.
    #[error("this is not a credential: it does not start with dso_, dsm_, dsc_, dse_ or dsb_")]
    Prefix,
    /// It starts like a boot ticket.
    #[error("this is a boot ticket, not a token")]
    IsTicket,
    /// Characters are missing at the end.
    #[error("the credential is cut short")]
    Truncated,
    /// There are more characters than a credential has.
    #[error("the credential has characters after its end")]
    TooLong,
    /// The checksum does not match.
    #[error("the credential is mistyped: its checksum does not match")]
    Mistyped,
    /// Made by a later program.
    #[error("the credential is of a version that this program does not know")]
    Version,
}

impl CredentialError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Truncated | Self::TooLong | Self::Mistyped => Some("copy it again, whole and on one line"),
            Self::Version => Some("update this program"),
            Self::IsTicket => Some("a ticket goes to dropsafe-agent, in DROPSAFE_TICKET"),
            Self::Prefix => None,
        }
    }
}

impl Credential {
    /// Parses the code of an enrolment, or a link that has it in its fragment.
    pub(crate) fn parse_enrolment(text: &str) -> Result<Self, CredentialError> {
        Self::parse(text.rsplit_once('#').map_or(text, |(_, code)| code))
    }

    /// The credential of these random bytes.
    pub fn new(kind: CredentialKind, id: [u8; 16], secret: Zeroizing<[u8; 32]>) -> Self {
        Self { kind, id, secret }
    }

    /// Reads the text form, which must be exactly that: no blanks around it.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        if text.starts_with(crate::domain::ticket::PREFIX) {
            return Err(CredentialError::IsTicket);
        }
        let (kind, body) = CredentialKind::of(text).ok_or(CredentialError::Prefix)?;
        // The length tells a text that was cut from one that was mistyped.
        let expected = BASE32_NOPAD.encode_len(BODY);
        if body.len() < expected {
            return Err(CredentialError::Truncated);
        }
        if body.len() > expected {
            return Err(CredentialError::TooLong);
        }
        let bytes = decode(body).ok_or(CredentialError::Mistyped)?;
        let (content, checksum) = split_checksum(&bytes).ok_or(CredentialError::Mistyped)?;
        // Not in constant time: the checksum is against typing errors, and says nothing of a stored secret.
        if checksum != checksum_of(kind.prefix(), content) {
            return Err(CredentialError::Mistyped);
        }
        let (version, rest) = content.split_first().ok_or(CredentialError::Mistyped)?;
        // After the checksum, so that a mistyped character is not taken for a newer version.
        if *version != VERSION {
            return Err(CredentialError::Version);
        }
        Self::from_parts(kind, rest).ok_or(CredentialError::Mistyped)
    }

    /// The text form.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut content = Zeroizing::new(Vec::with_capacity(BODY));
        content.push(VERSION);
        self.write_parts(&mut content);
        encode(self.kind.prefix(), content)
    }

    /// What the store keeps: SHA-256 of a label, the prefix, the id and the secret. The secret has 256 random bits, so
    /// a slow hash would protect nothing more.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"dropsafe credential v1")
            // The kind is hashed too: the bytes of a ticket are no token.
            .chain_update(self.kind.prefix())
            .chain_update(self.id)
            .chain_update(self.secret.as_slice())
            .finalize()
            .into()
    }

    /// Whether this is the credential that was stored as `hash`. The time taken does not depend on where they differ.
    pub fn matches(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }

    /// The secret part, from which keys are derived.
    pub(crate) fn expose_secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The id as that of a token: for the kinds `operator` and `member`.
    pub fn token_id(&self) -> TokenId {
        TokenId::from_bytes(self.id)
    }

    /// The id as that of a ticket: for the kind `ticket`.
    pub fn ticket_id(&self) -> TicketId {
        TicketId::from_bytes(self.id)
    }

    /// The id as that of an enrolment: for the kind `enrolment`.
    pub fn enrolment_id(&self) -> EnrolmentId {
        EnrolmentId::from_bytes(self.id)
    }

    /// The organization that the credential of a boot names: for the kind `boot`.
    pub(crate) fn org_of_boot(&self) -> OrgId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.secret[..16]);
        OrgId::from_bytes(id)
    }

    pub(crate) fn from_parts(kind: CredentialKind, id_and_secret: &[u8]) -> Option<Self> {
        let (id, secret) = id_and_secret.split_first_chunk::<16>()?;
        let mut own = Zeroizing::new([0_u8; 32]);
        if secret.len() != own.len() {
            return None;
        }
        own.copy_from_slice(secret);
        Some(Self::new(kind, *id, own))
    }

    pub(crate) fn write_parts(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.id);
        into.extend_from_slice(self.secret.as_slice());
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credential({}, [redacted])", self.kind)
    }
}

/// `content` with its checksum, in base32 after `prefix`.
pub(crate) fn encode(prefix: &'static str, content: Zeroizing<Vec<u8>>) -> Zeroizing<String> {
    let mut whole = Zeroizing::new(Vec::with_capacity(content.len() + CHECKSUM));
    whole.extend_from_slice(&content);
    whole.extend_from_slice(&checksum_of(prefix, &content));
    // Reserved in full: a string that grows leaves copies behind that are not wiped.
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + BASE32_NOPAD.encode_len(whole.len())));
    text.push_str(prefix);
    BASE32_NOPAD.encode_append(&whole, &mut text);
    // The prefix is lower case already.
    text.make_ascii_lowercase();
    text
}

/// The bytes of lower-case base32 without padding; none if it is not that.
pub(crate) fn decode(body: &str) -> Option<Zeroizing<Vec<u8>>> {
    // One text per credential: who searches files for a leaked one searches for this form.
    if body.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    // The decoder knows upper case only. A copy of a secret, so it is wiped as well.
    let upper = Zeroizing::new(body.to_ascii_uppercase());
    let mut bytes = Zeroizing::new(vec![0_u8; BASE32_NOPAD.decode_len(upper.len()).ok()?]);
    BASE32_NOPAD.decode_mut(upper.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

pub(crate) fn split_checksum(bytes: &[u8]) -> Option<(&[u8], [u8; CHECKSUM])> {
    bytes.split_last_chunk::<CHECKSUM>().map(|(content, checksum)| (content, *checksum))
}

pub(crate) fn checksum_of(prefix: &'static str, content: &[u8]) -> [u8; CHECKSUM] {
    let digest: [u8; 32] = Sha256::new().chain_update(prefix).chain_update(content).finalize().into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}
