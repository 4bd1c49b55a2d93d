//! The input of boots, cached from one boot to the next: the secrets of a scope as they are stored, and the results of
//! requests, sealed under a key of this process that is dropped when the store is locked.
//!
//! Nothing is trusted for its age. Each piece has a version stamp, which every change of it writes, and a boot's commit
//! requires that the stamps are unchanged. So a deposit that any server acknowledged is in every boot that begins
//! afterwards, and a boot whose scope did not change reads no secret from the byte store.

use std::collections::BTreeSet;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::digest::Digest;
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::name::PluginName;
use crate::domain::receipt::Receipt;
use crate::domain::resolve::ResolveRequest;
use crate::domain::secret::Scope;
use crate::store::engine::records::Records;
use crate::store::engine::row_digest::RowVersion;
use crate::store::tables::scope_stamps::{ScopeStamp, scope_stamp_key};
use crate::store::tables::secrets::SecretRecord;

/// Bytes of cached secrets, about: some 40,000 secrets, which is the work of boots for 2,000 scopes of 20.
const SCOPE_BYTES: u64 = 32 << 20;
/// Bytes of cached results, about.
const RESULT_BYTES: u64 = 16 << 20;
/// Bytes counted for each secret besides its value, and for each entry of a receipt: names, ids and times.
const ENTRY_BYTES: usize = 512;
/// The initial capacity of the tables.
const EXPECTED: usize = 256;

/// The secrets of one scope.
pub(crate) struct CachedScope {
    pub(crate) secrets: Vec<SecretRecord>,
    pub(crate) stamp: VersionStamp,
    /// The content of that stamp.
    pub(crate) covered: ScopeStamp,
}

/// The disabled plugins of an organization. Their secrets are withheld from boots.
pub(crate) struct DisabledPlugins {
    pub(crate) plugins: BTreeSet<PluginName>,
    pub(crate) stamp: VersionStamp,
}

/// A key that every change of something writes, and which write was stored when that was read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct VersionStamp {
    pub(crate) key: Vec<u8>,
    /// `None` if nothing was ever written.
    pub(crate) at: Option<RowVersion>,
}

/// The input of a boot's decision.
#[derive(Clone)]
pub(crate) struct ScopeSnapshot {
    pub(crate) private: Arc<CachedScope>,
    pub(crate) shared: Arc<CachedScope>,
    pub(crate) disabled: Arc<DisabledPlugins>,
}

/// The result of a request.
pub(crate) struct CachedResult {
    pub(crate) snapshot: ScopeSnapshot,
    /// Its revision is 0: the commit of each boot sets it.
    pub(crate) receipt: Receipt,
    pub(crate) digest: Digest,
    pub(crate) content: Digest,
    /// Ids, lengths and values, sealed.
    pub(crate) sealed: Vec<u8>,
}

/// The cache.
pub(crate) struct ScopeCache {
    scopes: Cache<(OrgId, Option<MemberId>), Arc<CachedScope>, ByBytes>,
    disabled: Cache<OrgId, Arc<DisabledPlugins>, ByBytes>,
    results: Cache<ResultKey, Arc<CachedResult>, ByBytes>,
}

/// A member and its request.
pub(crate) type ResultKey = (OrgId, MemberId, ResolveRequest);

#[derive(Clone)]
struct ByBytes;

impl Default for ScopeCache {
    fn default() -> Self {
        Self {
            scopes: Cache::with_weighter(EXPECTED, SCOPE_BYTES, ByBytes),
            // A list is small, so that this bound is never reached in practice.
            disabled: Cache::with_weighter(EXPECTED, RESULT_BYTES, ByBytes),
            results: Cache::with_weighter(EXPECTED, RESULT_BYTES, ByBytes),
        }
    }
}

impl ScopeCache {
    /// Returns the snapshot for a member's boots, if all of it is cached. It may be outdated.
    pub(crate) fn snapshot(&self, org: OrgId, member: MemberId) -> Option<ScopeSnapshot> {
        Some(ScopeSnapshot {
            // All three or nothing: a part of a snapshot would have to be read with the rest anyway.
            private: self.scopes.get(&(org, Some(member)))?,
            shared: self.scopes.get(&(org, None))?,
            disabled: self.disabled.get(&org)?,
        })
    }

    /// Returns the secrets of a scope as they were read last.
    pub(crate) fn newest(&self, org: OrgId, scope: Scope) -> Option<Arc<CachedScope>> {
        self.scopes.get(&(org, scope.owner()))
    }

    pub(crate) fn insert_scope(&self, org: OrgId, scope: Scope, secrets: CachedScope) -> Arc<CachedScope> {
        let secrets = Arc::new(secrets);
        // Of two boots that read at the same time, the later one's stays. Both entries are correct for their stamps.
        self.scopes.insert((org, scope.owner()), Arc::clone(&secrets));
        secrets
    }

    pub(crate) fn insert_disabled(&self, org: OrgId, disabled: DisabledPlugins) -> Arc<DisabledPlugins> {
        let disabled = Arc::new(disabled);
        self.disabled.insert(org, Arc::clone(&disabled));
        disabled
    }

    /// Returns the result of a request, if it was resolved from this very snapshot.
    pub(crate) fn result(&self, key: &ResultKey, snapshot: &ScopeSnapshot) -> Option<Arc<CachedResult>> {
        // A result of another snapshot stays until this request replaces it, or the cache needs its room.
        self.results.get(key).filter(|result| result.snapshot.is_same(snapshot))
    }

    pub(crate) fn insert_result(&self, key: ResultKey, result: CachedResult) {
        self.results.insert(key, Arc::new(result));
    }

    /// Drops all results, because the key that they are sealed under is gone.
    pub(crate) fn clear_results(&self) {
        self.results.clear();
    }
}

impl ScopeSnapshot {
    /// The stamps that a commit compares.
    pub(crate) fn stamps(&self) -> [&VersionStamp; 3] {
        [&self.private.stamp, &self.shared.stamp, &self.disabled.stamp]
    }

    /// The secrets in scope.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretRecord> {
        self.private.secrets.iter().chain(&self.shared.secrets)
    }

    pub(crate) fn secret(&self, id: SecretId) -> Option<&SecretRecord> {
        self.secrets().find(|record| record.meta.id == id)
    }

    fn is_same(&self, other: &Self) -> bool {
        // By pointer: what was read again has another one, and comparing contents would cost what the cache saves.
        Arc::ptr_eq(&self.private, &other.private)
            && Arc::ptr_eq(&self.shared, &other.shared)
            && Arc::ptr_eq(&self.disabled, &other.disabled)
    }
}

impl VersionStamp {
    /// The key of the stamp of a scope's secrets.
    pub(crate) fn scope_key(records: &Records, org: OrgId, scope: Scope) -> Vec<u8> {
        scope_stamp_key(&records.secrets(org, scope)).to_vec()
    }
}

impl Weighter<(OrgId, Option<MemberId>), Arc<CachedScope>> for ByBytes {
    fn weight(&self, _: &(OrgId, Option<MemberId>), scope: &Arc<CachedScope>) -> u64 {
        // Bodies that are stored apart are not in the cache, and do not count.
        let sizes = scope.secrets.iter().map(|record| ENTRY_BYTES + record.value.size_here());
        (ENTRY_BYTES + sizes.sum::<usize>()) as u64
    }
}

impl Weighter<OrgId, Arc<DisabledPlugins>> for ByBytes {
    fn weight(&self, _: &OrgId, disabled: &Arc<DisabledPlugins>) -> u64 {
        // An estimate is enough: the limit only has to keep many small entries in bounds.
        (ENTRY_BYTES + disabled.plugins.len() * ENTRY_BYTES) as u64
    }
}

impl Weighter<ResultKey, Arc<CachedResult>> for ByBytes {
    fn weight(&self, (.., request): &ResultKey, result: &Arc<CachedResult>) -> u64 {
        // Destructured, so that a field that is added to the request cannot be forgotten here.
        let ResolveRequest { plugins, include, exclude, references, referenced_as, addresses } = request;
        let names =
            plugins.as_ref().map_or(0, BTreeSet::len) + include.len() + exclude.len() + references.len();
        let names = names + referenced_as.len() + addresses.len();
        let entries = result.receipt.entries.len() + result.receipt.skipped.len();
        (ENTRY_BYTES + (names + entries) * ENTRY_BYTES + result.sealed.len()) as u64
    }
}
