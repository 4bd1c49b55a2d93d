//! The transaction of a boot: the ticket is checked again, its use spent, and the boot, its receipt and its audit entry stored.

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::sealed_release::statement::StatementHash;
use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::boot::BootState;
use crate::domain::id::BootId;
use crate::domain::resolve::SkipReason;
use crate::domain::role::{Denied, Role};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::boots::BootError;
use crate::store::rules::boots::attempt::{Attempt, EarlierTries};
use crate::store::rules::boots::open::OpenedScope;
use crate::store::rules::boots::release::PendingBoot;
use crate::store::rules::boots::scope_cache::{ScopeSnapshot, VersionStamp};
use crate::store::rules::store::Store;
use crate::store::tables::boots::{BootRecord, ReceiptRecord};
use crate::store::tables::holders::RunningRecord;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::{self, TicketRecord};

/// The transaction of a boot.
pub(crate) struct BootCommit {
    ticket: Arc<TicketRecord>,
    record: BootRecord,
    attempt: Option<Attempt>,
    /// What the caller's proof states.
    statement: Option<StatementHash>,
    /// `None` if it is stored already.
    receipt: Option<ReceiptRecord>,
    event: AuditEvent,
    /// The scope that must not have changed.
    expected: Option<ScopeSnapshot>,
    /// The store's revision is this plus the byte store's.
    revision_base: u64,
}

/// The result of the transaction.
pub(crate) struct CommittedBoot {
    pub(crate) id: BootId,
    /// When the first try was made.
    pub(crate) at: Timestamp,
    pub(crate) revision: Revision,
}

/// The ticket as the transaction reads it.
struct CheckedTicket {
    key: Key<TicketRecord>,
    record: TicketRecord,
    /// The tries of this boot before, which have spent its use.
    earlier: Option<EarlierTries>,
}

impl BootCommit {
    pub(crate) fn new(
        store: &Store,
        boot: &PendingBoot<'_>,
        expected: Option<ScopeSnapshot>,
        opened: &OpenedScope,
    ) -> Result<Self, Failure> {
        let PendingBoot { caller, ask, ticket, .. } = boot;
        let mut event = caller
            .event(AuditAction::Boot)
            .detail(DetailKey::Ticket, ticket.id)
            .detail(DetailKey::Count, AuditText::number(opened.receipt.count() as u64))
            .detail(DetailKey::Digest, opened.digest)
            // Binds the names and versions of what is released into the audit chain.
            .detail(DetailKey::Receipt, opened.content);
        let unusable = opened.receipt.skipped.iter().filter(|skipped| skipped.reason == SkipReason::Unusable);
        let unusable: Vec<_> = unusable.map(|skipped| &skipped.env).collect();
        if !unusable.is_empty() {
            event = event.detail(DetailKey::Unusable, AuditText::names(&unusable));
        }
        if let Some(host) = &ask.host {
            event = event.detail(DetailKey::Host, AuditText::reported_host(host));
        }
        // Another process may store it meanwhile. Writing the same receipt twice does no harm.
        let is_stored = store.inner.seen_receipts.has(ticket.org, &opened.content);
        Ok(Self {
            ticket: Arc::clone(ticket),
            record: new_record(store, boot, opened)?,
            attempt: Attempt::new(store, boot),
            statement: caller.statement(),
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
        // Named in advance, so that all boots of a batch read their keys in one round.
        let mut reads = vec![tickets::ticket(self.ticket.id).to_vec(), member.to_vec()];
        reads.extend(self.author_key(store.records()).map(|key| key.to_vec()));
        reads.extend(self.stamps().map(|stamp| stamp.key.clone()));
        reads.extend(self.attempt.as_ref().map(|attempt| attempt.key.to_vec()));
        reads.extend(self.statement.map(|statement| store.records().executed(&statement).to_vec()));
        reads
    }

    /// The record of the ticket's author, unless that is the member. In the same read as the others.
    fn author_key(&self, records: &Records) -> Option<Key<MemberRecord>> {
        let TicketRecord { org, author, member, .. } = *self.ticket;
        (author != member).then(|| records.member(org, author))
    }

    /// Returns `None` if the expected scope has changed.
    pub(crate) fn run(&self, tx: &mut Tx<'_>) -> Result<Option<CommittedBoot>, Stop<BootError>> {
        let ticket = self.check_ticket(tx)?;
        // Before any write: this outcome stores nothing and spends nothing.
        if self.has_scope_changed(tx)? {
            return Ok(None);
        }
        if !tx.execute_once(self.statement.as_ref())? {
            return Err(Stop::Refused(BootError::UsedProof));
        }
        // The revision of the view: the number of the commit is not known inside its transaction.
        let revision = self.revision_base + tx.revision();
        let CheckedTicket { key, record, earlier } = ticket;
        if earlier.is_none() {
            spend_use(tx, &key, record)?;
        }
        let mut event = self.event.clone().detail(DetailKey::Revision, AuditText::number(revision));
        if let Some(earlier) = &earlier {
            event = event.detail(DetailKey::Try, AuditText::number(earlier.next_try().into()));
        }
        let stored = self.store_boot(tx, revision, earlier)?;
        tx.audit(event.about(target::boot(stored.id)));
        Ok(Some(CommittedBoot { id: stored.id, at: stored.at, revision }))
    }

    /// Reads the ticket again, and refuses the boot if the ticket or its member no longer allows it.
    fn check_ticket(&self, tx: &mut Tx<'_>) -> Result<CheckedTicket, Stop<BootError>> {
        let key = tickets::ticket(self.ticket.id);
        let member_key = tx.records().member(self.ticket.org, self.ticket.member);
        // The commit fails if either changes after this: a revocation that was acknowledged stops every later boot.
        let author_key = self.author_key(tx.records());
        let keys = [key.to_vec(), member_key.to_vec()];
        tx.need(keys.into_iter().chain(author_key.as_ref().map(Key::to_vec)))?;
        let record = tx.get(&key)?.ok_or(Stop::Refused(BootError::Revoked))?;
        let member = tx.get(&member_key)?.ok_or(Failure::Corrupt)?;
        let author = author_key.map(|key| tx.get(&key)).transpose()?.flatten();
        let earlier = match &self.attempt {
            Some(attempt) => attempt.earlier(tx, self.ticket.org)?,
            None => None,
        };
        let refusal = match &record {
            // The order of `refuse_unusable`: a revoked ticket is reported as revoked even after it has expired.
            TicketRecord { revoked_at: Some(_), .. } => Some(BootError::Revoked),
            _ if member.removed_at.is_some() => Some(BootError::Revoked),
            // A former manager, or a launcher that is no longer accepted.
            _ if author.is_some_and(|author| !member.honours(&author)) => Some(BootError::Revoked),
            // The role may have changed since the authentication.
            _ if member.role == Role::Auditor => Some(Denied::AuditorReads.into()),
            TicketRecord { expires_at: Some(at), .. } if *at <= tx.now() => Some(BootError::Expired),
            // The last use may have been spent by the first try of this very boot.
            _ if record.uses_left() == Some(0) && earlier.is_none() => Some(BootError::TicketSpent),
            _ => match (&self.attempt, &earlier) {
                (Some(attempt), Some(earlier)) => attempt.refusal(earlier, tx.now()),
                _ => None,
            },
        };
        // Not recorded here: any number of refusals must not be entries of their own.
        if let Some(error) = refusal {
            return Err(Stop::Refused(error));
        }
        Ok(CheckedTicket { key, record, earlier })
    }

    fn has_scope_changed(&self, tx: &mut Tx<'_>) -> Result<bool, Stop<BootError>> {
        for stamp in self.stamps() {
            // Adds no precondition: a deposit between this view and the commit counts as later than the boot.
            if tx.version(&stamp.key)? != stamp.at {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stores the boot, or adds this try to it.
    fn store_boot(
        &self,
        tx: &mut Tx<'_>,
        revision: Revision,
        earlier: Option<EarlierTries>,
    ) -> Result<BootRecord, Stop<BootError>> {
        let (org, records) = (self.ticket.org, tx.records());
        if let Some(attempt) = &self.attempt {
            let boot = earlier.as_ref().and_then(|earlier| earlier.attempt.boot).unwrap_or(self.record.id);
            attempt.record(tx, boot, earlier.as_ref())?;
        }
        let record = match earlier.and_then(|earlier| earlier.boot) {
            Some(mut record) => {
                record.add_try(self.record.content, self.record.digest, revision);
                record
            }
            None => BootRecord { revision, ..self.record.clone() },
        };
        tx.put(&records.boot(org, record.id), &record)?;
        let row = RunningRecord::of(&record);
        for content in record.contents() {
            tx.put(&records.running_boot(org, &content, record.id), &row)?;
        }
        // Written again by each process that has not seen it yet. The content is the same.
        if let Some(receipt) = &self.receipt {
            tx.put(&records.receipt(org, &record.content), receipt)?;
        }
        Ok(record)
    }
}

/// Counts a use of a limited ticket.
fn spend_use(
    tx: &mut Tx<'_>,
    key: &Key<TicketRecord>,
    mut ticket: TicketRecord,
) -> Result<(), Stop<BootError>> {
    // An unlimited ticket is not counted: the boots of several servers would conflict over its record.
    if ticket.uses.is_some() {
        ticket.used += 1;
        tx.put(key, &ticket)?;
    }
    Ok(())
}

/// The record of a boot before its commit.
fn new_record(store: &Store, boot: &PendingBoot<'_>, opened: &OpenedScope) -> Result<BootRecord, Failure> {
    let PendingBoot { caller, ask, ticket, .. } = boot;
    // With the name, which may belong to another member later.
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
        earlier: Vec::new(),
        author: Some(ticket.author),
        workload: ask.workload.clone(),
        reports_end: ask.reports_end,
        lifetime_ends_at: ticket.lifetime.map(|seconds| at.plus(Duration::from_secs(seconds))),
        end: None,
    })
}

/// A boot's id: 48 bits of milliseconds and 80 random ones.
fn boot_id(at: Timestamp, random: [u8; 10]) -> BootId {
    // Ids ascend with time, so that the records of boots are sorted by time without an index.
    let mut id = [0; 16];
    // 48 bits of milliseconds are enough until the year 10889.
    id[..6].copy_from_slice(&at.as_millis().to_be_bytes()[2..]);
    id[6..].copy_from_slice(&random);
    BootId::from_bytes(id)
}
