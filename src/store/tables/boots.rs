//! Boots, newest first; receipts, each for all boots that received the same; and attempts.
//!
//! The letter `h` belonged to a table of machines, which older stores still hold. A machine id is copied with an image, so
//! that it says nothing about the boots of other machines.

use std::net::IpAddr;

use crate::domain::boot::{BootEnd, BootState};
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
        // By content, so that boots share the record, also boots of different servers.
        self.hashed(&RECEIPTS, &[org.as_bytes(), content.as_bytes()])
    }

    /// Returns the key of an attempt to boot with a ticket.
    pub(crate) fn attempt(&self, ticket: TicketId, attempt: &str) -> Key<AttemptRecord> {
        // The ticket is a part, so that the keys of two tickets never meet.
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
    /// The digest of the [`ReceiptRecord`] of the last try: the same for all boots that received the same.
    pub(crate) content: Digest,
    pub(crate) revision: u64,
    /// What the agent checks.
    pub(crate) digest: Digest,
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) variables: Option<u32>,
    pub(crate) state: BootState,
    /// The content and the digest of each earlier try that received something else.
    pub(crate) earlier: Vec<(Digest, Digest)>,
    /// The author of the ticket. `None` in a record of an older format.
    pub(crate) author: Option<MemberId>,
    /// The name of the workload, as the request gave it.
    pub(crate) workload: Option<String>,
    /// Whether the agent said that it reports the end.
    pub(crate) reports_end: bool,
    /// When the lifetime that the ticket declares passes.
    pub(crate) lifetime_ends_at: Option<Timestamp>,
    /// The reported end.
    pub(crate) end: Option<BootEnd>,
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
    before {
        earlier: Vec::new(),
        author: None,
        workload: None,
        reports_end: false,
        lifetime_ends_at: None,
        end: None,
    }
}

stored! {
    StoredBootEndV1 = BootEnd { at: i64, source: String, status: Option<u8> }
}

stored! {
    StoredBootV2 = BootRecord {
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
        earlier: Vec<([u8; 32], [u8; 32])>,
        author: Option<[u8; 16]>,
        workload: Option<String>,
        reports_end: bool,
        lifetime_ends_at: Option<i64>,
        end: Option<StoredBootEndV1>,
    }
}

record! { BootRecord { 1 => StoredBootV1, } newest 2 => StoredBootV2 }

/// A receipt without its revision.
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

/// The tries of one boot: requests with the same attempt key, which bring back a lost response.
#[derive(Clone)]
pub(crate) struct AttemptRecord {
    /// When the first try was made.
    pub(crate) at: Timestamp,
    /// `None` in a record of the older format, which bound an attempt to no boot.
    pub(crate) boot: Option<BootId>,
    /// The keyed hash of the machine and its request.
    pub(crate) request: [u8; 16],
    pub(crate) tries: u32,
}

stored! {
    StoredAttemptV1 = AttemptRecord { at: i64 }
    before { boot: None, request: [0; 16], tries: 1 }
}

stored! {
    StoredAttemptV2 = AttemptRecord { at: i64, boot: Option<[u8; 16]>, request: [u8; 16], tries: u32 }
}

record! { AttemptRecord { 1 => StoredAttemptV1, } newest 2 => StoredAttemptV2 }
