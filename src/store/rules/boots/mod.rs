//! Boots: the only place where values leave the store, and the record of who received what.

mod attempt;
pub(crate) mod boot_counts;
mod commit;
pub(crate) mod end;
mod explain;
pub(crate) mod holder_statistics;
pub(crate) mod holders;
mod indexing;
mod list;
pub(crate) mod named_secrets;
mod open;
pub(crate) mod receipt_cache;
mod record;
mod release;
mod report;
mod retention;
mod running;
pub(crate) mod scope_cache;
pub(crate) mod seen_receipts;

use std::net::IpAddr;
use std::time::Duration;

use crate::domain::boot::{BootEnd, BootStatus};
use crate::domain::code::Code;
use crate::domain::credential::Credential;
use crate::domain::id::{BootId, IdentityId, SecretId, TicketId, VersionId};
use crate::domain::identity::IdentityKind;
use crate::domain::name::{EnvName, Label, MemberName, OrgName, SecretName};
use crate::domain::receipt::Receipt;
use crate::domain::resolve::ResolveRequest;
use crate::domain::role::Denied;
use crate::domain::time::Timestamp;
use crate::domain::value::SecretValue;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::ReleasedVersion;
use crate::store::rules::error::{Error, NEW_PROOF, RETRY_LOCKED};

/// Bytes of a text that a machine reports about itself.
const MAX_TEXT: usize = 128;
/// Names, and plugins, that one boot may list.
const MAX_NAMES: usize = 1000;
/// Bytes of such a name: the longest exported name.
const MAX_NAME: usize = 201;

/// A machine's request. Texts over 128 bytes, or with control characters, are refused.
#[derive(Clone, Debug, Default)]
pub struct BootAsk {
    /// Plugins, included names, excluded names and references.
    pub request: ResolveRequest,
    /// A stable name of the machine, if it has one.
    pub machine: Option<String>,
    /// The kernel's boot id, which tells a reboot from a second workload.
    pub kernel_boot: Option<String>,
    /// The host name, for people.
    pub host: Option<String>,
    /// The agent's version.
    pub agent: Option<String>,
    /// The name of the workload, if the machine runs several.
    pub workload: Option<String>,
    /// Whether the agent reports the end of this boot.
    pub reports_end: bool,
    /// Whether the machine has no place for a secret that is a file, so that a boot with one is refused.
    pub refuse_files: bool,
    /// The same for all tries of one boot: 1 to 128 visible ASCII characters. For five minutes after the first try, further
    /// tries of the same request spend no use, so that a lost response does not cost a machine its boot.
    pub attempt: Option<String>,
}

/// A release.
#[derive(Debug)]
pub struct Released {
    /// The boot.
    pub boot: BootId,
    /// The organization.
    pub org: OrgName,
    /// The member that the ticket acts for.
    pub member: MemberName,
    /// When the first try was made.
    pub at: Timestamp,
    /// What can end this boot, and nothing else.
    pub end_credential: Credential,
    /// What was released and what was not. The agent checks its count and its digest.
    pub receipt: Receipt,
    /// One value for each entry of the receipt.
    pub values: Vec<ReleasedValue>,
}

/// One released value.
#[derive(Debug)]
pub struct ReleasedValue {
    /// The secret.
    pub id: SecretId,
    /// Its value.
    pub value: SecretValue,
}

/// What a boot would receive, without values.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The organization.
    pub org: OrgName,
    /// The member that the ticket acts for.
    pub member: MemberName,
    /// What would be released, what would not, and why.
    pub receipt: Receipt,
    /// Whether the store is locked, so that a boot would have to wait.
    pub locked: bool,
    /// The uses that the ticket has left. Absent without a limit or a ticket.
    pub uses_left: Option<u64>,
    /// When the ticket expires.
    pub expires_at: Option<Timestamp>,
}

/// The agent's report that it started the workload.
#[derive(Clone, Debug)]
pub struct Report {
    /// The digest of what the agent received, as hexadecimal text.
    pub digest: String,
    /// How many variables the workload has in all.
    pub variables: u32,
}

/// A boot that happened.
#[derive(Clone, Debug)]
pub struct BootDetails {
    /// Its id.
    pub id: BootId,
    /// The member that it acted for.
    pub member: MemberName,
    /// Whether it runs, as far as the store knows.
    pub status: BootStatus,
    /// Its end, if it is over.
    pub end: Option<BootEnd>,
    /// The ticket or other identity.
    pub identity: IdentityId,
    /// How the machine proved it. Absent after the identity was deleted.
    pub kind: Option<IdentityKind>,
    /// Its note for people.
    pub ticket_label: Option<Label>,
    /// The author of the ticket.
    pub author: Option<MemberName>,
    /// Whether that author is a launcher.
    pub launched: bool,
    /// When it happened.
    pub at: Timestamp,
    /// The peer's address.
    pub source: Option<IpAddr>,
    /// The machine's name for itself.
    pub machine: Option<String>,
    /// The kernel's boot id.
    pub kernel_boot: Option<String>,
    /// The host name.
    pub host: Option<String>,
    /// The agent's version.
    pub agent: Option<String>,
    /// When the agent reported the start of the workload.
    pub confirmed_at: Option<Timestamp>,
    /// How many variables the workload has in all, as the agent reported.
    pub variables: Option<u32>,
    /// The name of the workload, as the request gave it.
    pub workload: Option<String>,
    /// Whether the agent said that it reports the end.
    pub reports_end: bool,
    /// When the lifetime that the ticket declares passes.
    pub lifetime_ends_at: Option<Timestamp>,
    /// What was released and what was not, in the last try.
    pub receipt: Receipt,
    /// The released secrets that were replaced or deleted since, and that the workload still has.
    pub stale: Vec<Held>,
    /// The versions, in any of its tries, of the secret that the list was asked for. Empty without such a filter.
    pub matched: Vec<Held>,
    /// Whether the caller may report its end, and nobody has. Only of a boot that was asked for by its id.
    pub may_end: bool,
}

/// A version of a secret that a boot holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// The secret.
    pub secret: SecretId,
    /// The name it was exported as.
    pub env: EnvName,
    /// The version.
    pub version: VersionId,
    /// False if the secret was replaced or deleted.
    pub current: bool,
}

/// Which boots to list. An absent field matches all.
#[derive(Clone, Debug, Default)]
pub struct BootFilter {
    /// Boots of this member.
    pub member: Option<MemberName>,
    /// Boots by this ticket.
    pub ticket: Option<TicketId>,
    /// Boots that received this secret, by its id, name or exported name, also after its deletion.
    pub secret: Option<String>,
    /// Active boots only.
    pub live: bool,
}

/// Why nothing was released. No use of the ticket was spent.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The caller is not a ticket, or its member has no permission.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// No release key is in memory.
    #[error("the store is locked")]
    Locked,
    /// A private secret cannot be opened or exported. The shared one of its name never takes its place.
    #[error(
        "the private secret {name}, exported as {env}, cannot be opened or exported, so nothing was released"
    )]
    SecretUnusable {
        /// Its name.
        name: SecretName,
        /// The name it is exported as.
        env: EnvName,
    },
    /// No use is left.
    #[error("the ticket has no use left")]
    TicketSpent,
    /// Another boot has used the token, and the identity's tokens boot once.
    #[error("the token was used by another boot")]
    TokenUsed,
    /// The statement of the caller's proof was executed before.
    #[error("this request was executed before")]
    UsedProof,
    /// The attempt key belongs to another machine or another request.
    #[error("the attempt key was used by another machine or for another request")]
    AttemptMismatch,
    /// The boot of the attempt key has started or ended.
    #[error("the boot of this attempt key has already started or ended")]
    AttemptOver,
    /// The attempt key has no try left.
    #[error("this boot was tried 5 times within 5 minutes")]
    TriesSpent,
    /// The member has too many boots that are not over.
    #[error("the quota of {quota} boots of a member is reached")]
    OverQuota {
        /// The quota.
        quota: u32,
    },
    /// The ticket has expired.
    #[error("the ticket has expired")]
    Expired,
    /// The ticket was revoked, or its member removed, since the authentication.
    #[error("the ticket was revoked")]
    Revoked,
    /// The machine has no place for files, and a secret is one.
    #[error("the secret {0} is a file, and the machine has no place for files")]
    FilesRefused(SecretName),
    /// A field of the request is invalid.
    #[error("{field}: {why}")]
    Invalid {
        /// Name of the field as in the API.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl BootAsk {
    /// Refuses texts and lists that would only fill the audit log.
    fn check(&self) -> Result<(), BootError> {
        let texts = [
            ("machine", &self.machine),
            ("kernel_boot", &self.kernel_boot),
            ("host", &self.host),
            ("agent", &self.agent),
            ("workload", &self.workload),
        ];
        for (field, text) in texts {
            let Some(text) = text else { continue };
            // Control characters could move the cursor in a terminal that lists boots.
            if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                let why = "it must be 1 to 128 bytes without control characters";
                return Err(BootError::Invalid { field, why });
            }
        }
        // It becomes part of a key, and is shown in no list.
        let plain = |attempt: &String| {
            (1..=MAX_TEXT).contains(&attempt.len()) && attempt.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !self.attempt.as_ref().is_none_or(plain) {
            let why = "it must be 1 to 128 visible ASCII characters";
            return Err(BootError::Invalid { field: "Idempotency-Key", why });
        }
        let ResolveRequest { plugins, include, exclude, references, referenced_as, addresses } =
            &self.request;
        // The lists are part of the key of a cached result, so that their length costs memory too.
        if plugins.as_ref().is_some_and(|plugins| plugins.len() > MAX_NAMES) {
            return Err(BootError::Invalid { field: "plugins", why: "there are more than 1000" });
        }
        if addresses.len() > MAX_NAMES {
            return Err(BootError::Invalid { field: "allow_names", why: "there are more than 1000" });
        }
        // A variable refers to one secret, and each is referred to under a name of its own.
        if referenced_as.len() > MAX_NAMES {
            return Err(BootError::Invalid { field: "referenced_as", why: "there are more than 1000" });
        }
        for (field, names) in [("include", include), ("exclude", exclude), ("references", references)] {
            if names.len() > MAX_NAMES {
                return Err(BootError::Invalid { field, why: "there are more than 1000" });
            }
            // A longer name cannot exist, and would only make the request large.
            if names.iter().any(|name| name.is_empty() || name.len() > MAX_NAME) {
                return Err(BootError::Invalid { field, why: "a name has 1 to 201 bytes" });
            }
        }
        Ok(())
    }
}

impl Held {
    /// What a boot that received this version holds, with the current version of the secret.
    fn of(version: &ReleasedVersion, current: Option<VersionId>) -> Self {
        let ReleasedVersion { secret, env, version, .. } = version;
        // A deleted secret has no current version.
        Self { secret: *secret, env: env.clone(), version: *version, current: current == Some(*version) }
    }
}

impl From<Error> for BootError {
    fn from(error: Error) -> Self {
        match error {
            Error::Forbidden(denied) => Self::Forbidden(denied),
            Error::Failure(failure) => Self::Failure(failure),
            // For a ticket, only its own member can be missing: it was removed in the meantime.
            Error::NotFound { .. } => Self::Revoked,
            Error::Locked => Self::Locked,
            // No other error can come from the checks that a boot makes.
            _ => Self::Failure(Failure::Internal),
        }
    }
}

impl Coded for BootError {
    fn code(&self) -> Code {
        match self {
            Self::Forbidden(_) => Code::Forbidden,
            Self::Locked => Code::Locked,
            Self::SecretUnusable { .. } => Code::SecretUnusable,
            Self::TicketSpent | Self::TokenUsed => Code::TicketSpent,
            Self::UsedProof => Code::UsedProof,
            Self::AttemptMismatch => Code::IdempotencyMismatch,
            Self::AttemptOver => Code::Conflict,
            Self::TriesSpent => Code::TriesSpent,
            Self::OverQuota { .. } => Code::OverQuota,
            Self::Expired => Code::Expired,
            Self::Revoked => Code::Revoked,
            Self::FilesRefused(_) => Code::FilesRefused,
            Self::Invalid { .. } => Code::InvalidRequest,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Forbidden(denied) => denied.hint()?,
            Self::Locked => "the operator unlocks the store",
            Self::SecretUnusable { .. } => {
                "deposit it again with `dropsafe set`, delete it, or exclude it on this machine"
            }
            // For each of these reasons, the ticket will never work again.
            Self::TicketSpent | Self::Expired | Self::Revoked => "ask for a new ticket",
            Self::TokenUsed => "start the machine again with a new token of its issuer",
            // Those that are over were pruned before.
            Self::OverQuota { .. } => "end boots that are gone with `dropsafe boots --end BOOT_ID`",
            Self::UsedProof => NEW_PROOF,
            // A new boot spends a use, which the ticket may lack.
            Self::AttemptMismatch | Self::AttemptOver | Self::TriesSpent => {
                "start a new boot, with an Idempotency-Key of its own"
            }
            Self::FilesRefused(_) => "give the machine a tmpfs for files, or exclude the secret",
            // The message names the field and its rule.
            Self::Invalid { .. } => return None,
            Self::Failure(failure) => return failure.hint(),
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            // Every other refusal is final for this ticket and this request.
            Self::Locked => Some(RETRY_LOCKED),
            Self::Failure(failure) => failure.retry_after(),
            _ => None,
        }
    }
}

impl From<BootError> for Stop<BootError> {
    fn from(error: BootError) -> Self {
        Self::Refused(error)
    }
}
