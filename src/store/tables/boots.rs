//! Boots, newest first; what boots were given, once for all boots that were given the same; machines; and attempts.

use std::net::IpAddr;

use crate::domain::boot::BootState;
use crate::domain::digest::Digest;
use crate::domain::id::{BootId, MemberId, OrgId, TicketId};
use crate::domain::name::MemberName;
use crate::domain::receipt::ReceiptEntry;
use crate::domain::resolve::{Shadowed, Skipped};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const BOOTS: Table = Table::new(b'b', "boots");
pub(crate) const RECEIPTS: Table = Table::new(b'r', "receipt");
pub(crate) const MACHINES: Table = Table::new(b'h', "machine");
pub(crate) const ATTEMPTS: Table = Table::new(b'y', "boot attempt");

pub(crate) fn attempts() -> Prefix<AttemptRecord> {
    ATTEMPTS.all()
}

impl Records {
    /// Returns the prefix of the boots of an organization, newest first.
    pub(crate) fn boots(&self, org: OrgId) -> Prefix<BootRecord> {
        self.grouped(&BOOTS, &[org.as_bytes()])
    }

    pub(crate) fn boot(&self, org: OrgId, id: BootId) -> Key<BootRecord> {
        // Ids ascend with time; their complement makes a scan begin with the newest.
        self.boots(org).key(&id.as_bytes().map(|byte| !byte))
    }

    pub(crate) fn receipt(&self, org: OrgId, content: &Digest) -> Key<ReceiptRecord> {
        self.hashed(&RECEIPTS, &[org.as_bytes(), content.as_bytes()])
    }

    /// Returns the key of the latest boot of a machine.
    pub(crate) fn machine(&self, org: OrgId, machine: &str) -> Key<MachineRecord> {
        self.hashed(&MACHINES, &[org.as_bytes(), machine.as_bytes()])
    }

    /// Returns the key of an attempt to boot with a ticket of limited uses.
    pub(crate) fn attempt(&self, ticket: TicketId, attempt: &str) -> Key<AttemptRecord> {
        self.hashed(&ATTEMPTS, &[ticket.as_bytes(), attempt.as_bytes()])
    }
}

/// A boot.
#[derive(Clone)]
pub(crate) struct BootRecord {
    pub(crate) id: BootId,
    pub(crate) ticket: TicketId,
    /// The member, and its name at the time.
    pub(crate) member: (MemberId, MemberName),
    pub(crate) at: Timestamp,
    pub(crate) source: Option<IpAddr>,
    pub(crate) machine: Option<String>,
    pub(crate) kernel_boot: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) agent: Option<String>,
    /// The digest of the [`ReceiptRecord`]: the same for all boots that were given the same.
    pub(crate) content: Digest,
    pub(crate) revision: u64,
    /// What the agent checks.
    pub(crate) digest: Digest,
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) variables: Option<u32>,
    pub(crate) state: BootState,
}

stored! {
    StoredBootV1 = BootRecord {
        id: [u8; 16],
        ticket: [u8; 16],
        member: ([u8; 16], String),
        at: i64,
        source: Option<String>,
        machine: Option<String>,
        kernel_boot: Option<String>,
        host: Option<String>,
        agent: Option<String>,
        content: [u8; 32],
        revision: u64,
        digest: [u8; 32],
        confirmed_at: Option<i64>,
        variables: Option<u32>,
        state: String,
    }
}

record! { BootRecord {} newest 1 => StoredBootV1 }

/// What boots were given, without the revision.
#[derive(Clone)]
pub(crate) struct ReceiptRecord {
    pub(crate) entries: Vec<ReceiptEntry>,
    pub(crate) skipped: Vec<Skipped>,
}

stored! {
    StoredShadowedV1 = Shadowed { id: [u8; 16], name: String, scope_kind: String, version: [u8; 16] }
}

stored! {
    StoredReceiptEntryV1 = ReceiptEntry {
        env: String,
        name: String,
        id: [u8; 16],
        scope: String,
        version: [u8; 16],
        kind: String,
        delivery: String,
        by: String,
        shadows: Vec<StoredShadowedV1>,
    }
}

stored! {
    StoredSkippedV1 = Skipped {
        id: [u8; 16],
        name: String,
        env: String,
        scope_kind: String,
        version: [u8; 16],
        reason: String,
    }
}

stored! {
    StoredReceiptV1 = ReceiptRecord { entries: Vec<StoredReceiptEntryV1>, skipped: Vec<StoredSkippedV1> }
}

record! { ReceiptRecord {} newest 1 => StoredReceiptV1 }

/// The latest boot of a machine whose kernel boot id is known.
#[derive(Clone)]
pub(crate) struct MachineRecord {
    pub(crate) at: Timestamp,
    pub(crate) kernel_boot: String,
}

stored! {
    StoredMachineV1 = MachineRecord { at: i64, kernel_boot: String }
}

record! { MachineRecord {} newest 1 => StoredMachineV1 }

/// An attempt that spent a use of its ticket.
#[derive(Clone)]
pub(crate) struct AttemptRecord {
    pub(crate) at: Timestamp,
}

stored! {
    StoredAttemptV1 = AttemptRecord { at: i64 }
}

record! { AttemptRecord {} newest 1 => StoredAttemptV1 }
