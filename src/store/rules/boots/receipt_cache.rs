//! What the receipts of running boots say of secrets, kept in memory: opening a receipt costs far more than looking for an id in it,
//! and each question about holders needs all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::id::{SecretId, VersionId};
use crate::domain::receipt::ReceiptEntry;
use crate::store::rules::audit::ReleasedVersion;
use crate::store::tables::holders::ReceiptHash;

/// Bytes of cached receipts, about: 2,000 receipts of 1,000 secrets that share them.
const CACHE_BYTES: u64 = 24 << 20;
/// Bytes counted for a version that no cached receipt had before: its ids and names.
const VERSION_BYTES: u64 = 256;
/// The initial capacity of the table.
const EXPECTED: usize = 256;
/// Versions after which those that no receipt has any more are forgotten.
const MIN_VERSIONS: usize = 10_000;

/// The cache. A receipt never changes, so that an entry never becomes outdated.
pub(crate) struct ReceiptCache {
    receipts: Cache<ReceiptHash, Arc<CachedReceipt>, ByReceiptBytes>,
    versions: Mutex<KnownVersions>,
}

/// The versions in a receipt.
pub(crate) struct CachedReceipt {
    /// Ascending by secret.
    versions: Vec<Arc<ReleasedVersion>>,
    bytes: u64,
}

/// The versions in cached receipts. Boots of one scope receive mostly the same ones, so that each is in memory once.
#[derive(Default)]
struct KnownVersions {
    by_id: HashMap<(SecretId, VersionId), Weak<ReleasedVersion>>,
    limit: usize,
}

#[derive(Clone)]
struct ByReceiptBytes;

impl Default for ReceiptCache {
    fn default() -> Self {
        let receipts = Cache::with_weighter(EXPECTED, CACHE_BYTES, ByReceiptBytes);
        Self { receipts, versions: Mutex::default() }
    }
}

impl ReceiptCache {
    pub(crate) fn get(&self, receipt: &ReceiptHash) -> Option<Arc<CachedReceipt>> {
        self.receipts.get(receipt)
    }

    pub(crate) fn insert(&self, receipt: ReceiptHash, entries: Vec<ReceiptEntry>) -> Arc<CachedReceipt> {
        let mut known = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 64;
        let mut versions: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let (version, is_new) = known.share(entry.into());
                bytes += size_of::<Arc<ReleasedVersion>>() as u64 + if is_new { VERSION_BYTES } else { 0 };
                version
            })
            .collect();
        drop(known);
        versions.sort_by_key(|version| version.secret);
        let cached = Arc::new(CachedReceipt { versions, bytes });
        self.receipts.insert(receipt, Arc::clone(&cached));
        cached
    }

    pub(crate) fn clear(&self) {
        self.receipts.clear();
    }
}

impl CachedReceipt {
    pub(crate) fn versions(&self) -> &[Arc<ReleasedVersion>] {
        &self.versions
    }

    /// The version of a secret. `None` if the receipt has none.
    pub(crate) fn version_of(&self, secret: SecretId) -> Option<&Arc<ReleasedVersion>> {
        let place = self.versions.binary_search_by_key(&secret, |version| version.secret).ok()?;
        self.versions.get(place)
    }
}

impl KnownVersions {
    /// Returns the version, and whether no receipt had it before.
    fn share(&mut self, version: ReleasedVersion) -> (Arc<ReleasedVersion>, bool) {
        let id = (version.secret, version.version);
        // A version has one exported name. A depositor who reuses a deleted secret's ids must not change what older boots hold.
        let known = self.by_id.get(&id).and_then(Weak::upgrade).filter(|known| **known == version);
        if let Some(known) = known {
            return (known, false);
        }
        if self.by_id.len() >= self.limit.max(MIN_VERSIONS) {
            self.by_id.retain(|_, version| version.strong_count() > 0);
            // Twice what is left, so that this is rare.
            self.limit = 2 * self.by_id.len();
        }
        let version = Arc::new(version);
        self.by_id.insert(id, Arc::downgrade(&version));
        (version, true)
    }
}

impl Weighter<ReceiptHash, Arc<CachedReceipt>> for ByReceiptBytes {
    fn weight(&self, _: &ReceiptHash, receipt: &Arc<CachedReceipt>) -> u64 {
        receipt.bytes
    }
}
