//! Boot tickets: the credentials of machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey, Target};
use crate::domain::cidr::Cidr;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{IdentityId, MemberId, OrgId, TicketId};
use crate::domain::identity::IdentityKind;
use crate::domain::name::{Label, MemberName, PluginName};
use crate::domain::resolve::ResolveRequest;
use crate::domain::role::{Action, MemberKind, OrgPolicy, Subject};
use crate::domain::time::Timestamp;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::active_counts::ActiveRecord;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::page::{Cursor, Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::rules::tokens::NewCredential;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::{self, TicketRecord, TokenRule};

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
        let id = credential.ticket_id();
        let event = caller.event(AuditAction::TicketCreate).about(target::ticket(id)).member(member, &name);
        let grant = TicketGrant::new(caller, org, author, member);
        self.recount_if_full::<TicketRecord>(org, author, &grant.policy).await?;
        let reads = vec![self.records().member(org, member).to_vec()];
        let made = self.journal().run(reads, move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| {
                let (hash, key) = (new_credential.hash(), new_credential.proof_key());
                let ticket = tx.store_ticket(&grant, id, &new, NewProof { hash, key, token: None })?;
                tx.audit(ticket.describe_limits(event.clone()));
                Ok(ticket)
            })
        });
        Ok(TicketIssued { ticket: self.show_ticket(made.await?).await?, credential })
    }

    /// Lists the tickets that the caller may see, ascending by id, or those of `member`. A page has no other identities, so that it may
    /// be short.
    pub async fn list_tickets(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
        page: PageAsk,
    ) -> Result<Page<Ticket>, Error> {
        let (mut tickets, next) =
            self.visible_tickets(caller, member, &page, AuditAction::TicketList).await?;
        tickets.retain(|ticket| ticket.kind() == IdentityKind::Ticket);
        // One read for all names of the page.
        let members = tickets.iter().flat_map(|ticket| [ticket.member, ticket.author]).collect();
        let members = self.members_by_id(caller.own_org()?, members).await?;
        let now = self.now();
        let items = tickets.into_iter().filter_map(|ticket| ticket.into_ticket(&members, now)).collect();
        Ok(Page { items, next })
    }

    /// A page of the tickets and other identities that the caller may see.
    pub(crate) async fn visible_tickets(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
        page: &PageAsk,
        audit_action: AuditAction,
    ) -> Result<(Vec<TicketRecord>, Option<Cursor>), Error> {
        let launcher = caller.kind() == Some(MemberKind::Launcher);
        let (id, _, subject) = self.represented_subject(caller, member, audit_action).await?;
        // Without a name, a launcher gets what it created. It has no tickets of its own.
        let subject = if launcher && member.is_none() { Subject::Accepted } else { subject };
        self.permit(caller, Action::ListTickets(subject), audit_action, None).await?;
        let (org, own) = caller.own_member()?;
        let sees = |of: &MemberId| match member {
            Some(_) => *of == id,
            // Without a name: all that the caller may see, such as those of the services that it manages.
            None => launcher || caller.may(Action::ListTickets(caller.subject(*of))),
        };
        let records = self.records();
        let index = if launcher { records.launcher_tickets(org, own) } else { records.tickets(org) };
        let (ids, next) = self.filtered_ids(&index, page, sees).await?;
        let keys: Vec<_> = ids.into_iter().map(|id| tickets::ticket(TicketId::from_bytes(id))).collect();
        let found = self.records().get_all(&keys).await?.into_iter().flatten();
        Ok((found.collect(), next))
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
        let event = caller.event(AuditAction::TicketRevoke).about(target::ticket(id));
        let ticket = self.revoke_identity_record(caller, found, event).await?;
        self.show_ticket(ticket).await
    }

    /// Revokes a ticket or another identity, and records `event`.
    pub(crate) async fn revoke_identity_record(
        &self,
        caller: &Caller,
        found: TicketRecord,
        event: AuditEvent,
    ) -> Result<TicketRecord, Error> {
        let action = Action::RevokeTicket(caller.subject_of_creation(found.member, Some(found.author)));
        self.permit(caller, action, event.action, event.target.clone()).await?;
        let event = event.detail(DetailKey::MemberId, found.member);
        let id = found.id;
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
        revoked.await
    }

    /// Returns the ticket if the caller may see it.
    async fn visible_ticket(&self, caller: &Caller, id: TicketId) -> Result<TicketRecord, Error> {
        match self.visible_identity(caller, id, AuditAction::TicketList).await {
            Ok(found) if found.kind() == IdentityKind::Ticket => Ok(found),
            Ok(_) | Err(Error::NotFound { .. }) => Err(Error::NotFound { what: "ticket" }),
            Err(error) => Err(error),
        }
    }

    /// Returns the ticket or other identity if the caller may see it.
    pub(crate) async fn visible_identity(
        &self,
        caller: &Caller,
        id: TicketId,
        audit_action: AuditAction,
    ) -> Result<TicketRecord, Error> {
        let org = caller.own_org()?;
        // One of another organization is as absent as one that does not exist.
        let found = self.records().get(&tickets::ticket(id)).await?.filter(|found| found.org == org);
        let sees = |found: &TicketRecord| {
            let subject = caller.subject_of_creation(found.member, Some(found.author));
            self.may_see(caller, Action::ListTickets(subject), audit_action, found.target())
        };
        found.filter(sees).ok_or(Error::NotFound { what: "identity" })
    }

    async fn show_ticket(&self, ticket: TicketRecord) -> Result<Ticket, Error> {
        let members = self.members_by_id(ticket.org, [ticket.member, ticket.author].into()).await?;
        ticket.into_ticket(&members, self.now()).ok_or(Error::NotFound { what: "ticket" })
    }
}

/// How a machine proves a new ticket or identity.
pub(crate) struct NewProof {
    /// The hash of its secret, or zeros.
    pub(crate) hash: [u8; 32],
    /// The key that its secret signs with.
    pub(crate) key: Option<[u8; 32]>,
    /// The tokens that it accepts.
    pub(crate) token: Option<TokenRule>,
}

/// For whom, and by whom, a ticket or another identity is made.
pub(crate) struct TicketGrant {
    org: OrgId,
    author: MemberId,
    member: MemberId,
    /// Whether the author is a launcher.
    launched: bool,
    pub(crate) policy: OrgPolicy,
}

impl TicketGrant {
    pub(crate) fn new(caller: &Caller, org: OrgId, author: MemberId, member: MemberId) -> Self {
        let launched = caller.kind() == Some(MemberKind::Launcher);
        Self { org, author, member, launched, policy: caller.policy().clone() }
    }
}

impl Tx<'_> {
    /// Stores a new ticket or another identity with its entries in indexes and counts. `proof`
    /// is how the machine proves it.
    pub(crate) fn store_ticket(
        &mut self,
        grant: &TicketGrant,
        id: TicketId,
        new: &NewTicket,
        proof: NewProof,
    ) -> Result<TicketRecord, Stop<Error>> {
        let &TicketGrant { org, author, member, launched, ref policy } = grant;
        // The member may have been removed since the caller was permitted, the author dismissed as its manager, or the
        // acceptance withdrawn.
        self.check_acts_for(org, author, member)?;
        if launched {
            self.put(&self.records().launcher_ticket(org, author, id), &member)?;
        }
        let mut ticket = TicketRecord {
            id,
            hash: proof.hash,
            org,
            member,
            author,
            label: new.label.clone(),
            created_at: self.now(),
            expires_at: new.ttl.map(|ttl| self.now().plus(ttl)),
            revoked_at: None,
            uses: new.uses,
            used: 0,
            plugins: new.plugins.clone(),
            sources: new.sources.clone(),
            lifetime: new.lifetime.map(|lifetime| lifetime.as_secs()),
            counted: false,
            inactive_at: None,
            proof_key: proof.key,
            token: proof.token,
        };
        self.count_active(org, &mut ticket, author, policy)?;
        self.put(&tickets::ticket(ticket.id), &ticket)?;
        // The index has the member, so that a filtered list reads no tickets that it does not return.
        self.put(&self.records().tickets(org).key(ticket.id.as_bytes()), &member)?;
        Ok(ticket)
    }
}

impl NewTicket {
    pub(crate) fn check(&self) -> Result<(), Error> {
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

    pub(crate) fn parts(&self) -> Vec<Vec<u8>> {
        // Only compared for equality, so that any unambiguous encoding will do.
        let all =
            (&self.member, self.ttl, self.uses, &self.plugins, &self.sources, self.lifetime, &self.label);
        vec![postcard::to_allocvec(&all).unwrap_or_default()]
    }
}

impl TicketRecord {
    /// Adds the ticket's limits to the entry of its creation.
    pub(crate) fn describe_limits(&self, mut event: AuditEvent) -> AuditEvent {
        if let Some(at) = self.expires_at {
            event = event.detail(DetailKey::Expires, at);
        }
        if let Some(uses) = self.uses {
            event = event.detail(DetailKey::Uses, AuditText::number(uses));
        }
        event
    }

    /// Its id, as audit entries name the credential that acted.
    pub(crate) fn credential_text(&self) -> AuditText {
        match self.kind() {
            IdentityKind::Ticket => self.id.into(),
            IdentityKind::Jwt => IdentityId::from(self.id).into(),
        }
    }

    /// What an audit entry is about.
    pub(crate) fn target(&self) -> Target {
        match self.kind() {
            IdentityKind::Ticket => target::ticket(self.id),
            IdentityKind::Jwt => target::identity(self.id.into()),
        }
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
    pub(crate) fn into_ticket(
        self,
        members: &BTreeMap<MemberId, MemberRecord>,
        now: Timestamp,
    ) -> Option<Ticket> {
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
