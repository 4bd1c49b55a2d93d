//! What is in scope of a boot, and its values opened.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Store;
use super::super::error::Failure;
use super::super::keys::{OpenValueError, Release};
use super::super::secrets::{SecretRecord, Whole};
use super::ReleasedValue;
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::name::PluginName;
use crate::domain::receipt::Receipt;
use crate::domain::resolve::{Request, resolve};
use crate::domain::secret::Scope;
use crate::domain::value::{MAX_VARIABLE, SecretValue, check};

/// The secrets in scope of one boot, as of one look.
pub(super) struct InScope {
    secrets: BTreeMap<SecretId, SecretRecord>,
    /// Plugins whose secrets are kept back.
    disabled: BTreeSet<PluginName>,
    revision: u64,
}

/// Why values were not opened.
pub(super) enum NotOpened {
    /// This process lacks the release key of a newer generation.
    Locked,
    /// A secret changed since it was looked at.
    Changed,
    Failed(Failure),
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Store {
    /// Shared and private secrets of a member: one scan each, and one small record beside them.
    pub(super) async fn in_scope(&self, org: OrgId, member: MemberId) -> Result<InScope, Failure> {
        let private = self.records().secrets(org, Scope::Private(member));
        let shared = self.records().secrets(org, Scope::Shared);
        let (disabled, private, shared) = tokio::join!(
            self.disabled_plugins(org),
            self.records().scan_all(&private),
            self.records().scan_all(&shared)
        );
        let (disabled, (private, _), (shared, revision)) = (disabled?, private?, shared?);
        let all = private.into_iter().chain(shared).map(|found| (found.record.meta.id, found.record));
        let secrets = all.collect();
        Ok(InScope { secrets, disabled, revision: self.revision(revision) })
    }

    /// Resolves and opens exactly what the receipt names.
    pub(super) async fn open_all(
        &self,
        release: &Release,
        mut scope: InScope,
        request: &Request,
    ) -> Result<(Receipt, Vec<ReleasedValue>), NotOpened> {
        let mut opened: BTreeMap<SecretId, SecretValue> = BTreeMap::new();
        loop {
            let receipt = scope.resolve(request);
            let mut unusable = Vec::new();
            for entry in &receipt.entries {
                if opened.contains_key(&entry.id) {
                    continue;
                }
                let record = scope.secrets.get(&entry.id).ok_or(Failure::Internal)?;
                match self.open_one(release, record).await? {
                    Some(value) => drop(opened.insert(entry.id, value)),
                    None => unusable.push(entry.id),
                }
            }
            if unusable.is_empty() {
                // Nothing that an earlier round opened leaves, unless this one named it too.
                let named: BTreeSet<SecretId> = receipt.entries.iter().map(|entry| entry.id).collect();
                let values = opened.into_iter().filter(|(id, _)| named.contains(id));
                return Ok((receipt, values.map(|(id, value)| ReleasedValue { id, value }).collect()));
            }
            // Decided anew without those: what they would have shadowed may be released instead.
            scope.mark_unusable(&unusable);
        }
    }

    /// None when it cannot be exported: what a depositor sealed was judged by its length only.
    async fn open_one(
        &self,
        release: &Release,
        record: &SecretRecord,
    ) -> Result<Option<SecretValue>, NotOpened> {
        let apart = match record.value.body().place() {
            None => None,
            Some(place) => match self.records().get(&place).await? {
                None => return Err(NotOpened::Changed),
                apart => apart,
            },
        };
        let value = match record.value.clone().whole(apart)? {
            Whole::Plain(bytes) => SecretValue::new(bytes),
            Whole::Sealed(sealed) => match self.open_value(release, record, &sealed) {
                Ok(value) => value,
                Err(OpenValueError::Unusable) => return Ok(None),
                Err(OpenValueError::UnknownGeneration) => return Err(NotOpened::Locked),
            },
        };
        // The ceiling was the organization's at deposit time; here only what the kernel takes counts.
        let most = u32::try_from(MAX_VARIABLE).unwrap_or(u32::MAX);
        let usable = check(&value, &record.meta.env, record.meta.delivery, most).is_ok();
        Ok(usable.then_some(value))
    }
}

impl InScope {
    pub(super) fn resolve(&self, request: &Request) -> Receipt {
        let candidates = self.secrets.values().map(|record| &record.meta);
        Receipt::of(resolve(candidates, &self.disabled, request), self.revision)
    }

    /// Makes them too long to be delivered, which the resolution reports as unusable.
    fn mark_unusable(&mut self, ids: &[SecretId]) {
        for id in ids {
            if let Some(record) = self.secrets.get_mut(id) {
                record.meta.value_len = u32::MAX;
            }
        }
    }
}
