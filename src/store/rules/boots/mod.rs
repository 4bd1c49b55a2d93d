//! Boots: the one place where values leave, and the record of who was given what.

mod kept;
mod list;
mod open;
mod record;
mod release;
mod report;

use std::net::IpAddr;
use std::time::Duration;

pub(crate) use kept::{Kept, ScopeMark};
pub(crate) use record::{AttemptRecord, BootRecord, MachineRecord, ReceiptRecord, SeenReceipts};

use crate::domain::code::Code;
use crate::domain::id::{BootId, SecretId, TicketId, VersionId};
use crate::domain::name::{EnvName, MemberName, OrgName};
use crate::domain::receipt::Receipt;
use crate::domain::resolve::ResolveRequest;
use crate::domain::role::Denied;
use crate::domain::time::Timestamp;
use crate::domain::value::SecretValue;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::error::{Error, RETRY_LOCKED};

/// Bytes of what a machine says of itself.
const MAX_TEXT: usize = 128;
/// Names and plugins that one boot may list.
const MAX_NAMES: usize = 1000;
/// Bytes of one such name: the longest exported one.
const MAX_NAME: usize = 201;

/// What a machine asks for. Texts over 128 bytes, or with control characters, are refused.
#[derive(Clone, Debug, Default)]
pub struct BootAsk {
    /// Plugins, names wanted, names not wanted, references.
    pub request: ResolveRequest,
    /// A stable name of the machine, when there is one.
    pub machine: Option<String>,
    /// The kernel's boot id, so that a reboot is told from a second workload.
    pub kernel_boot: Option<String>,
    /// The host name, for people.
    pub host: Option<String>,
    /// The agent's version.
    pub agent: Option<String>,
    /// The same for all tries of one boot: 1 to 128 visible ASCII characters. A try within five minutes of the one that
    /// spent a use spends no other, so that an answer lost on its way does not cost a machine its boot.
    pub attempt: Option<String>,
}

/// What a boot was given.
#[derive(Debug)]
pub struct Released {
    /// The boot.
    pub boot: BootId,
    /// The organization.
    pub org: OrgName,
    /// The member that the ticket acts for.
    pub member: MemberName,
    /// When.
    pub at: Timestamp,
    /// What was released and what was not; its count and digest are what the agent checks.
    pub receipt: Receipt,
    /// One for each secret that the receipt's entries name.
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

/// What a boot would be given, without values.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The organization.
    pub org: OrgName,
    /// The member that the ticket acts for.
    pub member: MemberName,
    /// What would be released and what not and why.
    pub receipt: Receipt,
    /// Whether the store is locked: then a boot would have to wait.
    pub locked: bool,
    /// Uses that the ticket has left; absent: no limit, or no ticket.
    pub uses_left: Option<u64>,
    /// When the ticket stops working.
    pub expires_at: Option<Timestamp>,
}

/// The agent's word that the workload was started.
#[derive(Clone, Debug)]
pub struct Report {
    /// Digest of what the agent received, as hexadecimal text.
    pub digest: String,
    /// How many variables the workload was given in all.
    pub variables: u32,
}

/// A boot that happened.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Its id.
    pub id: BootId,
    /// The member that it acted for.
    pub member: MemberName,
    /// The ticket.
    pub ticket: TicketId,
    /// When.
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
    /// When the agent said that the workload was started.
    pub confirmed_at: Option<Timestamp>,
    /// How many variables the workload was given in all, as the agent said.
    pub variables: Option<u32>,
    /// True when a later boot of the same machine shows that this one is over.
    pub superseded: bool,
    /// What was released and what was not.
    pub receipt: Receipt,
    /// Released entries that were replaced or deleted since, and are still held.
    pub stale: Vec<Held>,
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
    /// False when the secret has a newer version or is gone.
    pub current: bool,
}

/// A boot that holds a version of a secret.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The boot.
    pub boot: BootId,
    /// The member that it acted for.
    pub member: MemberName,
    /// When.
    pub at: Timestamp,
    /// The host name.
    pub host: Option<String>,
    /// What it holds.
    pub held: Held,
}

/// Which boots to list; absent fields admit all.
#[derive(Clone, Debug, Default)]
pub struct BootFilter {
    /// Of this member.
    pub member: Option<MemberName>,
    /// Of this ticket.
    pub ticket: Option<TicketId>,
    /// That were given this secret: its id, its name or its exported name. Works after its deletion too.
    pub secret: Option<String>,
    /// Only those that are not known to be over.
    pub live: bool,
}

/// Why nothing was released. No use of the ticket was spent.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Not a ticket, or that of a member who may not.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// No release key in memory.
    #[error("the store is locked")]
    Locked,
    /// No use left.
    #[error("the ticket has no use left")]
    TicketSpent,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
    /// It was revoked, or its member removed, since the caller was authenticated.
    #[error("the ticket was revoked")]
    Revoked,
    /// What was asked for is not understood: which field and what is wrong with it.
    #[error("{field}: {why}")]
    Invalid {
        /// Name of the field as in the API.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The store could not.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl BootAsk {
    /// Refuses what would only fill the trail and the lists.
    fn check(&self) -> Result<(), BootError> {
        let texts = [
            ("machine", &self.machine),
            ("kernel_boot", &self.kernel_boot),
            ("host", &self.host),
            ("agent", &self.agent),
        ];
        for (field, text) in texts {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                let why = "it must be 1 to 128 bytes without control characters";
                return Err(BootError::Invalid { field, why });
            }
        }
        let plain = |attempt: &String| {
            (1..=MAX_TEXT).contains(&attempt.len()) && attempt.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !self.attempt.as_ref().is_none_or(plain) {
            let why = "it must be 1 to 128 visible ASCII characters";
            return Err(BootError::Invalid { field: "Idempotency-Key", why });
        }
        let ResolveRequest { plugins, include, exclude, references } = &self.request;
        if plugins.as_ref().is_some_and(|plugins| plugins.len() > MAX_NAMES) {
            return Err(BootError::Invalid { field: "plugins", why: "there are more than 1000" });
        }
        for (field, names) in [("include", include), ("exclude", exclude), ("references", references)] {
            if names.len() > MAX_NAMES {
                return Err(BootError::Invalid { field, why: "there are more than 1000" });
            }
            if names.iter().any(|name| name.is_empty() || name.len() > MAX_NAME) {
                return Err(BootError::Invalid { field, why: "a name has 1 to 201 bytes" });
            }
        }
        Ok(())
    }
}

impl From<Error> for BootError {
    fn from(error: Error) -> Self {
        match error {
            Error::Forbidden(denied) => Self::Forbidden(denied),
            Error::Failure(failure) => Self::Failure(failure),
            Error::NotFound { .. } => Self::Revoked,
            Error::Locked => Self::Locked,
            _ => Self::Failure(Failure::Internal),
        }
    }
}

impl Coded for BootError {
    fn code(&self) -> Code {
        match self {
            Self::Forbidden(_) => Code::Forbidden,
            Self::Locked => Code::Locked,
            Self::TicketSpent => Code::TicketSpent,
            Self::Expired => Code::Expired,
            Self::Revoked => Code::Revoked,
            Self::Invalid { .. } => Code::InvalidRequest,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Forbidden(denied) => denied.hint()?,
            Self::Locked => "the operator unlocks the store",
            Self::TicketSpent | Self::Expired | Self::Revoked => "ask for a new ticket",
            Self::Invalid { .. } => return None,
            Self::Failure(failure) => return failure.hint(),
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Locked => Some(RETRY_LOCKED),
            Self::Failure(failure) => failure.retry_after(),
            _ => None,
        }
    }
}
