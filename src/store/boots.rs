//! Boots: the one place where values leave, and the record of who was given what.

use std::net::IpAddr;

use super::error::{Error, Failure};
use super::page::{Page, PageAsk};
use super::{Caller, Store};
use crate::domain::id::{BootId, SecretId, TicketId, VersionId};
use crate::domain::name::{EnvName, MemberName, OrgName};
use crate::domain::receipt::Receipt;
use crate::domain::resolve::Request;
use crate::domain::time::Timestamp;
use crate::domain::value::SecretValue;

/// What a machine asks for. Texts over 128 bytes, or with control characters, are refused.
#[derive(Clone, Debug, Default)]
pub struct BootAsk {
    /// Plugins, names wanted, names not wanted, references.
    pub request: Request,
    /// A stable name of the machine, when there is one.
    pub machine: Option<String>,
    /// The kernel's boot id, so that a reboot is told from a second workload.
    pub kernel_boot: Option<String>,
    /// The host name, for people.
    pub host: Option<String>,
    /// The agent's version.
    pub agent: Option<String>,
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
    /// Not a ticket.
    #[error("only a boot ticket can boot")]
    NotATicket,
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
        why: String,
    },
    /// The store could not.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// The release. The ticket's use, the record of the boot and its audit entry are durable before this returns; when
    /// anything fails, nothing is released and nothing spent.
    pub async fn boot(&self, caller: &Caller, ask: BootAsk) -> Result<Released, BootError> {
        let _ = (caller, ask);
        todo!()
    }

    /// What a boot would be given, and why. Spends nothing, opens nothing, works locked. For a ticket.
    pub async fn explain(&self, caller: &Caller, ask: BootAsk) -> Result<Explained, BootError> {
        let _ = (caller, ask);
        todo!()
    }

    /// The agent's report on its own boot. Repeating it changes nothing. A digest that is not the boot's is a conflict.
    pub async fn report(&self, caller: &Caller, boot: BootId, report: Report) -> Result<(), Error> {
        let _ = (caller, boot, report);
        todo!()
    }

    /// One boot.
    pub async fn boot_record(&self, caller: &Caller, boot: BootId) -> Result<Boot, Error> {
        let _ = (caller, boot);
        todo!()
    }

    /// Boots that the caller may see, newest first.
    pub async fn list_boots(
        &self,
        caller: &Caller,
        filter: &BootFilter,
        page: PageAsk,
    ) -> Result<Page<Boot>, Error> {
        let _ = (caller, filter, page);
        todo!()
    }

    /// The boots that hold a version of a secret, newest first, among the organization's newest 10,000 boots.
    pub async fn holders(&self, caller: &Caller, secret: SecretId) -> Result<Vec<Holder>, Error> {
        let _ = (caller, secret);
        todo!()
    }
}
