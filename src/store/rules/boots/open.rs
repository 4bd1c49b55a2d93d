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
use crate::store::engine::audit::rows;
use crate::store::engine::failure::Failure;
use crate::store::rules::boots::ReleasedValue;
use crate::store::rules::boots::release::PendingBoot;
use crate::store::rules::boots::scope_cache::{
    CachedResult, CachedScope, DisabledPlugins, ScopeSnapshot, VersionStamp,
};
use crate::store::rules::keys::OpenValueError;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::secrets::AssembledValue;
use crate::store::rules::store::Store;
use crate::store::tables::boots::ReceiptRecord;
use crate::store::tables::scope_stamps::{ScopeStamp, scope_stamp_key};
use crate::store::tables::secrets::SecretRecord;

/// The associated data of a cached result.
const CACHE_LABEL: &str = "dropsafe cached release v1";

/// Bytes of values that are cached together. Few boots have more, and opening large values again costs little beside them.
const MAX_CACHED: usize = 256 << 10;

/// What a boot receives, before its commit.
pub(crate) struct OpenedScope {
    /// Its revision is 0 until the commit.
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
    /// A private secret does not open, or cannot be exported.
    Unusable(Box<SecretMeta>),
    /// The store failed.
    Failed(Failure),
}

impl From<Failure> for OpenScopeError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Store {
    /// Reads the scope of a member's boots as it is now.
    pub(crate) async fn read_scope(&self, org: OrgId, member: MemberId) -> Result<ScopeSnapshot, Failure> {
        let records = self.records();
        let scopes = [Scope::Private(member), Scope::Shared];
        let plugins = records.plugin_list(org);
        let [private, shared] = scopes.map(|scope| VersionStamp::scope_key(records, org, scope));
        let keys = vec![private, shared, plugins.to_vec()];
        // Before the secrets: a change after this writes a newer stamp, so that it cannot be missed.
        let read = records.snapshot(keys.clone()).await?;
        let mut stamps =
            keys.into_iter().enumerate().map(|(i, key)| VersionStamp { key, at: read.version(i) });
        let mut stamp = || stamps.next().ok_or(Failure::Internal);
        let rows_of = |index: usize| {
            let key = scope_stamp_key(&records.secrets(org, scopes[index]));
            read.read(records, index, &key).map(Option::unwrap_or_default)
        };
        let private = self.read_secrets(org, scopes[0], stamp()?, rows_of(0)?);
        let shared = self.read_secrets(org, scopes[1], stamp()?, rows_of(1)?);
        // At the same time, because each of them may be a scan of a remote byte store.
        let (private, shared) = tokio::try_join!(private, shared)?;

        let list = read.read(records, 2, &plugins)?.unwrap_or_default();
        let disabled = DisabledPlugins { plugins: list.disabled(), stamp: stamp()? };
        // A new pointer, so that results of the list before it no longer match.
        let disabled = self.inner.scope_cache.insert_disabled(org, disabled);
        Ok(ScopeSnapshot { private, shared, disabled })
    }

    /// The secrets of a scope: from the cache, or by one scan.
    ///
    /// # Errors
    /// `RolledBack` if the scope lacks a row that its stamp covers, holds an older one, or this process has seen a newer stamp.
    async fn read_secrets(
        &self,
        org: OrgId,
        scope: Scope,
        stamp: VersionStamp,
        covered: ScopeStamp,
    ) -> Result<Arc<CachedScope>, Failure> {
        let cached = self.inner.scope_cache.newest(org, scope);
        // The stamp proves that the cached scope is the stored one, whatever its age, unless this process has seen a newer stamp.
        let is_stored = |cached: &&Arc<CachedScope>| cached.stamp == stamp && self.is_newest(cached);
        if let Some(cached) = cached.as_ref().filter(is_stored) {
            return Ok(Arc::clone(cached));
        }
        let (secrets, found) = self.scan_scope(org, scope).await?;
        if !found.has_rows_of(&covered) || self.inner.stamps.accept(&stamp.key, &covered).is_err() {
            // A change since the stamp was read explains it. Then the boot's commit refuses this snapshot, and it is read again.
            let now = self.records().snapshot(vec![stamp.key.clone()]).await?;
            if now.version(0) == stamp.at {
                return Err(Failure::RolledBack);
            }
        }
        let scanned = CachedScope { secrets, stamp, covered };
        Ok(self.inner.scope_cache.insert_scope(org, scope, scanned))
    }

    /// Whether this process has seen no newer stamp of a scope than that of the cached one.
    fn is_newest(&self, cached: &CachedScope) -> bool {
        self.inner.stamps.accept(&cached.stamp.key, &cached.covered).is_ok()
    }

    /// Returns the snapshot for a member's boots, if all of it is cached and this process has seen nothing newer.
    pub(crate) fn cached_snapshot(&self, org: OrgId, member: MemberId) -> Option<ScopeSnapshot> {
        let snapshot = self.inner.scope_cache.snapshot(org, member)?;
        (self.is_newest(&snapshot.private) && self.is_newest(&snapshot.shared)).then_some(snapshot)
    }

    /// The secrets of a scope, and the stamp that covers their rows.
    async fn scan_scope(&self, org: OrgId, scope: Scope) -> Result<(Vec<SecretRecord>, ScopeStamp), Failure> {
        let (records, prefix) = (self.records(), self.records().secrets(org, scope));
        let (mut secrets, mut stamp) = (Vec::new(), ScopeStamp::default());
        let each = |key: &[u8], sealed: &[u8]| {
            secrets.push(records.open(key, sealed)?);
            stamp.add(records, key, &rows::digest(sealed));
            Ok(())
        };
        records.for_each_row(&prefix, each).await?;
        Ok((secrets, stamp))
    }

    /// Returns the result for a request from a snapshot: the cached one, or a new one.
    pub(crate) async fn open_scope(
        &self,
        release: &Release,
        boot: &PendingBoot<'_>,
        snapshot: &ScopeSnapshot,
    ) -> Result<OpenedScope, OpenScopeError> {
        let PendingBoot { org, member, request, .. } = boot;
        let key = (*org, *member, request.clone());
        // Bound to the member, so that a defect of the cache cannot release another member's values.
        let aad = Aad::new(CACHE_LABEL).part(org.as_bytes()).part(member.as_bytes());
        if let Some(cached) = self.inner.scope_cache.result(&key, snapshot)
            // It does not open if the store was locked and unlocked meanwhile: the key is of this unlock only.
            && let Ok(values) = aead::open_prefixed(&release.cache_key, &aad, &cached.sealed)
        {
            let values = split_values(&values).ok_or(Failure::Internal)?;
            let CachedResult { receipt, digest, content, .. } = &*cached;
            return Ok(OpenedScope { receipt: receipt.clone(), digest: *digest, content: *content, values });
        }
        let (receipt, values) = self.open_values(release, snapshot, request).await?;
        let (digest, content) = (receipt.digest(), ReceiptRecord::of(&receipt).digest()?);
        let together = join_values(&values);
        if together.len() <= MAX_CACHED {
            let sealed = aead::seal_prefixed(&release.cache_key, &aad, &together, &mut self.records().rng());
            let snapshot = snapshot.clone();
            let result = CachedResult { snapshot, receipt: receipt.clone(), digest, content, sealed };
            self.inner.scope_cache.insert_result(key, result);
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
                // Opened in an earlier round: a new round only adds what an unusable secret has shadowed.
                if opened.contains_key(&entry.id) {
                    continue;
                }
                let record = snapshot.secret(entry.id).ok_or(Failure::Internal)?;
                match self.open_one(release, record).await? {
                    Some(value) => drop(opened.insert(entry.id, value)),
                    // Without it, the workload would start with the shared secret of its name, or with none.
                    None if record.meta.scope != Scope::Shared => {
                        self.note_unusable(&[record]).await?;
                        return Err(OpenScopeError::Unusable(Box::new(record.meta.clone())));
                    }
                    // A shared one stops nobody's boot.
                    None => drop(unusable.insert(entry.id, record.meta.as_unusable())),
                }
            }
            if unusable.len() == before {
                // A value of an earlier round is released only if the last receipt names it too.
                let skipped: Vec<_> = unusable.keys().filter_map(|id| snapshot.secret(*id)).collect();
                self.note_unusable(&skipped).await?;
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
        let apart = match self.read_apart(record).await {
            Ok(apart) => apart,
            // The scope is read again.
            Err(None) => return Err(OpenScopeError::Changed),
            Err(Some(failure)) => return Err(failure.into()),
        };
        let value = match record.value.clone().assemble(apart)? {
            AssembledValue::Plain(bytes) => SecretValue::new(bytes),
            AssembledValue::Sealed(sealed) => match self.open_value(release, record, &sealed) {
                Ok(value) => value,
                Err(OpenValueError::Unusable) => return Ok(None),
                // No other process has that generation either.
                Err(OpenValueError::UnknownGeneration) if self.has_newest_keys(release).await? => {
                    return Ok(None);
                }
                Err(OpenValueError::UnknownGeneration) => return Err(OpenScopeError::UnknownGeneration),
            },
        };
        // The organization's ceiling applied at deposit time. Here only the kernel's limit counts.
        let most = u32::try_from(MAX_VARIABLE).unwrap_or(u32::MAX);
        let usable = check(&value, &record.meta.env, record.meta.delivery, most).is_ok();
        Ok(usable.then_some(value))
    }
}

impl SecretMeta {
    /// The metadata with which a resolution reports the secret as unusable: a length that no variable and no file may have.
    pub(crate) fn as_unusable(&self) -> Self {
        Self { value_len: u32::MAX, ..self.clone() }
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

    /// Resolves a request as a boot would that finds the values of the secrets `marked` not to open.
    pub(crate) fn resolve_without(&self, request: &ResolveRequest, marked: &[SecretRecord]) -> Receipt {
        let mut unusable = BTreeMap::new();
        loop {
            let receipt = self.resolve(request, &unusable);
            // Only those that would be released: of the others, the boot does not find out.
            let named =
                |record: &&SecretRecord| receipt.entries.iter().any(|entry| entry.id == record.meta.id);
            let found: Vec<_> = marked.iter().filter(named).collect();
            if found.is_empty() {
                return receipt;
            }
            unusable.extend(found.into_iter().map(|record| (record.meta.id, record.meta.as_unusable())));
        }
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
    // The seal has proved the bytes, so that a rest would be a defect and not damage.
    joined.is_empty().then_some(values)
}
