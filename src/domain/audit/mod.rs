//! What the audit log records of an access. An entry can hold names, ids, numbers and addresses; there is no way to put a
//! value into one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

pub(crate) use crate::domain::audit::vault::VaultAction;
pub(crate) use crate::domain::audit::words::{AuditAction, DetailKey};
use crate::domain::cidr::Cidr;
use crate::domain::digest::Digest;
use crate::domain::id::OrgId;
use crate::domain::name::EnvName;
use crate::domain::role::Denied;
use crate::domain::time::Timestamp;
use crate::domain::{id, name, text};

#[cfg(test)]
mod tests;
mod vault;
mod words;

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuditEvent {
    pub at: Timestamp,
    /// In which organization; none for the store's own events.
    pub org: Option<OrgId>,
    pub actor: Actor,
    pub action: AuditAction,
    pub target: Option<Target>,
    pub outcome: Outcome,
    /// What else there is to say.
    pub details: BTreeMap<DetailKey, AuditText>,
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Actor {
    pub kind: ActorKind,
    /// The name at the time.
    pub name: Option<AuditText>,
    /// The id, in its text form.
    pub id: Option<AuditText>,
}

/// What was acted on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    pub kind: TargetKind,
    /// The name at the time.
    pub name: Option<AuditText>,
    /// The id, in its text form.
    pub id: Option<AuditText>,
}

text::text_enum! {
    pub enum ActorKind, "a kind of actor" {
        Operator = "operator",
        Member = "member",
        Ticket = "ticket",
        /// A machine that proved an identity other than a ticket.
        Identity = "identity",
        /// A boot, by the credential that can end it.
        Boot = "boot",
        /// A monitoring system.
        Metrics = "metrics",
        /// The store itself.
        Store = "store",
        /// Nobody who proved who they are.
        Nobody = "nobody",
    }
}

text::text_enum! {
    pub enum TargetKind, "a kind of target" {
        Store = "store",
        Keyslot = "keyslot",
        Org = "org",
        Member = "member",
        Token = "token",
        Ticket = "ticket",
        Enrolment = "enrolment",
        Account = "account",
        Secret = "secret",
        Boot = "boot",
        Plugin = "plugin",
        Category = "category",
        Identity = "identity",
        Issuer = "issuer",
    }
}

text::text_enum! {
    /// How it ended.
    pub enum Outcome, "an outcome: allowed, denied or failed" {
        /// It was done.
        Allowed = "allowed",
        /// It was refused.
        Denied = "denied",
        /// It was permitted and could not be done.
        Failed = "failed",
    }
}

/// The longest [`AuditText`], in bytes.
pub(crate) const MAX_TEXT: usize = 200;

/// A short text for the audit log. Made only of things that are no values: names, ids, numbers, times, addresses, and words
/// that are constants of the program. Longer ones are cut at 200 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditText(Box<str>);

/// A text that is too long for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text of the audit log has at most {MAX_TEXT} bytes and no control characters")]
pub(crate) struct AuditTextError;

impl AuditText {
    /// A constant of the program, such as an error's code.
    pub fn word(word: &'static str) -> Self {
        Self::bounded(word)
    }

    /// Constants of the program, separated by commas.
    pub fn words(words: &[&'static str]) -> Self {
        Self::bounded(&words.join(","))
    }

    /// As many of the names as fit, separated by commas, and how many more there are.
    pub(crate) fn names(names: &[&EnvName]) -> Self {
        let mut text = String::new();
        for (index, name) in names.iter().enumerate() {
            // A name that is cut would be another name.
            if text.len() + name.as_str().len() + " and 4294967295 more".len() >= MAX_TEXT {
                text.push_str(&format!(" and {} more", names.len() - index));
                break;
            }
            text.push_str(if index == 0 { "" } else { "," });
            text.push_str(name.as_str());
        }
        Self::bounded(text.trim_start())
    }

    pub fn number(number: u64) -> Self {
        Self::bounded(&number.to_string())
    }

    pub fn address(address: IpAddr) -> Self {
        // A listener on `::` sees IPv4 addresses within IPv6. The log has one form of each.
        Self::bounded(&address.to_canonical().to_string())
    }

    /// The network of an address, for counting by source: an IPv4 address itself, or the /64 of an IPv6 address.
    pub fn network(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::address(address.into()),
            IpAddr::V6(address) => {
                let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
                Self::bounded(&format!("{network}/64"))
            }
        }
    }

    /// A name that a machine reported of itself: only letters, digits and `. _ -` of it are kept.
    pub fn reported_host(host: &str) -> Self {
        // The machine chose the name. Anything else in it could be a value, or forge a line where the log is printed.
        let plain: String = host
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            .take(64)
            .collect();
        Self::bounded(&plain)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads back the text of a stored entry. New texts come from the constructors above.
    pub(crate) fn from_stored_text(text: &str) -> Result<Self, AuditTextError> {
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(AuditTextError);
        }
        Ok(Self(text.into()))
    }

    fn bounded(text: &str) -> Self {
        // Cut and not refused: an entry that cannot be written would stop the action that it records.
        Self(text[..text.floor_char_boundary(MAX_TEXT)].into())
    }
}

macro_rules! audit_text_from {
    ($($Type:ty),+ $(,)?) => { $(
        impl From<&$Type> for AuditText {
            fn from(from: &$Type) -> Self {
                Self::bounded(&from.to_string())
            }
        }

        impl From<$Type> for AuditText {
            fn from(from: $Type) -> Self {
                Self::from(&from)
            }
        }
    )+ };
}

audit_text_from!(
    id::OrgId,
    id::MemberId,
    id::SecretId,
    id::VersionId,
    id::TokenId,
    id::TicketId,
    id::IdentityId,
    id::EnrolmentId,
    id::LinkedAccountId,
    id::BootId,
    id::StoreId,
    id::SlotId,
    name::SecretName,
    name::EnvName,
    name::OrgName,
    name::MemberName,
    name::IssuerName,
    name::PluginName,
    name::Category,
    name::Label,
    name::ProviderName,
    name::ProviderSubject,
    crate::domain::provider::SignInMethod,
    crate::domain::code::Code,
    crate::domain::identity::IdentityKind,
    crate::domain::epoch::RestoreEpoch,
    crate::domain::role::Role,
    crate::domain::role::MemberKind,
    crate::domain::secret::ScopeKind,
    Timestamp,
    Digest,
    Cidr,
);

impl From<Denied> for AuditText {
    fn from(denied: Denied) -> Self {
        Self::word(denied.reason())
    }
}

impl fmt::Display for AuditText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for AuditText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl Serialize for AuditText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Reading back an entry that was stored: the only way in that takes any text, and it is bounded.
impl<'de> Deserialize<'de> for AuditText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Stored(AuditText);

        impl std::str::FromStr for Stored {
            type Err = AuditTextError;

            fn from_str(text: &str) -> Result<Self, AuditTextError> {
                AuditText::from_stored_text(text).map(Self)
            }
        }

        text::deserialize(deserializer, "a short text of the audit log").map(|Stored(text)| text)
    }
}
