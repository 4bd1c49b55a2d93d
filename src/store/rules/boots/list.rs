//! Past boots, and which of them still hold which secrets.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::AuditAction;
use crate::domain::digest::Digest;
use crate::domain::id::{BootId, MemberId, OrgId, SecretId, TicketId};
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::role::{Action, Denied, MemberKind, Subject};
use crate::domain::secret::SecretMeta;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::{ReleasedVersion, target};
use crate::store::rules::boots::named_secrets::WantedSecret;
use crate::store::rules::boots::{BootDetails, BootFilter, Held};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::boots::{BootRecord, ReceiptRecord};
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::{self, TicketRecord};

/// Boots read for one page, at most.
const MAX_READ: usize = 5000;
/// Boots read at once.
const CHUNK: usize = 500;

/// What the records of boots refer to, each read once.
struct BootContext {
    now: Timestamp,
    receipts: BTreeMap<Digest, ReceiptRecord>,
    /// The secret of the filter.
    wanted: Option<WantedSecret>,
}

/// Who made the boots of a page.
struct BootAuthors {
    tickets: BTreeMap<TicketId, TicketRecord>,
    members: BTreeMap<MemberId, MemberRecord>,
}

impl Store {
    /// Returns one boot.
    pub async fn boot_record(&self, caller: &Caller, boot: BootId) -> Result<BootDetails, Error> {
        let (org, _) = self.require_member(caller, AuditAction::BootList).await?;
        let record = self.records().get(&self.records().boot(org, boot)).await?;
        let sees = |record: &BootRecord| {
            let action = Action::ReadBoots(caller.subject_of_creation(record.member.0, record.author));
            self.may_see(caller, action, AuditAction::BootList, target::boot(boot))
        };
        // A boot of another member is as absent as one that does not exist.
        let record = record.filter(sees).ok_or(Error::NotFound { what: "boot" })?;
        let may_end = record.is_endable() && caller.may(self.end_action(caller, org, &record).await?);
        let mut context = BootContext::new(self.now(), None);
        context.read(self, org, std::slice::from_ref(&record)).await?;
        let shown = self.show_boots(caller, vec![record], &context).await?.pop();
        Ok(BootDetails { may_end, ..shown.ok_or(Failure::Internal)? })
    }

    /// Lists the boots that the caller may see, newest first.
    pub async fn list_boots(
        &self,
        caller: &Caller,
        filter: &BootFilter,
        page: PageAsk,
    ) -> Result<Page<BootDetails>, Error> {
        let audit_action = AuditAction::BootList;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let member = self.permit_boot_list(caller, filter).await?;
        let sees = |boot: &BootRecord| {
            // All that the caller may see, such as those of the services that it manages.
            let visible =
                || caller.may(Action::ReadBoots(caller.subject_of_creation(boot.member.0, boot.author)));
            member.is_none_or(|member| boot.member.0 == member) && visible()
        };

        let limit = page.limit();
        let prefix = self.records().boots(org);
        let mut after = self.page_start(&page)?;
        let wanted = self.wanted_secret(caller, org, filter.secret.as_deref()).await?;
        let mut context = BootContext::new(self.now(), wanted);
        let (mut found, mut read) = (Vec::new(), 0);
        let next = loop {
            // Larger steps than the page, because the filter may pass few of them.
            let scanned = self.records().scan(&prefix, after.as_deref(), limit.clamp(50, CHUNK)).await?;
            let mut records = Vec::with_capacity(scanned.found.len());
            let mut keys = Vec::with_capacity(scanned.found.len());
            for one in scanned.found {
                records.push(one.record);
                keys.push(one.key);
            }
            // Receipts are needed before the filter, which may ask for a secret.
            context.read(self, org, &records).await?;
            for (record, key) in records.into_iter().zip(keys) {
                read += 1;
                after = Some(key);
                if sees(&record) && filter.matches(&record, &context) {
                    found.push(record);
                    if found.len() == limit {
                        break;
                    }
                }
            }
            let full = found.len() == limit;
            if !full && !scanned.more {
                break None;
            }
            // A short page with a cursor bounds the work of one request.
            if full || read >= MAX_READ {
                break after.map(|after| self.cursor(&after));
            }
        };
        let items = self.show_boots(caller, found, &context).await?;
        // Who looks for the machines that hold a secret is on record; a list without that filter names none.
        if filter.secret.is_some() && page.cursor.is_none() {
            self.record_read(caller.event(audit_action)).await?;
        }
        Ok(Page { items, next })
    }

    /// Refuses a list that the caller may not see. Returns the member that it is limited to.
    async fn permit_boot_list(
        &self,
        caller: &Caller,
        filter: &BootFilter,
    ) -> Result<Option<MemberId>, Error> {
        let (name, launcher) = (filter.member.as_ref(), caller.kind() == Some(MemberKind::Launcher));
        let (member, _, subject) = self.represented_subject(caller, name, AuditAction::BootList).await?;
        // Without a name, a launcher gets what its tickets started. It has no boots of its own.
        let subject = if launcher && name.is_none() { Subject::Accepted } else { subject };
        self.permit(caller, Action::ReadBoots(subject), AuditAction::BootList, None).await?;
        // The answer to this filter would reveal names, one at a time.
        if launcher && filter.secret.is_some() {
            return Err(Denied::LauncherTicketsOnly.into());
        }
        Ok(name.map(|_| member))
    }

    async fn show_boots(
        &self,
        caller: &Caller,
        records: Vec<BootRecord>,
        context: &BootContext,
    ) -> Result<Vec<BootDetails>, Error> {
        let org = caller.own_org()?;
        // Only boots that may still run can hold an outdated version.
        let live = records.iter().filter(|record| context.is_running(record));
        let secrets = live.flat_map(|record| context.entries(record)).map(|entry| entry.id).collect();
        let current = self.current_secrets(org, secrets).await?;
        let authors = self.boot_authors(org, &records).await?;
        let shown = records.into_iter().map(|record| context.show(record, &current, &authors));
        Ok(match caller.kind() {
            Some(MemberKind::Launcher) => shown.map(BootDetails::without_names).collect(),
            _ => shown.collect(),
        })
    }

    /// The tickets of boots, and their authors.
    async fn boot_authors(&self, org: OrgId, records: &[BootRecord]) -> Result<BootAuthors, Failure> {
        let ids: BTreeSet<TicketId> = records.iter().map(|record| record.ticket).collect();
        let keys: Vec<_> = ids.into_iter().map(tickets::ticket).collect();
        let found = self.records().get_all(&keys).await?.into_iter().flatten();
        let tickets: BTreeMap<_, _> = found.map(|ticket| (ticket.id, ticket)).collect();
        // Records of an older format have no author. Their tickets have.
        let authors = records.iter().filter_map(|record| record.author);
        let members = authors.chain(tickets.values().map(|ticket| ticket.author)).collect();
        Ok(BootAuthors { tickets, members: self.members_by_id(org, members).await? })
    }

    /// The metadata of secrets, without deleted ones.
    pub(crate) async fn current_secrets(
        &self,
        org: OrgId,
        secrets: BTreeSet<SecretId>,
    ) -> Result<BTreeMap<SecretId, SecretMeta>, Failure> {
        let index = self.records().scopes(org);
        let ids: Vec<SecretId> = secrets.into_iter().collect();
        let keys: Vec<_> = ids.iter().map(|id| index.key(id.as_bytes())).collect();
        let scopes = self.records().get_all(&keys).await?;
        let keys: Vec<_> = ids
            .iter()
            .zip(scopes)
            // A deleted secret has no scope, and thus no current version.
            .filter_map(|(id, scope)| Some(self.records().secret(org, scope?, *id)))
            .collect();
        let records = self.records().get_all(&keys).await?.into_iter().flatten();
        Ok(records.map(|record| (record.meta.id, record.meta)).collect())
    }
}

impl BootContext {
    fn new(now: Timestamp, wanted: Option<WantedSecret>) -> Self {
        Self { now, receipts: BTreeMap::new(), wanted }
    }

    /// Reads the receipts of these boots, unless they were read before.
    async fn read(&mut self, store: &Store, org: OrgId, boots: &[BootRecord]) -> Result<(), Failure> {
        let records = store.records();
        // Boots of the same scope share a receipt, so that a page of them reads few.
        let contents = boots.iter().flat_map(BootRecord::contents);
        let contents: BTreeSet<Digest> = contents.filter(|c| !self.receipts.contains_key(c)).collect();
        // One read for all of them, instead of one for each boot.
        let keys: Vec<_> = contents.iter().map(|content| records.receipt(org, content)).collect();
        for (content, receipt) in contents.into_iter().zip(records.get_all(&keys).await?) {
            self.receipts.insert(content, receipt.ok_or(Failure::Corrupt)?);
        }
        Ok(())
    }

    /// What a boot received, in all its tries.
    fn entries<'a>(&'a self, boot: &BootRecord) -> Vec<&'a ReceiptEntry> {
        let receipts = boot.contents().filter_map(|content| self.receipts.get(&content));
        receipts.flat_map(|receipt| &receipt.entries).collect()
    }

    /// The same without what only a receipt says.
    fn received(&self, boot: &BootRecord) -> Vec<ReleasedVersion> {
        self.entries(boot).into_iter().cloned().map(ReleasedVersion::from).collect()
    }

    /// Whether the boot may still hold what it received.
    fn is_running(&self, boot: &BootRecord) -> bool {
        boot.status(self.now).is_running()
    }

    fn show(
        &self,
        record: BootRecord,
        current: &BTreeMap<SecretId, SecretMeta>,
        authors: &BootAuthors,
    ) -> BootDetails {
        let held = |version: &ReleasedVersion| {
            Held::of(version, current.get(&version.secret).map(|meta| meta.version))
        };
        let received = self.received(&record);
        let stale = match self.is_running(&record) {
            // A boot that has ended holds nothing.
            false => Vec::new(),
            true => received.iter().map(held).filter(|held| !held.current).collect(),
        };
        let matched = self
            .wanted
            .iter()
            .flat_map(|wanted| received.iter().filter(|version| wanted.is_version(version)).map(held));
        let matched = matched.collect();
        let receipt = self.receipts.get(&record.content).cloned();
        let receipt = receipt.map(|receipt| receipt.receipt(record.revision)).unwrap_or_default();
        let ticket = authors.tickets.get(&record.ticket);
        let author = record.author.or(ticket.map(|ticket| ticket.author));
        let author = author.and_then(|id| authors.members.get(&id));
        BootDetails {
            id: record.id,
            status: record.status(self.now),
            end: record.life().end_at(self.now),
            member: record.member.1,
            identity: record.ticket.into(),
            kind: ticket.map(|ticket| ticket.kind()),
            ticket_label: ticket.and_then(|ticket| ticket.label.clone()),
            launched: author.is_some_and(|author| author.kind == MemberKind::Launcher),
            author: author.map(|author| author.name.clone()),
            at: record.at,
            source: record.source,
            machine: record.machine,
            kernel_boot: record.kernel_boot,
            host: record.host,
            agent: record.agent,
            workload: record.workload,
            confirmed_at: record.confirmed_at,
            variables: record.variables,
            reports_end: record.reports_end,
            lifetime_ends_at: record.lifetime_ends_at,
            receipt,
            stale,
            matched,
            may_end: false,
        }
    }
}

impl BootDetails {
    /// Without what the boot received: a launcher starts machines, and reads no list of a person's secrets.
    fn without_names(self) -> Self {
        Self { receipt: Receipt::default(), stale: Vec::new(), matched: Vec::new(), ..self }
    }
}

impl BootFilter {
    /// Whether the filter matches a boot.
    fn matches(&self, boot: &BootRecord, context: &BootContext) -> bool {
        // The member is not compared here, because it also depends on what the caller may see.
        let received = |wanted: &WantedSecret| {
            let entries = context.entries(boot);
            entries.iter().any(|entry| wanted.is(entry.id, [entry.name.as_str(), entry.env.as_str()]))
        };
        self.ticket.is_none_or(|ticket| ticket == boot.ticket)
            && (!self.live || context.is_running(boot))
            && context.wanted.as_ref().is_none_or(received)
    }
}
