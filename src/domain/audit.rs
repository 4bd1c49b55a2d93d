//! What the trail records of an access. An entry can hold names, ids, numbers and addresses; there is no way to put a
//! value into one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::domain::cidr::Cidr;
use crate::domain::digest::Digest;
use crate::domain::id;
use crate::domain::id::OrgId;
use crate::domain::name;
use crate::domain::text;
use crate::domain::time::Timestamp;

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

text::text_enum! {
    /// What was done.
    pub enum AuditAction, "an action of the audit trail" {
        /// The store was made.
        StoreInit = "store.init",
        /// A server opened the store and began its chain.
        StoreStart = "store.start",
        /// A server closed the store and ended its chain.
        StoreStop = "store.stop",
        /// The store was unlocked.
        StoreUnlock = "store.unlock",
        /// The store was locked.
        StoreLock = "store.lock",
        /// A backup was taken.
        StoreBackup = "store.backup",
        /// A backup was restored.
        StoreRestore = "store.restore",
        /// A re-encryption of everything began.
        ReEncryptStart = "re_encrypt.start",
        /// A re-encryption of everything ended and the old generation was dropped.
        ReEncryptFinish = "re_encrypt.finish",
        /// A key slot was added.
        KeyslotAdd = "keyslot.add",
        /// A key slot was removed.
        KeyslotRemove = "keyslot.remove",
        /// Key slots were listed.
        KeyslotList = "keyslot.list",
        /// An organization was made.
        OrgCreate = "org.create",
        /// Organizations were listed.
        OrgList = "org.list",
        /// An organization's settings were changed.
        OrgEdit = "org.edit",
        /// An organization was deleted.
        OrgDelete = "org.delete",
        /// A member was added.
        MemberCreate = "member.create",
        /// A member was changed.
        MemberEdit = "member.edit",
        /// A member was removed.
        MemberDelete = "member.delete",
        /// Members were listed.
        MemberList = "member.list",
        /// A token was made.
        TokenCreate = "token.create",
        /// A token was revoked.
        TokenRevoke = "token.revoke",
        /// Tokens were listed.
        TokenList = "token.list",
        /// A ticket was made.
        TicketCreate = "ticket.create",
        /// A ticket was revoked.
        TicketRevoke = "ticket.revoke",
        /// Tickets were listed.
        TicketList = "ticket.list",
        /// A secret was deposited for the first time.
        SecretCreate = "secret.create",
        /// A secret's value was replaced.
        SecretReplace = "secret.replace",
        /// A secret's metadata were changed.
        SecretEdit = "secret.edit",
        /// A secret was deleted.
        SecretDelete = "secret.delete",
        /// A secret's metadata were read.
        SecretRead = "secret.read",
        /// The value of a secret of type `plain` was read.
        SecretReadPlain = "secret.read_plain",
        /// Secrets were listed.
        SecretList = "secret.list",
        /// A secret was re-encrypted.
        SecretReEncrypt = "secret.re_encrypt",
        /// Secrets were imported.
        SecretImport = "secret.import",
        /// A plugin was declared, changed, enabled or disabled.
        PluginEdit = "plugin.edit",
        /// A plugin was removed.
        PluginDelete = "plugin.delete",
        /// A category was made or changed.
        CategoryEdit = "category.edit",
        /// A category was removed.
        CategoryDelete = "category.delete",
        /// A boot was answered.
        Boot = "boot",
        /// A boot was explained.
        BootExplain = "boot.explain",
        /// A boot was reported on.
        BootReport = "boot.report",
        /// Boots were listed.
        BootList = "boot.list",
        /// The trail was read.
        AuditRead = "audit.read",
        /// The trail was verified.
        AuditVerify = "audit.verify",
        /// A credential was presented that proves nothing.
        Authenticate = "authenticate",
    }
}

text::text_enum! {
    /// What a detail is about.
    pub enum DetailKey, "a detail of the audit trail" {
        /// The address that the request came from.
        Source = "source",
        /// The request's id.
        Request = "request",
        /// The exported name.
        Env = "env",
        /// The scope.
        Scope = "scope",
        /// The owner of a private secret.
        Owner = "owner",
        /// The version.
        Version = "version",
        /// The version before.
        Previous = "previous",
        /// The key generation.
        Generation = "generation",
        /// How many.
        Count = "count",
        /// How many bytes.
        Bytes = "bytes",
        /// The digest of a receipt.
        Digest = "digest",
        /// The store's revision.
        Revision = "revision",
        /// The role.
        Role = "role",
        /// The plugin.
        Plugin = "plugin",
        /// The ticket.
        Ticket = "ticket",
        /// The member that is concerned.
        Member = "member",
        /// The boot.
        Boot = "boot",
        /// The network that a ticket is limited to.
        Network = "network",
        /// When something ends.
        Expires = "expires",
        /// How often a ticket may be used.
        Uses = "uses",
        /// The code of a denial or failure.
        Reason = "reason",
        /// A machine's or host's name as it reported it.
        Host = "host",
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
    crate::domain::role::Role,
    crate::domain::secret::ScopeKind,
    Timestamp,
    Digest,
    Cidr,
);

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
                if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                    return Err(AuditTextError);
                }
                Ok(Self(AuditText(text.into())))
            }
        }

        text::deserialize(deserializer, "a short text of the audit trail").map(|Stored(text)| text)
    }
}
