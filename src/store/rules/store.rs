//! The handle that every rule is implemented on: the byte store, the journal, the clock and what this process remembers.

use std::sync::{Arc, OnceLock, RwLock};

use tokio::sync::{Mutex, Notify, Semaphore};

use crate::domain::catalog::Presets;
use crate::domain::id::StoreId;
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::clock::Clock;
use crate::store::engine::journal::Journal;
use crate::store::engine::records::Records;
use crate::store::rules::boots::scope_cache::ScopeCache;
use crate::store::rules::boots::seen_receipts::SeenReceipts;
use crate::store::rules::denials::DenialLimiter;
use crate::store::rules::keys::release_key::Release;
use crate::store::tables::secrets::ScopeStamps;
use crate::store::tables::store::Identity;

/// Bytes of long values that may wait to be stored at once: what bounds the memory of deposits.
const LONG_VALUES: usize = 64 << 20;

/// Unlocks that may run or wait at once. More are guesses.
const UNLOCKS_WAITING: usize = 8;

/// The store of one process. Clones share everything.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) records: Arc<Records>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Journal,
    pub(crate) identity: Identity,
    pub(crate) started_at: Timestamp,
    /// Tells this process from others.
    pub(crate) process: [u8; 16],
    /// Known to this process only.
    pub(crate) process_secret: [u8; 32],
    /// The release key, while unlocked.
    pub(crate) release: RwLock<Option<Arc<Release>>>,
    /// Whether this process never holds the release key.
    pub(crate) deposits_only: bool,
    /// Held while the keys change.
    pub(crate) keys_change: Mutex<()>,
    pub(crate) unlocks: Semaphore,
    /// Bytes of long values that may wait to be stored.
    pub(crate) long_values: Arc<Semaphore>,
    pub(crate) denials: DenialLimiter,
    pub(crate) seen_receipts: SeenReceipts,
    pub(crate) scope_cache: ScopeCache,
    pub(crate) presets: OnceLock<Presets>,
    /// Rung when there is background work.
    pub(crate) background: Arc<Notify>,
}

impl Store {
    /// Its id, which values are bound to.
    pub fn id(&self) -> StoreId {
        self.inner.identity.id
    }

    /// Finishes the accepted operations, ends this process's audit chain and closes the byte store. Later operations fail
    /// with `unavailable`.
    pub async fn close(&self) {
        // First, so that no boot starts while the journal ends.
        self.set_release(None);
        self.journal().close().await;
        self.records().kv.close().await;
    }

    /// Closes all but the byte store, which another process of the same test uses.
    #[cfg(test)]
    pub(crate) async fn close_journal_only(&self) {
        self.journal().close().await;
    }

    /// Starts the work of this process on a byte store that holds this store.
    pub(crate) fn start(
        records: Records,
        identity: Identity,
        clock: Arc<dyn Clock>,
        deposits_only: bool,
    ) -> Self {
        let records = Arc::new(records);
        let journal = Journal::start(Arc::clone(&records), Arc::clone(&clock), Arc::new(ScopeStamps));
        let now = clock.now();
        let inner = Arc::new(Inner {
            // Drawn at each start: a restarted process must not take over what its predecessor held.
            process: records.random_bytes(),
            process_secret: records.random_bytes(),
            records,
            clock,
            journal,
            identity,
            started_at: now,
            release: RwLock::new(None),
            deposits_only,
            keys_change: Mutex::new(()),
            unlocks: Semaphore::new(UNLOCKS_WAITING),
            long_values: Arc::new(Semaphore::new(LONG_VALUES)),
            denials: DenialLimiter::new(now),
            seen_receipts: SeenReceipts::default(),
            scope_cache: ScopeCache::default(),
            presets: OnceLock::new(),
            background: Arc::new(Notify::new()),
        });
        Self { inner }
    }

    pub(crate) fn records(&self) -> &Records {
        &self.inner.records
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The store's revision, from the byte store's.
    pub(crate) fn revision(&self, of_bytes: Revision) -> u64 {
        self.inner.identity.revision_base + of_bytes
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The background task holds no reference while it waits. It wakes up, finds the store gone and ends.
        self.background.notify_one();
    }
}
