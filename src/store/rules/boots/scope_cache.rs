//! What boots decide from, cached from one boot to the next: the secrets of a scope as they are stored, and the answers to
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
use crate::kv::Revision;
use crate::store::engine::records::Records;
use crate::store::tables::secrets;
use crate::store::tables::secrets::SecretRecord;

/// Bytes of cached secrets, about: some 40,000 secrets, which is the work of boots for 2,000 scopes of 20.
const SCOPE_BYTES: u64 = 32 << 20;
/// Bytes of cached answers, about.
const ANSWER_BYTES: u64 = 16 << 20;
/// Bytes counted for each secret beside its value, and for each entry of a receipt: names, ids and times.
const ENTRY_BYTES: usize = 512;
/// Scopes and answers that the tables have room for at first.
const EXPECTED: usize = 256;

/// The secrets of one scope.
pub(crate) struct CachedScope {
    pub(crate) secrets: Vec<SecretRecord>,
    pub(crate) stamp: VersionStamp,
}

/// The disabled plugins of an organization. Their secrets are withheld from boots.
pub(crate) struct DisabledPlugins {
    pub(crate) plugins: BTreeSet<PluginName>,
    pub(crate) stamp: VersionStamp,
}

/// A key that every change of something writes, and its revision when that was read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct VersionStamp {
    pub(crate) key: Vec<u8>,
    /// `None` if nothing was ever written.
    pub(crate) at: Option<Revision>,
}

/// What a boot decides from.
#[derive(Clone)]
pub(crate) struct ScopeSnapshot {
    pub(crate) private: Arc<CachedScope>,
    pub(crate) shared: Arc<CachedScope>,
    pub(crate) disabled: Arc<DisabledPlugins>,
}

/// The answer to a request.
pub(crate) struct CachedAnswer {
    pub(crate) snapshot: ScopeSnapshot,
    /// Its revision is that of the boot it was made for.
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
    answers: Cache<AnswerKey, Arc<CachedAnswer>, ByBytes>,
}

/// Whose request it is, and the request.
pub(crate) type AnswerKey = (OrgId, MemberId, ResolveRequest);

#[derive(Clone)]
struct ByBytes;

// === impl ScopeCache ===

impl Default for ScopeCache {
    fn default() -> Self {
        Self {
            scopes: Cache::with_weighter(EXPECTED, SCOPE_BYTES, ByBytes),
            // A list is small, so that this bound is never reached in practice.
            disabled: Cache::with_weighter(EXPECTED, ANSWER_BYTES, ByBytes),
            answers: Cache::with_weighter(EXPECTED, ANSWER_BYTES, ByBytes),
        }
    }
}

impl ScopeCache {
    /// Returns what a member's boots decide from, if all of it is cached. It may be outdated.
    pub(crate) fn snapshot(&self, org: OrgId, member: MemberId) -> Option<ScopeSnapshot> {
        Some(ScopeSnapshot {
            // All three or nothing: a part of a snapshot would have to be read with the rest anyway.
            private: self.scopes.get(&(org, Some(member)))?,
            shared: self.scopes.get(&(org, None))?,
            disabled: self.disabled.get(&org)?,
        })
    }

    /// Returns the secrets of a scope, if they are cached with this stamp.
    pub(crate) fn scope(&self, org: OrgId, scope: Scope, stamp: &VersionStamp) -> Option<Arc<CachedScope>> {
        self.scopes.get(&(org, scope.owner())).filter(|cached| cached.stamp == *stamp)
    }

    pub(crate) fn insert_scope(&self, org: OrgId, scope: Scope, secrets: CachedScope) -> Arc<CachedScope> {
        let secrets = Arc::new(secrets);
        // Of two boots that read at once, the later one stays. Both entries are correct for their stamps.
        self.scopes.insert((org, scope.owner()), Arc::clone(&secrets));
        secrets
    }

    pub(crate) fn insert_disabled(&self, org: OrgId, disabled: DisabledPlugins) -> Arc<DisabledPlugins> {
        let disabled = Arc::new(disabled);
        self.disabled.insert(org, Arc::clone(&disabled));
        disabled
    }

    /// Returns the answer to a request, if it was decided from this very snapshot.
    pub(crate) fn answer(&self, key: &AnswerKey, snapshot: &ScopeSnapshot) -> Option<Arc<CachedAnswer>> {
        self.answers.get(key).filter(|answer| answer.snapshot.is_same(snapshot))
    }

    pub(crate) fn insert_answer(&self, key: AnswerKey, answer: CachedAnswer) {
        self.answers.insert(key, Arc::new(answer));
    }

    /// Drops all answers, because the key that they are sealed under is gone.
    pub(crate) fn clear_answers(&self) {
        self.answers.clear();
    }
}

// === impl ScopeSnapshot, VersionStamp ===

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
        secrets::scope_mark(&records.secrets(org, scope)).to_vec()
    }
}

// === impl Weighter ===

impl Weighter<(OrgId, Option<MemberId>), Arc<CachedScope>> for ByBytes {
    fn weight(&self, _: &(OrgId, Option<MemberId>), scope: &Arc<CachedScope>) -> u64 {
        // Bodies that are stored apart are not in the cache, and do not count.
        let sizes = scope.secrets.iter().map(|record| ENTRY_BYTES + record.value.size_here());
        (ENTRY_BYTES + sizes.sum::<usize>()) as u64
    }
}

impl Weighter<OrgId, Arc<DisabledPlugins>> for ByBytes {
    fn weight(&self, _: &OrgId, disabled: &Arc<DisabledPlugins>) -> u64 {
        (ENTRY_BYTES + disabled.plugins.len() * ENTRY_BYTES) as u64
    }
}

impl Weighter<AnswerKey, Arc<CachedAnswer>> for ByBytes {
    fn weight(&self, (.., request): &AnswerKey, answer: &Arc<CachedAnswer>) -> u64 {
        // Destructured, so that a field that is added to the request cannot be forgotten here.
        let ResolveRequest { plugins, include, exclude, references } = request;
        let names =
            plugins.as_ref().map_or(0, BTreeSet::len) + include.len() + exclude.len() + references.len();
        let entries = answer.receipt.entries.len() + answer.receipt.skipped.len();
        (ENTRY_BYTES + (names + entries) * ENTRY_BYTES + answer.sealed.len()) as u64
    }
}
