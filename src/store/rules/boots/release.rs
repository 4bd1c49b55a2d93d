//! The release: decide, open, make durable, answer, in this order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::boot::BootState;
use crate::domain::id::{BootId, MemberId};
use crate::domain::name::MemberName;
use crate::domain::resolve::ResolveRequest;
use crate::domain::role::{Action, Denied, Role};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{Tell, target};
use crate::store::rules::auth::Caller;
use crate::store::rules::boots::kept::{Basis, Mark};
use crate::store::rules::boots::open::{NotOpened, Opened};
use crate::store::rules::boots::record::{AttemptRecord, BootRecord, MachineRecord, ReceiptRecord};
use crate::store::rules::boots::{BootAsk, BootError, Explained, Released};
use crate::store::rules::store::Store;
use crate::store::rules::tickets::TicketRecord;
use crate::store::tables::keyspace;

/// Looks at the scope while its secrets keep being replaced.
const LOOKS: usize = 8;
/// Of those, the ones whose commit makes sure that nothing has changed since. What was kept has to be made sure of; what was
/// read for this very boot is as good as any, and a boot must not wait until a scope is left alone.
const SURE: usize = 3;

impl Store {
    /// The release. The ticket's use, the record of the boot and its audit entry are durable before this returns; when
    /// anything fails, nothing is released and nothing spent.
    pub async fn boot(&self, caller: &Caller, ask: BootAsk) -> Result<Released, BootError> {
        self.permit(caller, Action::Boot, AuditAction::Boot, None).await?;
        ask.check()?;
        let (org, member) = caller.own_member()?;
        let ticket = Arc::clone(caller.ticket_record().ok_or(Denied::NeedsTicket)?);
        let refused = match self.release() {
            None => Err(BootError::Locked),
            Some(_) if ticket.uses_left() == Some(0) && !self.was_tried(&ticket, &ask).await? => {
                Err(BootError::TicketSpent)
            }
            Some(release) => Ok(release),
        };
        let mut release = match refused {
            Ok(release) => release,
            Err(error) => {
                let event = caller.event(AuditAction::Boot).about(target::ticket(ticket.id));
                self.record_denial(event.denied(error.code())).await;
                return Err(error);
            }
        };

        let request = within(&ask.request, &ticket);
        let mut kept = self.inner.kept.basis(org, member);
        for look in 0..LOOKS {
            let basis = match kept.take() {
                Some(basis) => basis,
                None => self.read_basis(org, member).await?,
            };
            let opened = match self.opened(&release, (org, member), basis.clone(), &request).await {
                Ok(opened) => opened,
                Err(NotOpened::Changed) => continue,
                Err(NotOpened::Failed(failure)) => return Err(failure.into()),
                Err(NotOpened::Locked) => match self.newer_release(&release).await? {
                    Some(newer) => {
                        release = newer;
                        continue;
                    }
                    // What is kept may be of a generation that is gone.
                    None if self.is_outdated(&basis).await? => continue,
                    None => {
                        // Another process has re-encrypted everything, and the slot that opened this one is gone.
                        self.set_release(None);
                        return Err(BootError::Locked);
                    }
                },
            };
            let sure = (look < SURE).then_some(basis);
            if let Some(released) = self.make_durable(caller, &ask, &ticket, sure, opened).await? {
                return Ok(released);
            }
        }
        Err(Failure::Conflict.into())
    }

    /// Whether something that was decided from has changed since.
    async fn is_outdated(&self, basis: &Basis) -> Result<bool, Failure> {
        let keys = basis.marks().map(|mark| mark.key.clone()).to_vec();
        let now = self.records().snapshot(keys).await?;
        Ok(basis.marks().iter().enumerate().any(|(i, mark)| now.written_at(i) != mark.at))
    }

    /// Stores the boot and everything that goes with it. None when what it was decided from, and is to be made sure of, has
    /// changed: then nothing was stored.
    async fn make_durable(
        &self,
        caller: &Caller,
        ask: &BootAsk,
        ticket: &Arc<TicketRecord>,
        basis: Option<Basis>,
        opened: Opened,
    ) -> Result<Option<Released>, BootError> {
        let (name, member) = match (caller.org(), caller.member()) {
            (Some((_, org)), Some((_, member))) => (org.clone(), member.clone()),
            _ => return Err(Failure::Internal.into()),
        };
        let commit = Commit::new(self, caller, ask, ticket, &opened, basis)?;
        let Opened { mut receipt, content, values, .. } = opened;
        let (boot, at, org) = (commit.record.id, commit.record.at, ticket.org);
        let mut reads =
            vec![keyspace::ticket(ticket.id).to_vec(), self.records().member(org, ticket.member).to_vec()];
        reads.extend(commit.marks().map(|mark| mark.key.clone()));
        reads.extend(commit.attempt.as_ref().map(Key::to_vec));
        let Some(revision) = self.journal().run(reads, move |tx| commit.run(tx)).await? else {
            return Ok(None);
        };
        self.inner.seen_receipts.add(org, content);
        receipt.revision = revision;
        Ok(Some(Released { boot, org: name, member, at, receipt, values }))
    }

    /// Whether this is another try of a boot whose use was spent.
    async fn was_tried(&self, ticket: &TicketRecord, ask: &BootAsk) -> Result<bool, Failure> {
        let Some(attempt) = &ask.attempt else { return Ok(false) };
        let tried = self.records().get(&self.records().attempt(ticket.id, attempt)).await?;
        Ok(tried.is_some_and(|tried| !tried.is_over(self.now())))
    }

    /// What a boot would be given, and why. Spends nothing, opens nothing, works locked. For a ticket, or a member.
    pub async fn explain(&self, caller: &Caller, ask: BootAsk) -> Result<Explained, BootError> {
        let told = AuditAction::BootExplain;
        let (org, member) = self.insider(caller, told).await?;
        self.permit(caller, Action::Explain(member), told, None).await?;
        ask.check()?;
        let ticket = caller.ticket_record();
        let request = ticket.map_or_else(|| ask.request.clone(), |ticket| within(&ask.request, ticket));
        let mut receipt = self.read_basis(org, member).await?.resolve(&request, &BTreeMap::new());
        let (_, now) = self.records().kv.get(&[]).await.map_err(Failure::from)?;
        receipt.revision = self.revision(now);
        let event = caller.event(told).target(ticket.map(|ticket| target::ticket(ticket.id)));
        let count = AuditText::number(receipt.count() as u64);
        self.journal().record(vec![event.detail(DetailKey::Count, count)]).await?;
        let (name, member) = match (caller.org(), caller.member()) {
            (Some((_, org)), Some((_, member))) => (org.clone(), member.clone()),
            _ => return Err(Failure::Internal.into()),
        };
        Ok(Explained {
            org: name,
            member,
            receipt,
            locked: self.is_locked(),
            uses_left: ticket.and_then(|ticket| ticket.uses_left()),
            expires_at: ticket.and_then(|ticket| ticket.expires_at),
        })
    }
}

/// The request within what its ticket is restricted to.
fn within(request: &ResolveRequest, ticket: &TicketRecord) -> ResolveRequest {
    let plugins = match (&ticket.plugins, &request.plugins) {
        (Some(allowed), Some(running)) => Some(running.intersection(allowed).cloned().collect()),
        (Some(plugins), None) | (None, Some(plugins)) => Some(plugins.clone()),
        (None, None) => None,
    };
    ResolveRequest { plugins, ..request.clone() }
}

/// What makes a boot durable.
struct Commit {
    ticket: Arc<TicketRecord>,
    record: BootRecord,
    /// Of a ticket of limited use, when the caller told its tries apart from its boots.
    attempt: Option<Key<AttemptRecord>>,
    /// None when it is stored already.
    receipt: Option<ReceiptRecord>,
    event: AuditEvent,
    /// What must not have changed.
    basis: Option<Basis>,
    /// Added to the byte store's revisions.
    revision_base: u64,
}

impl Commit {
    fn new(
        store: &Store,
        caller: &Caller,
        ask: &BootAsk,
        ticket: &Arc<TicketRecord>,
        Opened { receipt, digest, content, .. }: &Opened,
        basis: Option<Basis>,
    ) -> Result<Self, Failure> {
        let (digest, content) = (*digest, *content);
        let (id, name) = caller.member().ok_or(Failure::Internal)?;
        let member: (MemberId, MemberName) = (id, name.clone());
        let at = store.now();
        let mut event = caller
            .event(AuditAction::Boot)
            .detail(DetailKey::Ticket, ticket.id)
            .detail(DetailKey::Count, AuditText::number(receipt.count() as u64))
            .detail(DetailKey::Digest, digest);
        if let Some(host) = &ask.host {
            event = event.detail(DetailKey::Host, AuditText::reported_host(host));
        }
        let tells = |attempt: &String| store.records().attempt(ticket.id, attempt);
        let attempt = ask.attempt.as_ref().filter(|_| ticket.uses.is_some()).map(tells);
        let record = BootRecord {
            id: boot_id(at, store.records().random_bytes()),
            ticket: ticket.id,
            member,
            at,
            source: caller.source(),
            machine: ask.machine.clone(),
            kernel_boot: ask.kernel_boot.clone(),
            host: ask.host.clone(),
            agent: ask.agent.clone(),
            content,
            // The commit says.
            revision: 0,
            digest,
            confirmed_at: None,
            variables: None,
            state: BootState::Released,
        };
        let stored = store.inner.seen_receipts.has(ticket.org, &content);
        let receipt = (!stored).then(|| ReceiptRecord::of(receipt));
        let revision_base = store.revision(0);
        Ok(Self { ticket: Arc::clone(ticket), record, attempt, receipt, event, basis, revision_base })
    }

    fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.basis.iter().flat_map(Basis::marks)
    }

    /// Answers the store's revision that the boot is of; none when it was decided from what is no more.
    fn run(&self, tx: &mut Tx<'_>) -> Result<Option<Revision>, Stop<BootError>> {
        let records = tx.records();
        let org = self.ticket.org;
        let key = keyspace::ticket(self.ticket.id);
        let member_key = records.member(org, self.ticket.member);
        tx.need([key.to_vec(), member_key.to_vec()])?;
        let mut ticket = tx.get(&key)?.ok_or(Stop::Refused(BootError::Revoked))?;
        let member = tx.get(&member_key)?.ok_or(Failure::Corrupt)?;
        let tried = match &self.attempt {
            Some(attempt) => tx.get(attempt)?.is_some_and(|tried| !tried.is_over(tx.now())),
            None => false,
        };
        let refused = match &ticket {
            TicketRecord { revoked_at: Some(_), .. } => Some(BootError::Revoked),
            _ if member.removed_at.is_some() => Some(BootError::Revoked),
            _ if member.role == Role::Auditor => Some(Denied::AuditorReads.into()),
            TicketRecord { expires_at: Some(at), .. } if *at <= tx.now() => Some(BootError::Expired),
            _ if ticket.uses_left() == Some(0) && !tried => Some(BootError::TicketSpent),
            _ => None,
        };
        if let Some(error) = refused {
            tx.audit(self.event.clone().about(target::ticket(ticket.id)).denied(error.code()));
            return Err(Stop::Refused(error));
        }
        for mark in self.marks() {
            if tx.written_at(&mark.key)? != mark.at {
                return Ok(None);
            }
        }
        let revision = self.revision_base + tx.revision();
        if ticket.uses.is_some() && !tried {
            ticket.used += 1;
            tx.put(&key, &ticket)?;
            if let Some(attempt) = &self.attempt {
                tx.put(attempt, &AttemptRecord { at: tx.now() })?;
            }
        }
        let record = BootRecord { revision, ..self.record.clone() };
        tx.put(&records.boot(org, record.id), &record)?;
        if let Some(receipt) = &self.receipt {
            tx.put(&records.receipt(org, &record.content), receipt)?;
        }
        if let (Some(machine), Some(kernel_boot)) = (&record.machine, &record.kernel_boot) {
            let latest = MachineRecord { at: record.at, kernel_boot: kernel_boot.clone() };
            tx.put(&records.machine(org, machine), &latest)?;
        }
        let event = self.event.clone().detail(DetailKey::Revision, AuditText::number(revision));
        tx.audit(event.about(target::boot(record.id)));
        Ok(Some(revision))
    }
}

/// Ids of boots ascend with time, so that their records are kept in that order: 48 bits of milliseconds, 80 random ones.
fn boot_id(at: Timestamp, random: [u8; 10]) -> BootId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.as_millis().to_be_bytes()[2..]);
    id[6..].copy_from_slice(&random);
    BootId::from_bytes(id)
}
