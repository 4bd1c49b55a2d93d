//! The scope of a boot: read or taken from the cache, resolved, and its values opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::crypto::aad::Aad;
use crate::crypto::aead;
use crate::domain::digest::Digest;
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::receipt::Receipt;
use crate::domain::resolve::{ResolveRequest, resolve};
use crate::domain::secret::{Scope, SecretMeta};
use crate::domain::value::{MAX_VARIABLE, SecretValue, check};
use crate::store::engine::failure::Failure;
use crate::store::rules::boots::ReleasedValue;
use crate::store::rules::boots::release::PendingBoot;
use crate::store::rules::boots::scope_cache::{
    CachedAnswer, CachedScope, DisabledPlugins, ScopeSnapshot, VersionStamp,
};
use crate::store::rules::keys::OpenValueError;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::secrets::Whole;
use crate::store::rules::store::Store;
use crate::store::tables::boots::ReceiptRecord;
use crate::store::tables::secrets::SecretRecord;

/// What the seal of a cached answer is bound to.
const CACHE_LABEL: &str = "dropsafe cached release v1";

/// Bytes of values that are cached together. Few boots have more, and opening large values again costs little beside them.
const MAX_CACHED: usize = 256 << 10;

/// What a boot is given, before its commit.
pub(crate) struct OpenedScope {
    /// Its revision is not that of this boot.
    pub(crate) receipt: Receipt,
    /// What the agent checks.
    pub(crate) digest: Digest,
    /// The digest of the receipt's record.
    pub(crate) content: Digest,
    pub(crate) values: Vec<ReleasedValue>,
}

/// Why a scope was not opened.
pub(crate) enum OpenScopeError {
    /// This process lacks the release key of a newer generation.
    UnknownGeneration,
    /// A secret changed since the snapshot.
    Changed,
    /// The store failed.
    Failed(Failure),
}

impl From<Failure> for OpenScopeError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Store {
    /// Reads what a member's boots decide from, as it is now.
    pub(crate) async fn read_scope(&self, org: OrgId, member: MemberId) -> Result<ScopeSnapshot, Failure> {
        let records = self.records();
        let scopes = [Scope::Private(member), Scope::Shared];
        let plugins = records.plugin_list(org);
        let [private, shared] = scopes.map(|scope| VersionStamp::scope_key(records, org, scope));
        let keys = vec![private, shared, plugins.to_vec()];
        // Before the secrets: a change after this writes a newer stamp, so that it cannot be missed.
        let read = records.snapshot(keys.clone()).await?;
        let mut stamps =
            keys.into_iter().enumerate().map(|(i, key)| VersionStamp { key, at: read.written_at(i) });
        let mut stamp = || stamps.next().ok_or(Failure::Internal);
        let [private, shared] = scopes.map(|scope| stamp().map(|stamp| self.read_secrets(org, scope, stamp)));
        let (private, shared) = tokio::try_join!(private?, shared?)?;

        let list = read.read(records, 2, &plugins)?.unwrap_or_default();
        let disabled = DisabledPlugins { plugins: list.disabled(), stamp: stamp()? };
        let disabled = self.inner.scope_cache.insert_disabled(org, disabled);
        Ok(ScopeSnapshot { private, shared, disabled })
    }

    /// The secrets of a scope: from the cache, or by one scan.
    async fn read_secrets(
        &self,
        org: OrgId,
        scope: Scope,
        stamp: VersionStamp,
    ) -> Result<Arc<CachedScope>, Failure> {
        if let Some(cached) = self.inner.scope_cache.scope(org, scope, &stamp) {
            return Ok(cached);
        }
        let (found, _) = self.records().scan_all(&self.records().secrets(org, scope)).await?;
        let secrets = found.into_iter().map(|found| found.record).collect();
        Ok(self.inner.scope_cache.insert_scope(org, scope, CachedScope { secrets, stamp }))
    }

    /// Answers a boot's request from a snapshot: by the cached answer, or by resolving it and opening the values.
    pub(crate) async fn open_scope(
        &self,
        release: &Release,
        boot: &PendingBoot<'_>,
        snapshot: &ScopeSnapshot,
    ) -> Result<OpenedScope, OpenScopeError> {
        let PendingBoot { org, member, request, .. } = boot;
        let key = (*org, *member, request.clone());
        let aad = Aad::new(CACHE_LABEL).part(org.as_bytes()).part(member.as_bytes());
        if let Some(cached) = self.inner.scope_cache.answer(&key, snapshot)
            // It does not open if the store was locked and unlocked meanwhile: the key is of this unlock only.
            && let Ok(values) = aead::open_prefixed(&release.cache_key, &aad, &cached.sealed)
        {
            let values = split_values(&values).ok_or(Failure::Internal)?;
            let CachedAnswer { receipt, digest, content, .. } = &*cached;
            return Ok(OpenedScope { receipt: receipt.clone(), digest: *digest, content: *content, values });
        }
        let (receipt, values) = self.open_values(release, snapshot, request).await?;
        let (digest, content) = (receipt.digest(), ReceiptRecord::of(&receipt).digest()?);
        let together = join_values(&values);
        if together.len() <= MAX_CACHED {
            let sealed = aead::seal_prefixed(&release.cache_key, &aad, &together, &mut self.records().rng());
            let snapshot = snapshot.clone();
            let answer = CachedAnswer { snapshot, receipt: receipt.clone(), digest, content, sealed };
            self.inner.scope_cache.insert_answer(key, answer);
        }
        Ok(OpenedScope { receipt, digest, content, values })
    }

    /// Resolves the request and opens exactly what the receipt names.
    async fn open_values(
        &self,
        release: &Release,
        snapshot: &ScopeSnapshot,
        request: &ResolveRequest,
    ) -> Result<(Receipt, Vec<ReleasedValue>), OpenScopeError> {
        let mut opened: BTreeMap<SecretId, SecretValue> = BTreeMap::new();
        let mut unusable = BTreeMap::new();
        loop {
            let receipt = snapshot.resolve(request, &unusable);
            let before = unusable.len();
            for entry in &receipt.entries {
                if opened.contains_key(&entry.id) {
                    continue;
                }
                let record = snapshot.secret(entry.id).ok_or(Failure::Internal)?;
                match self.open_one(release, record).await? {
                    Some(value) => drop(opened.insert(entry.id, value)),
                    // A length that no variable may have: the resolution then reports the secret as unusable.
                    None => {
                        let meta = SecretMeta { value_len: u32::MAX, ..record.meta.clone() };
                        unusable.insert(entry.id, meta);
                    }
                }
            }
            if unusable.len() == before {
                // A value of an earlier round leaves only if the last receipt names it too.
                let named: BTreeSet<SecretId> = receipt.entries.iter().map(|entry| entry.id).collect();
                let values = opened.into_iter().filter(|(id, _)| named.contains(id));
                return Ok((receipt, values.map(|(id, value)| ReleasedValue { id, value }).collect()));
            }
            // Resolved again without the unusable ones, because the secrets that they shadow may now be released.
        }
    }

    /// Opens one value. `None` if it cannot be exported: the store cannot check a value that its depositor sealed.
    async fn open_one(
        &self,
        release: &Release,
        record: &SecretRecord,
    ) -> Result<Option<SecretValue>, OpenScopeError> {
        let apart = match record.value.body().place() {
            None => None,
            Some(place) => match self.records().get(&place).await? {
                None => return Err(OpenScopeError::Changed),
                apart => apart,
            },
        };
        let value = match record.value.clone().whole(apart)? {
            Whole::Plain(bytes) => SecretValue::new(bytes),
            Whole::Sealed(sealed) => match self.open_value(release, record, &sealed) {
                Ok(value) => value,
                Err(OpenValueError::Unusable) => return Ok(None),
                Err(OpenValueError::UnknownGeneration) => return Err(OpenScopeError::UnknownGeneration),
            },
        };
        // The organization's ceiling applied at deposit time. Here only the kernel's limit counts.
        let most = u32::try_from(MAX_VARIABLE).unwrap_or(u32::MAX);
        let usable = check(&value, &record.meta.env, record.meta.delivery, most).is_ok();
        Ok(usable.then_some(value))
    }
}

impl ScopeSnapshot {
    /// Resolves a request, with the metadata in `unusable` in place of the stored ones. The caller sets the revision.
    pub(crate) fn resolve(
        &self,
        request: &ResolveRequest,
        unusable: &BTreeMap<SecretId, SecretMeta>,
    ) -> Receipt {
        let candidates = self.secrets().map(|record| unusable.get(&record.meta.id).unwrap_or(&record.meta));
        Receipt::of(resolve(candidates, &self.disabled.plugins, request), 0)
    }
}

/// Ids, lengths and values in one piece, in memory that is wiped.
fn join_values(values: &[ReleasedValue]) -> Zeroizing<Vec<u8>> {
    // Allocated once: a vector that grows would leave copies behind that are not wiped.
    let size = values.iter().map(|released| 16 + 4 + released.value.len()).sum();
    let mut joined = Zeroizing::new(Vec::with_capacity(size));
    for ReleasedValue { id, value } in values {
        // The largest value is a file of 1 MiB, so that every length fits.
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        joined.extend_from_slice(id.as_bytes());
        joined.extend_from_slice(&len.to_be_bytes());
        joined.extend_from_slice(value.expose());
    }
    joined
}

fn split_values(mut joined: &[u8]) -> Option<Vec<ReleasedValue>> {
    let mut values = Vec::new();
    while let Some((id, rest)) = joined.split_first_chunk::<16>() {
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        values.push(ReleasedValue { id: SecretId::from_bytes(*id), value: SecretValue::new(value.to_vec()) });
        joined = rest;
    }
    joined.is_empty().then_some(values)
}
