//! Which secrets running boots still hold in an outdated version: the same numbers as those of one secret, for all at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::domain::id::{BootId, OrgId, SecretId, VersionId};
use crate::domain::role::{Action, ScopeSubject, Subject};
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::ReleasedVersion;
use crate::store::rules::boots::named_secrets::NamedSecret;
use crate::store::rules::boots::receipt_cache::CachedReceipt;
use crate::store::rules::boots::running::{RunningChunk, RunningReader};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// Secrets that are listed.
const MAX_LISTED: usize = 100;

/// What running boots hold of the secrets whose holders the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HolderStatistics {
    /// Running boots that hold such a secret.
    pub running: u64,
    /// Those that hold a version that was replaced or deleted.
    pub outdated: u64,
    /// The secrets of these versions, and how many boots hold one. The most first; at most 100.
    pub secrets: Vec<(NamedSecret, u64)>,
    /// Whether boots that an older version of the program stored are not counted yet.
    pub incomplete: bool,
}

/// The numbers while the boots are read.
#[derive(Default)]
struct HolderTally {
    running: u64,
    outdated: u64,
    by_secret: HashMap<SecretId, (Arc<ReleasedVersion>, u64)>,
    /// Boots with several rows, and the outdated versions in any of them.
    several: HashMap<BootId, BTreeMap<SecretId, Arc<ReleasedVersion>>>,
    current: BTreeMap<SecretId, Option<VersionId>>,
}

impl Store {
    /// Counts the running boots that hold outdated versions of secrets whose holders the caller may see.
    pub async fn holder_statistics(&self, caller: &Caller) -> Result<HolderStatistics, Error> {
        let org = caller.own_org()?;
        let mut statistics =
            HolderStatistics { incomplete: !self.is_indexed().await?, ..HolderStatistics::default() };
        let sees_shared = caller.may(Action::ReadHolders(ScopeSubject::Shared));
        // Who may list no boots learns no numbers of them either.
        if !caller.may(Action::ReadBoots(Subject::Own)) {
            return Ok(statistics);
        }
        let mut tally = HolderTally::default();
        let mut running = RunningReader::new(self, org);
        let select = |receipt: &CachedReceipt| {
            let versions = receipt.versions().iter();
            versions.filter(|version| sees_shared || version.scope == ScopeKind::Private).cloned().collect()
        };
        while let Some(chunk) = running.next(select).await? {
            self.read_current(org, &chunk, &mut tally).await?;
            tally.add(caller, &chunk, self.now());
        }
        tally.finish();
        (statistics.running, statistics.outdated) = (tally.running, tally.outdated);
        let mut found: Vec<_> = tally.by_secret.into_values().collect();
        found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.env.cmp(&b.0.env)));
        found.truncate(MAX_LISTED);
        let current = self.current_secrets(org, found.iter().map(|(version, _)| version.secret).collect());
        let current = current.await?;
        statistics.secrets = found
            .into_iter()
            .map(|(version, count)| (NamedSecret::now(current.get(&version.secret), &version), count))
            .collect();
        Ok(statistics)
    }

    async fn read_current(
        &self,
        org: OrgId,
        chunk: &RunningChunk,
        tally: &mut HolderTally,
    ) -> Result<(), Failure> {
        let secrets = chunk.selected.values().flatten().map(|version| version.secret);
        let unknown: BTreeSet<SecretId> = secrets.filter(|id| !tally.current.contains_key(id)).collect();
        let found = self.current_secrets(org, unknown.clone()).await?;
        tally.current.extend(unknown.into_iter().map(|id| (id, found.get(&id).map(|meta| meta.version))));
        Ok(())
    }
}

impl HolderTally {
    fn add(&mut self, caller: &Caller, chunk: &RunningChunk, now: Timestamp) {
        // Once for each receipt: thousands of boots may have received the same.
        let mut outdated = BTreeMap::new();
        for (receipt, versions) in &chunk.selected {
            let is_outdated = |version: &&Arc<ReleasedVersion>| {
                self.current.get(&version.secret).copied().flatten() != Some(version.version)
            };
            outdated.insert(receipt, versions.iter().filter(is_outdated).collect::<Vec<_>>());
        }
        for row in chunk.rows.iter().filter(|row| row.record.is_running(now)) {
            let subject = ScopeSubject::Private(caller.subject(row.record.member));
            let sees_private = caller.may(Action::ReadHolders(subject));
            let sees = |version: &&Arc<ReleasedVersion>| sees_private || version.scope == ScopeKind::Shared;
            if !chunk.of(row).iter().any(|version| sees(&version)) {
                continue;
            }
            let outdated = outdated.get(&row.receipt).into_iter().flatten().copied().filter(sees);
            if row.record.several {
                let seen = self.several.entry(row.boot).or_default();
                seen.extend(outdated.map(|version| (version.secret, Arc::clone(version))));
                continue;
            }
            let outdated: Vec<_> = outdated.collect();
            self.count(&outdated);
        }
    }

    /// Counts the boots with several rows, each once.
    fn finish(&mut self) {
        for held in std::mem::take(&mut self.several).into_values() {
            self.count(&held.values().collect::<Vec<_>>());
        }
    }

    fn count(&mut self, outdated: &[&Arc<ReleasedVersion>]) {
        self.running += 1;
        self.outdated += u64::from(!outdated.is_empty());
        for version in outdated {
            let counted = self.by_secret.entry(version.secret);
            counted.or_insert_with(|| (Arc::clone(version), 0)).1 += 1;
        }
    }
}
