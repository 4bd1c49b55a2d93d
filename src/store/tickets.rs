//! Boot tickets: what a machine presents.

use std::collections::BTreeSet;
use std::time::Duration;

use super::error::Error;
use super::page::{Page, PageAsk};
use super::{Caller, Store};
use crate::domain::credential::Credential;
use crate::domain::id::TicketId;
use crate::domain::name::{Label, MemberName, PluginName};
use crate::domain::cidr::Cidr;
use crate::domain::time::Timestamp;

/// A ticket to be made.
#[derive(Clone, Debug, Default)]
pub struct NewTicket {
    /// The member it acts for; absent: the caller.
    pub member: Option<MemberName>,
    /// How long it lives; absent: until revoked.
    pub ttl: Option<Duration>,
    /// How many boots; absent: any number.
    pub uses: Option<u64>,
    /// Restricts boots to secrets of these plugins and of none; absent: no restriction.
    pub plugins: Option<BTreeSet<PluginName>>,
    /// Networks it may be used from; empty: any.
    pub sources: Vec<Cidr>,
    /// For people.
    pub label: Option<Label>,
}

/// A ticket as shown.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its id: the public part of the credential.
    pub id: TicketId,
    /// The member it acts for.
    pub member: MemberName,
    /// Who made it.
    pub author: MemberName,
    /// For people.
    pub label: Option<Label>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The limit of uses.
    pub uses: Option<u64>,
    /// Uses so far, when limited.
    pub used: Option<u64>,
    /// The plugins it is restricted to.
    pub plugins: Option<BTreeSet<PluginName>>,
    /// The networks it is restricted to.
    pub sources: Vec<Cidr>,
    /// Whether it would be accepted now, the source apart.
    pub usable: bool,
}

/// A new ticket. The credential exists nowhere else; the API puts it into a `BootTicket` with its own addresses.
#[derive(Debug)]
pub struct TicketIssued {
    /// The ticket.
    pub ticket: Ticket,
    /// Of kind `Ticket`.
    pub credential: Credential,
}

impl Store {
    /// Makes a ticket: a member for itself, an admin for any member. A repeated idempotency key is a conflict: the
    /// credential cannot be shown twice.
    pub async fn create_ticket(
        &self,
        caller: &Caller,
        new: NewTicket,
        idempotency: Option<&str>,
    ) -> Result<TicketIssued, Error> {
        let _ = (caller, new, idempotency);
        todo!()
    }

    /// Tickets that the caller may see, ascending by id; of one member when `member` says so.
    pub async fn list_tickets(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
        page: PageAsk,
    ) -> Result<Page<Ticket>, Error> {
        let _ = (caller, member, page);
        todo!()
    }

    /// One ticket.
    pub async fn ticket(&self, caller: &Caller, id: TicketId) -> Result<Ticket, Error> {
        let _ = (caller, id);
        todo!()
    }

    /// Revokes a ticket: no boot after this returns is answered.
    pub async fn revoke_ticket(&self, caller: &Caller, id: TicketId) -> Result<Ticket, Error> {
        let _ = (caller, id);
        todo!()
    }
}
