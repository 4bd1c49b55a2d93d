//! Past boots, and which of them still hold which secrets.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::AuditAction;
use crate::domain::boot::BootState;
use crate::domain::digest::Digest;
use crate::domain::id::{BootId, MemberId, OrgId, SecretId, VersionId};
use crate::domain::receipt::ReceiptEntry;
use crate::domain::role::Action;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::target;
use crate::store::rules::boots::{BootDetails, BootFilter, Held, Holder};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::boots::{BootRecord, MachineRecord, ReceiptRecord};

/// Boots read for one page, at most.
const MAX_READ: usize = 5000;
/// Boots read to find the holders of a secret.
const MAX_READ_FOR_HOLDERS: usize = 10_000;
/// Boots read at once.
const CHUNK: usize = 500;

/// The receipts and machines of boots, each read once.
#[derive(Default)]
struct BootContext {
    receipts: BTreeMap<Digest, ReceiptRecord>,
    machines: BTreeMap<String, Option<MachineRecord>>,
}

impl Store {
    /// Returns one boot.
    pub async fn boot_record(&self, caller: &Caller, boot: BootId) -> Result<BootDetails, Error> {
        let (org, _) = self.require_member(caller, AuditAction::BootList).await?;
        let record = self.records().get(&self.records().boot(org, boot)).await?;
        let sees = |record: &BootRecord| {
            let action = Action::ReadBoots(record.member.0);
            self.may_see(caller, action, AuditAction::BootList, target::boot(boot))
        };
        // A boot of another member is as absent as one that does not exist.
        let record = record.filter(sees).ok_or(Error::NotFound { what: "boot" })?;
        let mut context = BootContext::default();
        context.read(self, org, std::slice::from_ref(&record)).await?;
        let shown = self.show_boots(org, vec![record], &context).await?.pop();
        shown.ok_or(Failure::Internal.into())
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
        let (member, _) = self.member_or_self(caller, filter.member.as_ref()).await?;
        self.permit(caller, Action::ReadBoots(member), audit_action, None).await?;
        let sees_all = caller.may(Action::ReadBoots(MemberId::from_bytes([0; 16])));
        let only = (filter.member.is_some() || !sees_all).then_some(member);

        let limit = page.limit();
        let prefix = self.records().boots(org);
        let mut after = self.page_start(&page)?;
        let mut context = BootContext::default();
        let mut found = Vec::new();
        let mut read = 0;
        let next = loop {
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
                if only.is_none_or(|only| only == record.member.0) && filter.matches(&record, &context) {
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
        Ok(Page { items: self.show_boots(org, found, &context).await?, next })
    }

    /// Lists the boots that hold a version of a secret, newest first, among the organization's newest 10,000 boots.
    pub async fn holders(&self, caller: &Caller, secret: SecretId) -> Result<Vec<Holder>, Error> {
        let audit_action = AuditAction::BootList;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let record = self.visible_secret(caller, org, secret).await?;
        self.permit(caller, Action::ReadHolders(record.meta.scope), audit_action, None).await?;
        Ok(self.holders_of(org, secret).await?)
    }

    pub(crate) async fn holders_of(&self, org: OrgId, secret: SecretId) -> Result<Vec<Holder>, Failure> {
        let current = self.current_versions(org, BTreeSet::from([secret])).await?;
        let prefix = self.records().boots(org);
        let mut context = BootContext::default();
        let mut holders = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        // Bounded, because nothing indexes boots by what they hold.
        for _ in 0..MAX_READ_FOR_HOLDERS / CHUNK {
            // Newest first, so that the bound cuts off the oldest boots, which are the least likely to run.
            let scanned = self.records().scan(&prefix, after.as_deref(), CHUNK).await?;
            after = scanned.found.last().map(|found| found.key.clone());
            let records: Vec<BootRecord> = scanned.found.into_iter().map(|found| found.record).collect();
            context.read(self, org, &records).await?;
            for record in records {
                if context.has_ended(&record) {
                    continue;
                }
                if let Some(entry) = context.entries(&record).iter().find(|entry| entry.id == secret) {
                    let held = held_version(entry, &current);
                    let BootRecord { id, member: (_, member), at, host, .. } = record;
                    holders.push(Holder { boot: id, member, at, host, held });
                }
            }
            if !scanned.more {
                break;
            }
        }
        Ok(holders)
    }

    async fn show_boots(
        &self,
        org: OrgId,
        records: Vec<BootRecord>,
        context: &BootContext,
    ) -> Result<Vec<BootDetails>, Failure> {
        // Only boots that may still run can hold an outdated version.
        let live = records.iter().filter(|record| !context.has_ended(record));
        let secrets = live.flat_map(|record| context.entries(record)).map(|entry| entry.id).collect();
        let current = self.current_versions(org, secrets).await?;
        Ok(records.into_iter().map(|record| context.show(record, &current)).collect())
    }

    /// The current versions of secrets, without deleted ones.
    async fn current_versions(
        &self,
        org: OrgId,
        secrets: BTreeSet<SecretId>,
    ) -> Result<BTreeMap<SecretId, VersionId>, Failure> {
        let index = self.records().scopes(org);
        let ids: Vec<SecretId> = secrets.into_iter().collect();
        let keys: Vec<_> = ids.iter().map(|id| index.key(id.as_bytes())).collect();
        let scopes = self.records().get_all(&keys).await?;
        let keys: Vec<_> = ids
            .iter()
            .zip(scopes)
            .filter_map(|(id, scope)| Some(self.records().secret(org, scope?, *id)))
            .collect();
        let records = self.records().get_all(&keys).await?.into_iter().flatten();
        Ok(records.map(|record| (record.meta.id, record.meta.version)).collect())
    }
}

impl BootContext {
    /// Reads the receipts and machines of these boots, unless they were read before.
    async fn read(&mut self, store: &Store, org: OrgId, boots: &[BootRecord]) -> Result<(), Failure> {
        let records = store.records();
        // Boots of the same scope share a receipt, so that a page of them reads few.
        let contents: BTreeSet<Digest> =
            boots.iter().map(|boot| boot.content).filter(|c| !self.receipts.contains_key(c)).collect();
        // One read for all of them, instead of one for each boot.
        let keys: Vec<_> = contents.iter().map(|content| records.receipt(org, content)).collect();
        for (content, receipt) in contents.into_iter().zip(records.get_all(&keys).await?) {
            self.receipts.insert(content, receipt.ok_or(Failure::Corrupt)?);
        }
        let machines: BTreeSet<String> = boots
            .iter()
            .filter_map(|boot| boot.machine.clone())
            .filter(|m| !self.machines.contains_key(m))
            .collect();
        let keys: Vec<_> = machines.iter().map(|machine| records.machine(org, machine)).collect();
        let latest = records.get_all(&keys).await?;
        self.machines.extend(machines.into_iter().zip(latest));
        Ok(())
    }

    fn entries(&self, boot: &BootRecord) -> &[ReceiptEntry] {
        self.receipts.get(&boot.content).map_or(&[], |receipt| &receipt.entries)
    }

    fn is_superseded(&self, boot: &BootRecord) -> bool {
        let latest = boot.machine.as_ref().and_then(|machine| self.machines.get(machine)?.as_ref());
        latest.is_some_and(|latest| boot.is_superseded_by(latest))
    }

    /// Whether the boot is known to have ended.
    fn has_ended(&self, boot: &BootRecord) -> bool {
        boot.state == BootState::Failed || self.is_superseded(boot)
    }

    fn show(&self, record: BootRecord, current: &BTreeMap<SecretId, VersionId>) -> BootDetails {
        let held = self.entries(&record).iter().map(|entry| held_version(entry, current));
        let stale = match self.has_ended(&record) {
            // A boot that has ended holds nothing.
            true => Vec::new(),
            false => held.filter(|held| !held.current).collect(),
        };
        let superseded = self.is_superseded(&record);
        let receipt = self.receipts.get(&record.content).cloned();
        let receipt = receipt.map(|receipt| receipt.receipt(record.revision)).unwrap_or_default();
        BootDetails {
            id: record.id,
            member: record.member.1,
            ticket: record.ticket,
            at: record.at,
            source: record.source,
            machine: record.machine,
            kernel_boot: record.kernel_boot,
            host: record.host,
            agent: record.agent,
            confirmed_at: record.confirmed_at,
            variables: record.variables,
            superseded,
            receipt,
            stale,
        }
    }
}

impl BootFilter {
    /// Whether the filter matches a boot.
    fn matches(&self, boot: &BootRecord, context: &BootContext) -> bool {
        // The member is not compared here, because it also depends on what the caller may see.
        let gave = |wanted: &str| {
            context.entries(boot).iter().any(|entry| {
                entry.name.as_str() == wanted
                    || entry.env.as_str() == wanted
                    || entry.id.to_string() == wanted
            })
        };
        self.ticket.is_none_or(|ticket| ticket == boot.ticket)
            && (!self.live || !context.has_ended(boot))
            && self.secret.as_deref().is_none_or(gave)
    }
}

fn held_version(entry: &ReceiptEntry, current: &BTreeMap<SecretId, VersionId>) -> Held {
    Held {
        secret: entry.id,
        env: entry.env.clone(),
        version: entry.version,
        current: current.get(&entry.id) == Some(&entry.version),
    }
}
