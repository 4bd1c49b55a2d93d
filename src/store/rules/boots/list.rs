//! Boots that happened, and which of them still hold what.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::AuditAction;
use crate::domain::boot::BootState;
use crate::domain::digest::Digest;
use crate::domain::id::{BootId, MemberId, OrgId, SecretId, VersionId};
use crate::domain::receipt::ReceiptEntry;
use crate::domain::role::Action;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::target;
use crate::store::rules::auth::Caller;
use crate::store::rules::boots::record::{BootRecord, MachineRecord, ReceiptRecord};
use crate::store::rules::boots::{Boot, BootFilter, Held, Holder};
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;

/// Boots looked at for one page.
const LOOK_AT: usize = 5000;
/// Boots looked at for those that hold a secret.
const HOLDERS_AMONG: usize = 10_000;
/// Boots read at once.
const CHUNK: usize = 500;

/// What has been read beside boots, each once.
#[derive(Default)]
struct Around {
    receipts: BTreeMap<Digest, ReceiptRecord>,
    machines: BTreeMap<String, Option<MachineRecord>>,
}

impl Store {
    /// One boot.
    pub async fn boot_record(&self, caller: &Caller, boot: BootId) -> Result<Boot, Error> {
        let (org, _) = self.insider(caller, AuditAction::BootList).await?;
        let record = self.records().get(&self.records().boot(org, boot)).await?;
        let sees = |record: &BootRecord| {
            let action = Action::ReadBoots(record.member.0);
            self.may_see(caller, action, AuditAction::BootList, target::boot(boot))
        };
        let record = record.filter(sees).ok_or(Error::NotFound { what: "boot" })?;
        let mut around = Around::default();
        around.read(self, org, std::slice::from_ref(&record)).await?;
        let shown = self.show_boots(org, vec![record], &around).await?.pop();
        shown.ok_or(Failure::Internal.into())
    }

    /// Boots that the caller may see, newest first.
    pub async fn list_boots(
        &self,
        caller: &Caller,
        filter: &BootFilter,
        page: PageAsk,
    ) -> Result<Page<Boot>, Error> {
        let told = AuditAction::BootList;
        let (org, _) = self.insider(caller, told).await?;
        let (member, _) = self.member_or_self(caller, filter.member.as_ref()).await?;
        self.permit(caller, Action::ReadBoots(member), told, None).await?;
        let sees_all = caller.may(Action::ReadBoots(MemberId::from_bytes([0; 16])));
        let only = (filter.member.is_some() || !sees_all).then_some(member);

        let limit = page.limit();
        let prefix = self.records().boots(org);
        let mut after = self.start_of(&page)?;
        let mut around = Around::default();
        let mut found = Vec::new();
        let mut looked_at = 0;
        let next = loop {
            let scanned = self.records().scan(&prefix, after.as_deref(), limit.clamp(50, CHUNK)).await?;
            let mut records = Vec::with_capacity(scanned.found.len());
            let mut keys = Vec::with_capacity(scanned.found.len());
            for one in scanned.found {
                records.push(one.record);
                keys.push(one.key);
            }
            around.read(self, org, &records).await?;
            for (record, key) in records.into_iter().zip(keys) {
                looked_at += 1;
                after = Some(key);
                if only.is_none_or(|only| only == record.member.0) && filter.admits(&record, &around) {
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
            if full || looked_at >= LOOK_AT {
                break after.map(|after| self.cursor(&after));
            }
        };
        Ok(Page { items: self.show_boots(org, found, &around).await?, next })
    }

    /// The boots that hold a version of a secret, newest first, among the organization's newest 10,000 boots.
    pub async fn holders(&self, caller: &Caller, secret: SecretId) -> Result<Vec<Holder>, Error> {
        let told = AuditAction::BootList;
        let (org, _) = self.insider(caller, told).await?;
        let record = self.visible_secret(caller, org, secret).await?;
        self.permit(caller, Action::ReadHolders(record.meta.scope), told, None).await?;
        Ok(self.held_by(org, secret).await?)
    }

    pub(crate) async fn held_by(&self, org: OrgId, secret: SecretId) -> Result<Vec<Holder>, Failure> {
        let current = self.current_versions(org, BTreeSet::from([secret])).await?;
        let prefix = self.records().boots(org);
        let mut around = Around::default();
        let mut holders = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        for _ in 0..HOLDERS_AMONG / CHUNK {
            let scanned = self.records().scan(&prefix, after.as_deref(), CHUNK).await?;
            after = scanned.found.last().map(|found| found.key.clone());
            let records: Vec<BootRecord> = scanned.found.into_iter().map(|found| found.record).collect();
            around.read(self, org, &records).await?;
            for record in records {
                if around.is_over(&record) {
                    continue;
                }
                if let Some(entry) = around.entries(&record).iter().find(|entry| entry.id == secret) {
                    let held = held(entry, &current);
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
        around: &Around,
    ) -> Result<Vec<Boot>, Failure> {
        let live = records.iter().filter(|record| !around.is_over(record));
        let secrets = live.flat_map(|record| around.entries(record)).map(|entry| entry.id).collect();
        let current = self.current_versions(org, secrets).await?;
        Ok(records.into_iter().map(|record| around.show(record, &current)).collect())
    }

    /// The versions that secrets have now; those that are gone are left out.
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

impl Around {
    /// Reads what belongs to these boots and is not here yet.
    async fn read(&mut self, store: &Store, org: OrgId, boots: &[BootRecord]) -> Result<(), Failure> {
        let records = store.records();
        let contents: BTreeSet<Digest> =
            boots.iter().map(|boot| boot.content).filter(|c| !self.receipts.contains_key(c)).collect();
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

    /// Whether it is known to hold nothing any more.
    fn is_over(&self, boot: &BootRecord) -> bool {
        boot.state == BootState::Failed || self.is_superseded(boot)
    }

    fn show(&self, record: BootRecord, current: &BTreeMap<SecretId, VersionId>) -> Boot {
        let held = self.entries(&record).iter().map(|entry| held(entry, current));
        let stale = match self.is_over(&record) {
            true => Vec::new(),
            false => held.filter(|held| !held.current).collect(),
        };
        let superseded = self.is_superseded(&record);
        let receipt = self.receipts.get(&record.content).cloned();
        let receipt = receipt.map(|receipt| receipt.receipt(record.revision)).unwrap_or_default();
        Boot {
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
    /// The member apart, which is decided with who may see what.
    fn admits(&self, boot: &BootRecord, around: &Around) -> bool {
        let gave = |wanted: &str| {
            around.entries(boot).iter().any(|entry| {
                entry.name.as_str() == wanted
                    || entry.env.as_str() == wanted
                    || entry.id.to_string() == wanted
            })
        };
        self.ticket.is_none_or(|ticket| ticket == boot.ticket)
            && (!self.live || !around.is_over(boot))
            && self.secret.as_deref().is_none_or(gave)
    }
}

fn held(entry: &ReceiptEntry, current: &BTreeMap<SecretId, VersionId>) -> Held {
    Held {
        secret: entry.id,
        env: entry.env.clone(),
        version: entry.version,
        current: current.get(&entry.id) == Some(&entry.version),
    }
}
