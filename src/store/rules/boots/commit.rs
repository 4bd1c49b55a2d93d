//! The transaction of a boot: the ticket is checked again, its use spent, and the boot, its receipt and its audit entry stored.

use std::sync::Arc;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::boot::BootState;
use crate::domain::id::BootId;
use crate::domain::role::{Denied, Role};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::boots::BootError;
use crate::store::rules::boots::open::OpenedScope;
use crate::store::rules::boots::release::PendingBoot;
use crate::store::rules::boots::scope_cache::{ScopeSnapshot, VersionStamp};
use crate::store::rules::store::Store;
use crate::store::tables::boots::{AttemptRecord, BootRecord, MachineRecord, ReceiptRecord};
use crate::store::tables::tickets;
use crate::store::tables::tickets::TicketRecord;

/// The transaction of a boot.
pub(crate) struct BootCommit {
    ticket: Arc<TicketRecord>,
    pub(crate) record: BootRecord,
    /// Where tries of the same boot find each other. `None` for a ticket without a limit, or without an attempt key.
    attempt: Option<Key<AttemptRecord>>,
    /// `None` if it is stored already.
    receipt: Option<ReceiptRecord>,
    event: AuditEvent,
    /// The scope that must not have changed.
    expected: Option<ScopeSnapshot>,
    /// Added to the byte store's revisions.
    revision_base: u64,
}

/// The ticket as the transaction reads it.
struct CheckedTicket {
    key: Key<TicketRecord>,
    record: TicketRecord,
    /// Whether an earlier try of this boot has spent a use.
    is_retry: bool,
}

impl BootCommit {
    pub(crate) fn new(
        store: &Store,
        boot: &PendingBoot<'_>,
        expected: Option<ScopeSnapshot>,
        opened: &OpenedScope,
    ) -> Result<Self, Failure> {
        let PendingBoot { caller, ask, ticket, .. } = boot;
        let records = store.records();
        let mut event = caller
            .event(AuditAction::Boot)
            .detail(DetailKey::Ticket, ticket.id)
            .detail(DetailKey::Count, AuditText::number(opened.receipt.count() as u64))
            .detail(DetailKey::Digest, opened.digest);
        if let Some(host) = &ask.host {
            event = event.detail(DetailKey::Host, AuditText::reported_host(host));
        }
        // Only a limited ticket has uses that a second try could spend again.
        let attempt = ask.attempt.as_ref().filter(|_| ticket.uses.is_some());
        let is_stored = store.inner.seen_receipts.has(ticket.org, &opened.content);
        Ok(Self {
            ticket: Arc::clone(ticket),
            record: new_record(store, boot, opened)?,
            attempt: attempt.map(|attempt| records.attempt(ticket.id, attempt)),
            receipt: (!is_stored).then(|| ReceiptRecord::of(&opened.receipt)),
            event,
            expected,
            // The transaction knows only revisions of the byte store.
            revision_base: store.revision(0),
        })
    }

    fn stamps(&self) -> impl Iterator<Item = &VersionStamp> {
        self.expected.iter().flat_map(ScopeSnapshot::stamps)
    }

    /// The keys that the transaction reads.
    pub(crate) fn reads(&self, store: &Store) -> Vec<Vec<u8>> {
        let member = store.records().member(self.ticket.org, self.ticket.member);
        let mut reads = vec![tickets::ticket(self.ticket.id).to_vec(), member.to_vec()];
        reads.extend(self.stamps().map(|stamp| stamp.key.clone()));
        reads.extend(self.attempt.as_ref().map(Key::to_vec));
        reads
    }

    /// Returns the store's revision of the boot, or `None` if the expected scope has changed.
    pub(crate) fn run(&self, tx: &mut Tx<'_>) -> Result<Option<Revision>, Stop<BootError>> {
        let ticket = self.check_ticket(tx)?;
        // Before any write: this outcome stores nothing and spends nothing.
        if self.has_scope_changed(tx)? {
            return Ok(None);
        }
        let revision = self.revision_base + tx.revision();
        self.spend_use(tx, ticket)?;
        self.store_boot(tx, revision)?;
        let event = self.event.clone().detail(DetailKey::Revision, AuditText::number(revision));
        tx.audit(event.about(target::boot(self.record.id)));
        Ok(Some(revision))
    }

    /// Reads the ticket again, and refuses the boot if the ticket or its member no longer allows it.
    fn check_ticket(&self, tx: &mut Tx<'_>) -> Result<CheckedTicket, Stop<BootError>> {
        let key = tickets::ticket(self.ticket.id);
        let member_key = tx.records().member(self.ticket.org, self.ticket.member);
        // The commit fails if either changes after this: a revocation that was acknowledged stops every later boot.
        tx.need([key.to_vec(), member_key.to_vec()])?;
        let record = tx.get(&key)?.ok_or(Stop::Refused(BootError::Revoked))?;
        let member = tx.get(&member_key)?.ok_or(Failure::Corrupt)?;
        let is_retry = match &self.attempt {
            Some(attempt) => tx.get(attempt)?.is_some_and(|earlier| !earlier.is_over(tx.now())),
            None => false,
        };
        let refusal = match &record {
            TicketRecord { revoked_at: Some(_), .. } => Some(BootError::Revoked),
            _ if member.removed_at.is_some() => Some(BootError::Revoked),
            _ if member.role == Role::Auditor => Some(Denied::AuditorReads.into()),
            TicketRecord { expires_at: Some(at), .. } if *at <= tx.now() => Some(BootError::Expired),
            _ if record.uses_left() == Some(0) && !is_retry => Some(BootError::TicketSpent),
            _ => None,
        };
        if let Some(error) = refusal {
            tx.audit(self.event.clone().about(target::ticket(record.id)).denied(error.code()));
            return Err(Stop::Refused(error));
        }
        Ok(CheckedTicket { key, record, is_retry })
    }

    fn has_scope_changed(&self, tx: &mut Tx<'_>) -> Result<bool, Stop<BootError>> {
        for stamp in self.stamps() {
            if tx.written_at(&stamp.key)? != stamp.at {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts a use of a limited ticket, once for all tries of the same boot.
    fn spend_use(&self, tx: &mut Tx<'_>, ticket: CheckedTicket) -> Result<(), Stop<BootError>> {
        let CheckedTicket { key, mut record, is_retry } = ticket;
        if record.uses.is_none() || is_retry {
            return Ok(());
        }
        record.used += 1;
        tx.put(&key, &record)?;
        if let Some(attempt) = &self.attempt {
            tx.put(attempt, &AttemptRecord { at: tx.now() })?;
        }
        Ok(())
    }

    fn store_boot(&self, tx: &mut Tx<'_>, revision: Revision) -> Result<(), Stop<BootError>> {
        let (org, records) = (self.ticket.org, tx.records());
        let record = BootRecord { revision, ..self.record.clone() };
        tx.put(&records.boot(org, record.id), &record)?;
        // Written again by each process that has not seen it yet. The content is the same.
        if let Some(receipt) = &self.receipt {
            tx.put(&records.receipt(org, &record.content), receipt)?;
        }
        // Tells that earlier boots of this machine are over.
        if let (Some(machine), Some(kernel_boot)) = (&record.machine, &record.kernel_boot) {
            let latest = MachineRecord { at: record.at, kernel_boot: kernel_boot.clone() };
            tx.put(&records.machine(org, machine), &latest)?;
        }
        Ok(())
    }
}

/// The record of a boot before its commit.
fn new_record(store: &Store, boot: &PendingBoot<'_>, opened: &OpenedScope) -> Result<BootRecord, Failure> {
    let PendingBoot { caller, ask, ticket, .. } = boot;
    let (member, name) = caller.member().ok_or(Failure::Internal)?;
    let at = store.now();
    Ok(BootRecord {
        id: boot_id(at, store.records().random_bytes()),
        ticket: ticket.id,
        member: (member, name.clone()),
        at,
        source: caller.source(),
        machine: ask.machine.clone(),
        kernel_boot: ask.kernel_boot.clone(),
        host: ask.host.clone(),
        agent: ask.agent.clone(),
        content: opened.content,
        // Known only in the transaction, which sets it.
        revision: 0,
        digest: opened.digest,
        confirmed_at: None,
        variables: None,
        state: BootState::Released,
    })
}

/// A boot's id: 48 bits of milliseconds and 80 random ones.
fn boot_id(at: Timestamp, random: [u8; 10]) -> BootId {
    // Ids ascend with time, so that the records of boots are sorted by time without an index.
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.as_millis().to_be_bytes()[2..]);
    id[6..].copy_from_slice(&random);
    BootId::from_bytes(id)
}
