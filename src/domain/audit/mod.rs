//! What the trail records of an access. An entry can hold names, ids, numbers and addresses; there is no way to put a
//! value into one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use crate::domain::audit::vault::VaultAction;
pub use crate::domain::audit::words::{AuditAction, DetailKey};
use crate::domain::cidr::Cidr;
use crate::domain::digest::Digest;
use crate::domain::id::OrgId;
use crate::domain::role::Denied;
use crate::domain::time::Timestamp;
use crate::domain::{id, name, text};

#[cfg(test)]
mod tests;
mod vault;
mod words;

/// One entry of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// In which organization; none for the store's own events.
    pub org: Option<OrgId>,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: AuditAction,
    /// On what.
    pub target: Option<Target>,
    /// With which outcome.
    pub outcome: Outcome,
    /// What else there is to say.
    pub details: BTreeMap<DetailKey, AuditText>,
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// The name at the time.
    pub name: Option<AuditText>,
    /// The id, in its text form.
    pub id: Option<AuditText>,
}

/// What was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What kind of thing.
    pub kind: TargetKind,
    /// The name at the time.
    pub name: Option<AuditText>,
    /// The id, in its text form.
    pub id: Option<AuditText>,
}

text::text_enum! {
    /// A kind of actor.
    pub enum ActorKind, "a kind of actor" {
        /// The store's operator.
        Operator = "operator",
        /// A member.
        Member = "member",
        /// A boot ticket.
        Ticket = "ticket",
        /// The store itself.
        Store = "store",
        /// Nobody who proved who they are.
        Nobody = "nobody",
    }
}

text::text_enum! {
    /// A kind of target.
    pub enum TargetKind, "a kind of target" {
        /// The store.
        Store = "store",
        /// A key slot.
        Keyslot = "keyslot",
        /// An organization.
        Org = "org",
        /// A member.
        Member = "member",
        /// A token.
        Token = "token",
        /// A ticket.
        Ticket = "ticket",
        /// A secret.
        Secret = "secret",
        /// A boot.
        Boot = "boot",
        /// A plugin.
        Plugin = "plugin",
        /// A category.
        Category = "category",
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
pub const MAX_TEXT: usize = 200;

/// A short text for the trail. Made only of things that are no values: names, ids, numbers, times, addresses, and words
/// that are constants of the program. Longer ones are cut at 200 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditText(Box<str>);

/// A text longer than the trail takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text of the audit trail has at most {MAX_TEXT} bytes and no control characters")]
pub struct AuditTextError;

impl AuditText {
    /// A constant of the program, such as an error's code.
    pub fn word(word: &'static str) -> Self {
        Self::bounded(word)
    }

    /// A number.
    pub fn number(number: u64) -> Self {
        Self::bounded(&number.to_string())
    }

    /// An address.
    pub fn address(address: IpAddr) -> Self {
        Self::bounded(&address.to_canonical().to_string())
    }

    /// A name that a machine reported of itself: only letters, digits and `. _ -` of it are kept.
    pub fn reported_host(host: &str) -> Self {
        let plain: String = host
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            .take(64)
            .collect();
        Self::bounded(&plain)
    }

    /// The text.
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
    id::BootId,
    id::StoreId,
    id::SlotId,
    name::SecretName,
    name::EnvName,
    name::OrgName,
    name::MemberName,
    name::PluginName,
    name::Category,
    name::Label,
    crate::domain::code::Code,
    crate::domain::role::Role,
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

        text::deserialize(deserializer, "a short text of the audit trail").map(|Stored(text)| text)
    }
}
