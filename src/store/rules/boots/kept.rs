//! What boots decide from, kept in memory from one boot to the next: the secrets of a scope as they are stored, and what
//! requests came to, sealed under a key of this process that goes when the store is locked.
//!
//! Nothing here is good for its age. Each piece bears the revision of the mark that every change writes, and a boot's
//! commit looks whether the marks still are what it decided from: so a deposit that any server acknowledged is in every boot
//! that begins afterwards, and a boot in the steady state reads no secret from the byte store.

use std::collections::BTreeSet;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::name::PluginName;
use crate::domain::receipt::Receipt;
use crate::domain::resolve::ResolveRequest;
use crate::domain::secret::Scope;
use crate::kv::Revision;
use crate::store::engine::records::{Record, Records};
use crate::store::rules::secrets::SecretRecord;
use crate::store::tables::keyspace;

/// Bytes of sealed secrets that are kept, about: some 40,000 secrets, which is a boot's work for 2,000 scopes of 20.
const SHELVES: u64 = 32 << 20;
/// Bytes of answers that are kept, about.
const ANSWERS: u64 = 16 << 20;
/// Bytes counted for each secret beside its value, and for each entry of a receipt: names, ids and times.
const EACH: usize = 512;
/// Scopes and answers expected; what the tables are made for at first.
const EXPECTED: usize = 256;

/// Tells by the commit that wrote it when the secrets of a scope changed last.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ScopeMark;

impl Record for ScopeMark {}

/// The secrets of one scope.
pub(crate) struct Shelf {
    pub(crate) secrets: Vec<SecretRecord>,
    pub(crate) mark: Mark,
}

/// The plugins of an organization whose secrets are kept back.
pub(crate) struct Disabled {
    pub(crate) plugins: BTreeSet<PluginName>,
    pub(crate) mark: Mark,
}

/// A key, and the commit that had written it when something was read that the key stands for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) key: Vec<u8>,
    pub(crate) at: Option<Revision>,
}

/// What a boot decides from.
#[derive(Clone)]
pub(crate) struct Basis {
    pub(crate) private: Arc<Shelf>,
    pub(crate) shared: Arc<Shelf>,
    pub(crate) disabled: Arc<Disabled>,
}

/// What a request came to.
pub(crate) struct Answer {
    pub(crate) basis: Basis,
    /// Its revision is that of the boot it was made for.
    pub(crate) receipt: Receipt,
    pub(crate) digest: Digest,
    pub(crate) content: Digest,
    /// Ids, lengths and values, sealed.
    pub(crate) sealed: Vec<u8>,
}

/// What is kept.
pub(crate) struct Kept {
    shelves: Cache<(OrgId, Option<MemberId>), Arc<Shelf>, Size>,
    disabled: Cache<OrgId, Arc<Disabled>, Size>,
    answers: Cache<(OrgId, MemberId, ResolveRequest), Arc<Answer>, Size>,
}

#[derive(Clone)]
struct Size;

// === impl Kept ===

impl Default for Kept {
    fn default() -> Self {
        Self {
            shelves: Cache::with_weighter(EXPECTED, SHELVES, Size),
            disabled: Cache::with_weighter(EXPECTED, ANSWERS, Size),
            answers: Cache::with_weighter(EXPECTED, ANSWERS, Size),
        }
    }
}

impl Kept {
    /// What is kept of a member's scopes, if all of it is.
    pub(crate) fn basis(&self, org: OrgId, member: MemberId) -> Option<Basis> {
        Some(Basis {
            private: self.shelves.get(&(org, Some(member)))?,
            shared: self.shelves.get(&(org, None))?,
            disabled: self.disabled.get(&org)?,
        })
    }

    /// The secrets of a scope, if they are kept and were read when its mark was this.
    pub(crate) fn shelf(&self, org: OrgId, scope: Scope, mark: &Mark) -> Option<Arc<Shelf>> {
        self.shelves.get(&(org, scope.owner())).filter(|shelf| shelf.mark == *mark)
    }

    pub(crate) fn keep_shelf(&self, org: OrgId, scope: Scope, shelf: Shelf) -> Arc<Shelf> {
        let shelf = Arc::new(shelf);
        self.shelves.insert((org, scope.owner()), Arc::clone(&shelf));
        shelf
    }

    pub(crate) fn keep_disabled(&self, org: OrgId, disabled: Disabled) -> Arc<Disabled> {
        let disabled = Arc::new(disabled);
        self.disabled.insert(org, Arc::clone(&disabled));
        disabled
    }

    /// What the request came to, if it was decided from this very basis.
    pub(crate) fn answer(
        &self,
        key: &(OrgId, MemberId, ResolveRequest),
        basis: &Basis,
    ) -> Option<Arc<Answer>> {
        self.answers.get(key).filter(|answer| answer.basis.is(basis))
    }

    pub(crate) fn keep_answer(&self, key: (OrgId, MemberId, ResolveRequest), answer: Answer) {
        self.answers.insert(key, Arc::new(answer));
    }

    /// Forgets what requests came to: it was sealed under a key that is gone.
    pub(crate) fn forget_answers(&self) {
        self.answers.clear();
    }
}

// === impl Basis, Mark ===

impl Basis {
    /// The keys whose last change the commit is to look at.
    pub(crate) fn marks(&self) -> [&Mark; 3] {
        [&self.private.mark, &self.shared.mark, &self.disabled.mark]
    }

    /// The secrets in scope.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretRecord> {
        self.private.secrets.iter().chain(&self.shared.secrets)
    }

    pub(crate) fn secret(&self, id: SecretId) -> Option<&SecretRecord> {
        self.secrets().find(|record| record.meta.id == id)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.private, &other.private)
            && Arc::ptr_eq(&self.shared, &other.shared)
            && Arc::ptr_eq(&self.disabled, &other.disabled)
    }
}

impl Mark {
    /// Of the secrets of a scope.
    pub(crate) fn of_scope(records: &Records, org: OrgId, scope: Scope) -> Vec<u8> {
        keyspace::scope_mark(&records.secrets(org, scope)).to_vec()
    }
}

// === impl Weighter ===

impl Weighter<(OrgId, Option<MemberId>), Arc<Shelf>> for Size {
    fn weight(&self, _: &(OrgId, Option<MemberId>), shelf: &Arc<Shelf>) -> u64 {
        let sizes = shelf.secrets.iter().map(|record| EACH + record.value.size_here());
        (EACH + sizes.sum::<usize>()) as u64
    }
}

impl Weighter<OrgId, Arc<Disabled>> for Size {
    fn weight(&self, _: &OrgId, disabled: &Arc<Disabled>) -> u64 {
        (EACH + disabled.plugins.len() * EACH) as u64
    }
}

impl Weighter<(OrgId, MemberId, ResolveRequest), Arc<Answer>> for Size {
    fn weight(&self, (.., request): &(OrgId, MemberId, ResolveRequest), answer: &Arc<Answer>) -> u64 {
        let ResolveRequest { plugins, include, exclude, references } = request;
        let names =
            plugins.as_ref().map_or(0, BTreeSet::len) + include.len() + exclude.len() + references.len();
        let told = answer.receipt.entries.len() + answer.receipt.skipped.len();
        (EACH + (names + told) * EACH + answer.sealed.len()) as u64
    }
}
