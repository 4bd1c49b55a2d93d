//! Boot tickets, and the members that they act for.

use std::collections::BTreeSet;

use crate::domain::cidr::Cidr;
use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::name::{Label, PluginName};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const TICKETS: Table = Table::new(b'k', "ticket");
pub(crate) const TICKET_MEMBERS: Table = Table::new(b'q', "tickets");

pub(crate) fn all_tickets() -> Prefix<TicketRecord> {
    TICKETS.all()
}

pub(crate) fn ticket(id: TicketId) -> Key<TicketRecord> {
    TICKETS.by_id(id.as_bytes())
}

impl Records {
    /// Returns the prefix of the tickets of an organization and the members that they act for.
    pub(crate) fn tickets(&self, org: OrgId) -> Prefix<MemberId> {
        self.grouped(&TICKET_MEMBERS, &[org.as_bytes()])
    }
}

/// A ticket. Only the hash of its secret is stored.
#[derive(Clone)]
pub(crate) struct TicketRecord {
    pub(crate) id: TicketId,
    pub(crate) hash: [u8; 32],
    pub(crate) org: OrgId,
    pub(crate) member: MemberId,
    pub(crate) author: MemberId,
    pub(crate) label: Option<Label>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) uses: Option<u64>,
    /// Counted only if uses are limited: a boot does not write an unlimited ticket.
    pub(crate) used: u64,
    pub(crate) plugins: Option<BTreeSet<PluginName>>,
    pub(crate) sources: Vec<Cidr>,
    /// Seconds after which each boot with it is over.
    pub(crate) lifetime: Option<u64>,
    /// Whether it is in the counts of its organization and its author. A ticket of an older version is not, until the background
    /// task has seen it.
    pub(crate) counted: bool,
    /// When it was found to be inactive. It is kept for a while from then on.
    pub(crate) inactive_at: Option<Timestamp>,
    /// The Ed25519 key that its secret signs with. `None` in a record of an older format: such a ticket is a bearer credential only.
    pub(crate) proof_key: Option<[u8; 32]>,
}

stored! {
    StoredTicketV1 = TicketRecord {
        id: [u8; 16],
        hash: [u8; 32],
        org: [u8; 16],
        member: [u8; 16],
        author: [u8; 16],
        label: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        uses: Option<u64>,
        used: u64,
        plugins: Option<Vec<String>>,
        sources: Vec<String>,
    }
    before { lifetime: None, counted: false, inactive_at: None, proof_key: None }
}

stored! {
    StoredTicketV2 = TicketRecord {
        id: [u8; 16],
        hash: [u8; 32],
        org: [u8; 16],
        member: [u8; 16],
        author: [u8; 16],
        label: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        uses: Option<u64>,
        used: u64,
        plugins: Option<Vec<String>>,
        sources: Vec<String>,
        lifetime: Option<u64>,
        counted: bool,
        inactive_at: Option<i64>,
    }
    before { proof_key: None }
}

stored! {
    StoredTicketV3 = TicketRecord {
        id: [u8; 16],
        hash: [u8; 32],
        org: [u8; 16],
        member: [u8; 16],
        author: [u8; 16],
        label: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        uses: Option<u64>,
        used: u64,
        plugins: Option<Vec<String>>,
        sources: Vec<String>,
        lifetime: Option<u64>,
        counted: bool,
        inactive_at: Option<i64>,
        proof_key: Option<[u8; 32]>,
    }
}

record! { TicketRecord { 1 => StoredTicketV1, 2 => StoredTicketV2, } newest 3 => StoredTicketV3 }
