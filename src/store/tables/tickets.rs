//! Boot tickets and the other identities of machines, and the members that they act for. A ticket is an identity whose proof is a
//! secret, so that all kinds share one table, its limits and its indexes.

use std::collections::BTreeSet;

use crate::domain::cidr::Cidr;
use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::identity::IdentityKind;
use crate::domain::jwt::ClaimRule;
use crate::domain::name::{IssuerName, Label, PluginName};
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

/// A ticket or another identity.
#[derive(Clone)]
pub(crate) struct TicketRecord {
    pub(crate) id: TicketId,
    /// The hash of a ticket's secret. No secret has the hash of zeros, which the other kinds have.
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
    /// What the token of an issuer must say. `None` for a ticket.
    pub(crate) token: Option<TokenRule>,
}

/// The tokens of an issuer that an identity accepts.
#[derive(Clone)]
pub(crate) struct TokenRule {
    /// The template that it was made from.
    pub(crate) template: String,
    /// An issuer of the organization. `None`: the public issuer that the template names.
    pub(crate) issuer: Option<IssuerName>,
    /// The digest of the issuer's URL, authorities and keys that a person has confirmed.
    pub(crate) issuer_digest: [u8; 32],
    /// `None`: that of the store.
    pub(crate) audience: Option<String>,
    pub(crate) claims: Vec<ClaimRule>,
    pub(crate) services: Option<ServiceClaim>,
    /// Whether each token boots once.
    pub(crate) single_use: bool,
}

/// A claim that names the service to act for, among these.
#[derive(Clone)]
pub(crate) struct ServiceClaim {
    pub(crate) pointer: String,
    pub(crate) services: BTreeSet<MemberId>,
}

impl TicketRecord {
    /// The services that a claim may name. Empty without such a claim.
    pub(crate) fn services(&self) -> BTreeSet<MemberId> {
        let claim = self.token.as_ref().and_then(|rule| rule.services.as_ref());
        claim.map(|claim| claim.services.clone()).unwrap_or_default()
    }

    /// Keeps the services that pass `keep`.
    pub(crate) fn retain_services(&mut self, keep: impl Fn(MemberId) -> bool) {
        if let Some(claim) = self.token.as_mut().and_then(|rule| rule.services.as_mut()) {
            claim.services.retain(|service| keep(*service));
        }
    }

    pub(crate) fn kind(&self) -> IdentityKind {
        if self.token.is_some() { IdentityKind::Jwt } else { IdentityKind::Ticket }
    }
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
    before { lifetime: None, counted: false, inactive_at: None, proof_key: None, token: None }
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
    before { proof_key: None, token: None }
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
        token: Option<StoredTokenRuleV1>,
    }
}

stored! {
    StoredTokenRuleV1 = TokenRule {
        template: String,
        issuer: Option<String>,
        issuer_digest: [u8; 32],
        audience: Option<String>,
        claims: Vec<StoredClaimRuleV1>,
        services: Option<StoredServiceClaimV1>,
        single_use: bool,
    }
}

stored! {
    StoredServiceClaimV1 = ServiceClaim { pointer: String, services: Vec<[u8; 16]> }
}

stored! {
    StoredClaimRuleV1 = ClaimRule { pointer: String, value: String, prefix: bool }
}

record! { TicketRecord { 1 => StoredTicketV1, 2 => StoredTicketV2, } newest 3 => StoredTicketV3 }
