//! Which boots still hold a secret: exact counts, and a paged list. Counts that lack boots are marked `incomplete`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::audit::{AuditAction, AuditEvent};
use crate::domain::boot::BootStatus;
use crate::domain::id::{BootId, OrgId, SecretId, VersionId};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, ScopeSubject, Subject};
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::{EventBuilder, ReleasedVersion, target};
use crate::store::rules::boots::Held;
use crate::store::rules::boots::named_secrets::{NamedSecret, NamedSecrets};
use crate::store::rules::boots::receipt_cache::CachedReceipt;
use crate::store::rules::boots::running::{RunningChunk, RunningReader, RunningRow};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Cursor, PageAsk};
use crate::store::rules::secrets::{Secret, describe_secret};
use crate::store::rules::store::Store;
use crate::store::tables::boots::BootRecord;
use crate::store::tables::holders::RunningRecord;

/// How long the row of a boot is kept after its lifetime has passed.
const LAPSED: Duration = Duration::from_secs(24 * 3600);

/// Which holders to count and list.
#[derive(Clone, Debug)]
pub struct HoldersAsk {
    /// The secret's id, its name or its exported name. Also finds deleted secrets that a running boot received. A name
    /// stands for the shared secret, the caller's own and those of the services that the caller manages. If none of
    /// these exists, it stands for the private secrets of other members that the caller may see.
    pub secret: String,
    /// Whether to list only the boots that hold an outdated version. The counts include all boots.
    pub outdated: bool,
}

/// How many boots hold a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HolderCounts {
    /// Boots that hold the current version only.
    pub current: u64,
    /// Boots that hold a version that was replaced or deleted.
    pub outdated: u64,
    /// The outdated and lapsed boots whose end is unknown: no agent reports it, and no lifetime is left.
    pub without_end: u64,
    /// The latest time at which the lifetime of an outdated holder passes.
    pub last_lifetime_end: Option<Timestamp>,
    /// Boots that held an outdated version when their lifetime passed within the last day, and that reported no end.
    pub lapsed: u64,
    /// Boots that hold another member's private secret of the same name. The other counts leave them out.
    pub other_private: u64,
    /// Whether some boots are not counted yet, because an older version of the program stored them.
    pub incomplete: bool,
}

/// The holders of a secret.
#[derive(Clone, Debug)]
pub struct Holders {
    /// The secrets that are counted: several if the name has passed from one to another.
    pub secrets: Vec<NamedSecret>,
    /// The counts of all holders, not only of this page.
    pub counts: HolderCounts,
    /// When they were counted, by the store's clock.
    pub at: Timestamp,
    /// One page of the holders.
    pub items: Vec<Holder>,
    /// The cursor of the next page.
    pub next: Option<Cursor>,
}

/// A boot that holds a version of a secret.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The boot.
    pub boot: BootId,
    /// The member that it acted for.
    pub member: MemberName,
    /// When it booted.
    pub at: Timestamp,
    /// The host name.
    pub host: Option<String>,
    /// Running or presumed running; ended if its lifetime has passed without a report of its end.
    pub status: BootStatus,
    /// Whether its agent said that it will report the end of the boot.
    pub reports_end: bool,
    /// The end of the lifetime that its ticket declares.
    pub lifetime_ends_at: Option<Timestamp>,
    /// What it holds.
    pub held: Held,
}

/// One pass over the running boots.
struct HolderScan {
    /// The secrets that count.
    secrets: Vec<NamedSecret>,
    ids: BTreeSet<SecretId>,
    /// Other members' secrets of that name.
    others: BTreeSet<SecretId>,
    now: Timestamp,
    only_outdated: bool,
    /// The page begins after this key.
    start: Option<Vec<u8>>,
    limit: usize,
    counts: HolderCounts,
    /// Boots with several rows, and whether one of them is outdated.
    several: HashMap<BootId, (RunningRecord, bool)>,
    several_others: HashSet<BootId>,
    current: BTreeMap<SecretId, Option<VersionId>>,
    /// When versions that are not current were replaced or deleted, where that is known.
    retired: BTreeMap<(SecretId, VersionId), Option<Timestamp>>,
    page: Vec<(Vec<u8>, BootId, Vec<Held>)>,
    more: bool,
}

impl RunningRecord {
    pub(crate) fn of(boot: &BootRecord) -> Self {
        Self {
            member: boot.member.0,
            lifetime_ends_at: boot.lifetime_ends_at,
            reports_end: boot.reports_end,
            several: !boot.earlier.is_empty(),
        }
    }

    /// Whether nobody waits for the end of the boot any more, so that its row can be deleted.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        // Kept for another day: only the lifetime says that the boot has ended, and a caller may still count it.
        self.lifetime_ends_at.is_some_and(|at| at.plus(LAPSED) <= now)
    }

    /// Whether its ticket declares no lifetime, or one that has not passed.
    pub(crate) fn is_running(&self, now: Timestamp) -> bool {
        self.lifetime_ends_at.is_none_or(|at| at > now)
    }
}

impl Store {
    /// Counts the boots that hold a secret, and lists a page of them.
    pub async fn holders(&self, caller: &Caller, ask: &HoldersAsk, page: PageAsk) -> Result<Holders, Error> {
        let audit_action = AuditAction::BootList;
        let (org, _) = self.require_member(caller, audit_action).await?;
        // A machine with a ticket, or a launcher, must not learn which other boots hold the secrets of its member.
        self.permit(caller, Action::ReadBoots(Subject::Own), audit_action, None).await?;
        // Checked before the rows are read, because boots of an older version may be indexed in the meantime.
        let incomplete = !self.is_indexed().await?;
        let (named, event) = self.holder_target(caller, org, &ask.secret).await?;
        // An unknown name is probably misspelled. The answer "no boot holds it" would be dangerous.
        if named.own.is_empty() && !incomplete {
            return Err(Error::NotFound { what: "secret" });
        }
        let mut scan = HolderScan::new(named, self.now(), page.limit());
        scan.counts.incomplete = incomplete;
        scan.only_outdated = ask.outdated;
        scan.start = self.page_start(&page)?;
        let holders = self.scan_holders(org, scan).await?;
        // The audit log records who lists the machines that hold a secret: once, not for each page.
        if page.cursor.is_none() {
            self.record_read(event).await?;
        }
        Ok(holders)
    }

    /// Returns the secrets to count, if the caller may read their holders, and the audit entry.
    async fn holder_target(
        &self,
        caller: &Caller,
        org: OrgId,
        text: &str,
    ) -> Result<(NamedSecrets, AuditEvent), Error> {
        let audit_action = AuditAction::BootList;
        let event = caller.event(audit_action);
        if let Ok(id) = text.parse::<SecretId>() {
            match self.visible_secret(caller, org, id).await {
                Ok(record) => {
                    let action = Action::ReadHolders(caller.secret_subject(&record.meta));
                    self.permit(caller, action, audit_action, None).await?;
                    let about = target::secret(id, &record.meta.name);
                    let event = describe_secret(event.about(about), &record.meta);
                    let own = vec![NamedSecret::of(&record.meta)];
                    return Ok((NamedSecrets { own, ..NamedSecrets::default() }, event));
                }
                // A deleted secret has no record, but the receipts of boots still name its scope.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut named = self.named_secrets(caller, org, text).await?;
        if named.own.is_empty() {
            // No other secret has this name.
            named.own = std::mem::take(&mut named.others);
        }
        if named.own.iter().any(|secret| secret.scope == ScopeKind::Shared) {
            // Refused as a whole, because a count that leaves out holders would be wrong.
            self.permit(caller, Action::ReadHolders(ScopeSubject::Shared), audit_action, None).await?;
        }
        Ok((named, event))
    }

    /// Counts the boots that hold a secret. It may have just been deleted.
    pub(crate) async fn holders_of(&self, org: OrgId, secret: NamedSecret) -> Result<Holders, Failure> {
        let named = NamedSecrets { own: vec![secret], ..NamedSecrets::default() };
        let mut scan = HolderScan::new(named, self.now(), PageAsk::default().limit());
        scan.counts.incomplete = !self.is_indexed().await?;
        self.scan_holders(org, scan).await
    }

    /// Counts the boots that hold a secret after its value was replaced. `None` if the caller may not read the holders.
    pub async fn holder_counts(
        &self,
        caller: &Caller,
        secret: &Secret,
    ) -> Result<Option<HolderCounts>, Error> {
        let org = caller.own_org()?;
        if !caller.may(Action::ReadHolders(caller.secret_subject(&secret.meta))) {
            return Ok(None);
        }
        let named = NamedSecrets { own: vec![NamedSecret::of(&secret.meta)], ..NamedSecrets::default() };
        // With a limit of 0, no record of a boot is read.
        let mut scan = HolderScan::new(named, self.now(), 0);
        scan.counts.incomplete = !self.is_indexed().await?;
        Ok(Some(self.scan_holders(org, scan).await?.counts))
    }

    async fn scan_holders(&self, org: OrgId, mut scan: HolderScan) -> Result<Holders, Failure> {
        let wanted: Vec<SecretId> = scan.ids.union(&scan.others).copied().collect();
        let mut running = RunningReader::new(self, org);
        let select = |receipt: &CachedReceipt| {
            wanted.iter().filter_map(|id| receipt.version_of(*id)).cloned().collect()
        };
        while let Some(chunk) = running.next(select).await? {
            self.read_versions(org, &chunk, &mut scan).await?;
            for row in &chunk.rows {
                scan.add(row, chunk.of(row));
            }
        }
        self.finish_holders(org, scan).await
    }

    /// Reads the current versions of the secrets that these boots received, and when the older ones were replaced.
    async fn read_versions(
        &self,
        org: OrgId,
        chunk: &RunningChunk,
        scan: &mut HolderScan,
    ) -> Result<(), Failure> {
        let versions =
            || chunk.selected.values().flatten().filter(|version| scan.ids.contains(&version.secret));
        let unknown: BTreeSet<SecretId> =
            versions().map(|version| version.secret).filter(|id| !scan.current.contains_key(id)).collect();
        let found = self.current_secrets(org, unknown.clone()).await?;
        let current = unknown.into_iter().map(|id| (id, found.get(&id).map(|meta| meta.version)));
        let current: Vec<_> = current.collect();
        scan.current.extend(current);
        // The time matters only for boots whose lifetime has passed.
        if chunk.rows.iter().all(|row| row.record.is_running(scan.now)) {
            return Ok(());
        }
        let versions = chunk.selected.values().flatten().filter(|version| scan.is_outdated(version));
        let ids: BTreeSet<_> = versions
            .map(|version| (version.secret, version.version))
            .filter(|id| !scan.retired.contains_key(id))
            .collect();
        let keys: Vec<_> = ids
            .iter()
            .map(|(secret, version)| self.records().retired_version(org, *secret, *version))
            .collect();
        let found = self.records().get_all(&keys).await?;
        scan.retired.extend(ids.into_iter().zip(found.into_iter().map(|retired| retired?.at)));
        Ok(())
    }

    async fn finish_holders(&self, org: OrgId, mut scan: HolderScan) -> Result<Holders, Failure> {
        for (row, outdated) in std::mem::take(&mut scan.several).into_values() {
            scan.count(&row, outdated);
        }
        scan.counts.other_private += scan.several_others.len() as u64;
        let next = scan.page.last().filter(|_| scan.more).map(|(key, ..)| self.cursor(key));
        let keys: Vec<_> = scan.page.iter().map(|(_, boot, _)| self.records().boot(org, *boot)).collect();
        let mut items = Vec::new();
        for ((.., held), record) in scan.page.into_iter().zip(self.records().get_all(&keys).await?) {
            // The boot has ended since its row was read.
            let Some(record) = record else { continue };
            items.extend(held.into_iter().map(|held| Holder {
                boot: record.id,
                member: record.member.1.clone(),
                at: record.at,
                host: record.host.clone(),
                status: record.status(scan.now),
                reports_end: record.reports_end,
                lifetime_ends_at: record.lifetime_ends_at,
                held,
            }));
        }
        items.sort_by_key(|holder| std::cmp::Reverse((holder.at, holder.boot)));
        Ok(Holders { secrets: scan.secrets, counts: scan.counts, at: scan.now, items, next })
    }
}

impl HolderScan {
    fn new(named: NamedSecrets, now: Timestamp, limit: usize) -> Self {
        Self {
            ids: named.own.iter().map(|secret| secret.id).collect(),
            others: named.others.iter().map(|secret| secret.id).collect(),
            secrets: named.own,
            now,
            only_outdated: false,
            start: None,
            limit,
            counts: HolderCounts::default(),
            several: HashMap::new(),
            several_others: HashSet::new(),
            current: BTreeMap::new(),
            retired: BTreeMap::new(),
            page: Vec::new(),
            more: false,
        }
    }

    /// Adds a row to the counts, and to the page if it belongs there.
    fn add(&mut self, row: &RunningRow, received: &[Arc<ReleasedVersion>]) {
        let RunningRow { key, boot, record, .. } = row;
        let is_running = record.is_running(self.now);
        let (own, others): (Vec<_>, Vec<_>) =
            received.iter().partition(|version| self.ids.contains(&version.secret));
        match (others.is_empty() || !is_running, record.several) {
            (true, _) => {}
            // A boot with several rows counts once.
            (false, true) => _ = self.several_others.insert(*boot),
            (false, false) => self.counts.other_private += 1,
        }
        if own.is_empty() {
            return;
        }
        let outdated = own.iter().any(|version| match is_running {
            true => self.is_outdated(version),
            false => self.was_outdated(version, record.lifetime_ends_at),
        });
        if record.several {
            // Counted once at the end. One outdated version is enough.
            let seen = self.several.entry(*boot).or_insert((record.clone(), false));
            seen.1 |= outdated;
        } else {
            self.count(record, outdated);
        }
        let is_listed = outdated || (is_running && !self.only_outdated);
        if is_listed && self.start.as_ref().is_none_or(|start| key > start) {
            if self.page.len() < self.limit {
                let held = own.iter().map(|version| Held::of(version, self.current_of(version.secret)));
                let held = held.collect();
                self.page.push((key.clone(), *boot, held));
            } else {
                self.more = true;
            }
        }
    }

    fn current_of(&self, secret: SecretId) -> Option<VersionId> {
        self.current.get(&secret).copied().flatten()
    }

    fn is_outdated(&self, version: &ReleasedVersion) -> bool {
        self.ids.contains(&version.secret) && self.current_of(version.secret) != Some(version.version)
    }

    /// Whether a version was already outdated when the lifetime of its boot passed.
    fn was_outdated(&self, version: &ReleasedVersion, lifetime_ends_at: Option<Timestamp>) -> bool {
        let retired_at = self.retired.get(&(version.secret, version.version)).copied().flatten();
        // An older version of the program stored no time of the replacement. Then the boot counts.
        self.is_outdated(version) && retired_at.is_none_or(|at| lifetime_ends_at.is_none_or(|end| at <= end))
    }

    fn count(&mut self, row: &RunningRecord, outdated: bool) {
        let is_running = row.is_running(self.now);
        let counts = &mut self.counts;
        match (is_running, outdated) {
            (true, false) => counts.current += 1,
            (true, true) => {
                counts.outdated += 1;
                counts.without_end += u64::from(!row.reports_end && row.lifetime_ends_at.is_none());
                counts.last_lifetime_end = counts.last_lifetime_end.max(row.lifetime_ends_at);
            }
            // Only the lifetime says that this boot has ended.
            (false, true) => {
                counts.lapsed += 1;
                counts.without_end += u64::from(!row.reports_end);
            }
            (false, false) => {}
        }
    }
}
