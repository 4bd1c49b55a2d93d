//! Boot tickets: the credentials of machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::cidr::Cidr;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{MemberId, TicketId};
use crate::domain::name::{Label, MemberName, PluginName};
use crate::domain::resolve::ResolveRequest;
use crate::domain::role::{Action, MemberKind, Subject};
use crate::domain::time::Timestamp;
use crate::store::engine::journal::Stop;
use crate::store::rules::active_counts::ActiveRecord;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::rules::tokens::NewCredential;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::{self, TicketRecord};

/// Plugins or networks of one ticket at most: a ticket is read at each boot.
const MAX_LIST: usize = 100;

/// A ticket to create.
#[derive(Clone, Debug, Default)]
pub struct NewTicket {
    /// The member that it acts for. Absent: the caller.
    pub member: Option<MemberName>,
    /// How long it is valid. Absent: until it is revoked.
    pub ttl: Option<Duration>,
    /// How many boots it allows. Absent: any number.
    pub uses: Option<u64>,
    /// Restricts boots to secrets of these plugins and of no plugin. Absent: no restriction.
    pub plugins: Option<BTreeSet<PluginName>>,
    /// The networks that it may be used from. Empty: any.
    pub sources: Vec<Cidr>,
    /// How long a boot with it counts as running at most. Absent: until its end is reported.
    pub lifetime: Option<Duration>,
    /// A note for people.
    pub label: Option<Label>,
}

/// A ticket without its secret part.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its id: the public part of the credential.
    pub id: TicketId,
    /// The member that it acts for.
    pub member: MemberName,
    /// The member who created it.
    pub author: MemberName,
    /// A note for people.
    pub label: Option<Label>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The limit of boots.
    pub uses: Option<u64>,
    /// Boots so far. Absent without a limit.
    pub used: Option<u64>,
    /// The plugins it is restricted to.
    pub plugins: Option<BTreeSet<PluginName>>,
    /// The networks it is restricted to.
    pub sources: Vec<Cidr>,
    /// Seconds after which each boot with it is over.
    pub lifetime: Option<u64>,
    /// Whether a boot from an allowed network would accept it now.
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
    /// Creates a ticket: a member for itself and for the services that it manages, a launcher for those who accepted it. A
    /// repeated idempotency key is a conflict, because the credential cannot be shown twice.
    pub async fn create_ticket(
        &self,
        caller: &Caller,
        new: NewTicket,
        idempotency: Option<&str>,
    ) -> Result<TicketIssued, Error> {
        // The permission depends on the member that the ticket acts for.
        let (member, name, subject) =
            self.represented_subject(caller, new.member.as_ref(), AuditAction::TicketCreate).await?;
        let about = Some(target::member(member, &name));
        self.permit(caller, Action::CreateTicket(subject), AuditAction::TicketCreate, about).await?;
        new.check()?;
        let (org, own) = caller.own_member()?;
        let author = caller.author_of_creations().unwrap_or(own);
        let request = RepeatableRequest { operation: "create ticket", parts: new.parts(), value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let new_credential = NewCredential::new(self, CredentialKind::Ticket);
        let credential = new_credential.credential();
        let (id, launched) = (credential.ticket_id(), caller.kind() == Some(MemberKind::Launcher));
        let event = caller.event(AuditAction::TicketCreate).about(target::ticket(id)).member(member, &name);
        let policy = caller.policy().clone();
        self.recount_if_full::<TicketRecord>(org, author, &policy).await?;
        let reads = vec![self.records().member(org, member).to_vec()];
        let made = self.journal().run(reads, move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| {
                // The member may have been removed since the check above, the author dismissed as its manager, or the
                // acceptance withdrawn.
                tx.check_acts_for(org, author, member)?;
                if launched {
                    tx.put(&tx.records().launcher_ticket(org, author, id), &member)?;
                }
                let mut ticket = TicketRecord {
                    id,
                    hash: new_credential.hash(),
                    org,
                    member,
                    author,
                    label: new.label.clone(),
                    created_at: tx.now(),
                    expires_at: new.ttl.map(|ttl| tx.now().plus(ttl)),
                    revoked_at: None,
                    uses: new.uses,
                    used: 0,
                    plugins: new.plugins.clone(),
                    sources: new.sources.clone(),
                    lifetime: new.lifetime.map(|lifetime| lifetime.as_secs()),
                    counted: false,
                    inactive_at: None,
                    proof_key: new_credential.proof_key(),
                };
                tx.count_active(org, &mut ticket, author, &policy)?;
                tx.put(&tickets::ticket(ticket.id), &ticket)?;
                // The index has the member, so that a filtered list reads no tickets that it does not return.
                tx.put(&tx.records().tickets(org).key(ticket.id.as_bytes()), &member)?;
                tx.audit(ticket.describe_limits(event.clone()));
                Ok(ticket)
            })
        });
        Ok(TicketIssued { ticket: self.show_ticket(made.await?).await?, credential })
    }

    /// Lists the tickets that the caller may see, ascending by id, or those of `member`.
    pub async fn list_tickets(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
        page: PageAsk,
    ) -> Result<Page<Ticket>, Error> {
        let launcher = caller.kind() == Some(MemberKind::Launcher);
        let (id, _, subject) = self.represented_subject(caller, member, AuditAction::TicketList).await?;
        // Without a name, a launcher gets what it created. It has no tickets of its own.
        let subject = if launcher && member.is_none() { Subject::Accepted } else { subject };
        self.permit(caller, Action::ListTickets(subject), AuditAction::TicketList, None).await?;
        let (org, own) = caller.own_member()?;
        let sees = |of: &MemberId| match member {
            Some(_) => *of == id,
            // Without a name: all that the caller may see, such as those of the services that it manages.
            None => launcher || caller.may(Action::ListTickets(caller.subject(*of))),
        };
        let records = self.records();
        let index = if launcher { records.launcher_tickets(org, own) } else { records.tickets(org) };
        let (ids, next) = self.filtered_ids(&index, &page, sees).await?;
        let keys: Vec<_> = ids.into_iter().map(|id| tickets::ticket(TicketId::from_bytes(id))).collect();
        let tickets: Vec<TicketRecord> = self.records().get_all(&keys).await?.into_iter().flatten().collect();
        // One read for all names of the page.
        let members = tickets.iter().flat_map(|ticket| [ticket.member, ticket.author]).collect();
        let members = self.members_by_id(org, members).await?;
        let now = self.now();
        let items = tickets.into_iter().filter_map(|ticket| ticket.into_ticket(&members, now)).collect();
        Ok(Page { items, next })
    }

    /// Returns one ticket.
    pub async fn ticket(&self, caller: &Caller, id: TicketId) -> Result<Ticket, Error> {
        let ticket = self.visible_ticket(caller, id).await?;
        self.show_ticket(ticket).await
    }

    /// Revokes a ticket. After this returns, no boot with it succeeds.
    pub async fn revoke_ticket(&self, caller: &Caller, id: TicketId) -> Result<Ticket, Error> {
        // A caller who may see a ticket but not revoke it gets `forbidden`, and others get "not found".
        let found = self.visible_ticket(caller, id).await?;
        let about = Some(target::ticket(id));
        self.permit(
            caller,
            Action::RevokeTicket(caller.subject_of_creation(found.member, Some(found.author))),
            AuditAction::TicketRevoke,
            about,
        )
        .await?;
        let event = caller.event(AuditAction::TicketRevoke).about(target::ticket(id));
        let event = event.detail(DetailKey::MemberId, found.member);
        let key = tickets::ticket(id);
        let revoked = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut ticket: TicketRecord = tx.get(&key)?.ok_or(Error::NotFound { what: "ticket" })?;
            // The first revocation's time stays when another one was faster.
            ticket.revoked_at.get_or_insert(tx.now());
            tx.recount(ticket.org, &mut ticket)?;
            tx.put(&key, &ticket)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(ticket)
        });
        let ticket = revoked.await?;
        self.show_ticket(ticket).await
    }

    /// Returns the ticket if the caller may see it.
    async fn visible_ticket(&self, caller: &Caller, id: TicketId) -> Result<TicketRecord, Error> {
        let org = caller.own_org()?;
        // A ticket of another organization is as absent as one that does not exist.
        let ticket = self.records().get(&tickets::ticket(id)).await?.filter(|ticket| ticket.org == org);
        let sees = |ticket: &TicketRecord| {
            let subject = caller.subject_of_creation(ticket.member, Some(ticket.author));
            let action = Action::ListTickets(subject);
            self.may_see(caller, action, AuditAction::TicketList, target::ticket(id))
        };
        ticket.filter(sees).ok_or(Error::NotFound { what: "ticket" })
    }

    async fn show_ticket(&self, ticket: TicketRecord) -> Result<Ticket, Error> {
        let members = self.members_by_id(ticket.org, [ticket.member, ticket.author].into()).await?;
        ticket.into_ticket(&members, self.now()).ok_or(Error::NotFound { what: "ticket" })
    }
}

impl NewTicket {
    fn check(&self) -> Result<(), Error> {
        // It would be spent before its first boot.
        if self.uses == Some(0) {
            return Err(Error::Invalid { field: "uses", why: "it must be at least 1" });
        }
        if self.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(Error::Invalid { field: "ttl_seconds", why: "it must be at least 1" });
        }
        if self.lifetime.is_some_and(|lifetime| lifetime.as_secs() == 0) {
            return Err(Error::Invalid { field: "lifetime_seconds", why: "it must be at least 1" });
        }
        // A ticket is read at every boot, so that its size is a cost of every boot.
        if self.sources.len() > MAX_LIST {
            return Err(Error::Invalid { field: "sources", why: "there are more than 100" });
        }
        if self.plugins.as_ref().is_some_and(|plugins| plugins.len() > MAX_LIST) {
            return Err(Error::Invalid { field: "plugins", why: "there are more than 100" });
        }
        Ok(())
    }

    fn parts(&self) -> Vec<Vec<u8>> {
        // Only compared for equality, so that any unambiguous encoding will do.
        let all =
            (&self.member, self.ttl, self.uses, &self.plugins, &self.sources, self.lifetime, &self.label);
        vec![postcard::to_allocvec(&all).unwrap_or_default()]
    }
}

impl TicketRecord {
    /// Adds the ticket's limits to the entry of its creation.
    fn describe_limits(&self, mut event: AuditEvent) -> AuditEvent {
        if let Some(at) = self.expires_at {
            event = event.detail(DetailKey::Expires, at);
        }
        if let Some(uses) = self.uses {
            event = event.detail(DetailKey::Uses, AuditText::number(uses));
        }
        event
    }

    /// The uses that are left. `None` without a limit.
    pub(crate) fn uses_left(&self) -> Option<u64> {
        self.uses.map(|uses| uses.saturating_sub(self.used))
    }

    /// A boot's request within what the ticket allows.
    pub(crate) fn restrict(&self, request: &ResolveRequest) -> ResolveRequest {
        let plugins = match (&self.plugins, &request.plugins) {
            (Some(allowed), Some(running)) => Some(running.intersection(allowed).cloned().collect()),
            // A request that names no plugin asks for all of them, and gets those that are allowed.
            (Some(plugins), None) | (None, Some(plugins)) => Some(plugins.clone()),
            (None, None) => None,
        };
        ResolveRequest { plugins, ..request.clone() }
    }

    /// `None` if its member was removed: the ticket is gone with the member.
    fn into_ticket(self, members: &BTreeMap<MemberId, MemberRecord>, now: Timestamp) -> Option<Ticket> {
        let member = members.get(&self.member).filter(|member| member.removed_at.is_none())?.name.clone();
        // The record of a removed member stays, so that there is an author. The fallback is for damaged stores.
        let author = members.get(&self.author).map_or_else(|| member.clone(), |author| author.name.clone());
        let usable = self.is_active(now);
        Some(Ticket {
            id: self.id,
            member,
            author,
            label: self.label,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            uses: self.uses,
            used: self.uses.map(|_| self.used),
            plugins: self.plugins,
            sources: self.sources,
            lifetime: self.lifetime,
            usable,
        })
    }
}
