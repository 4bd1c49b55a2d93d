//! The handle that every rule is implemented on: the byte store, the journal, the clock and the caches of this process.

use std::sync::atomic::AtomicBool;
use std::sync::{self, Arc, OnceLock, RwLock};

use quick_cache::sync::Cache;
use tokio::sync::{Mutex, Notify, Semaphore};

use crate::crypto::sealed_release::responder::AnswerSigner;
use crate::crypto::sealed_release::statement::StatementHash;
use crate::domain::catalog::Presets;
use crate::domain::id::{OrgId, StoreId};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::clock::Clock;
use crate::store::engine::journal::Journal;
use crate::store::engine::records::Records;
use crate::store::rules::audit::checkpoint::OwnCheckpoint;
use crate::store::rules::boots::boot_counts::BootCounts;
use crate::store::rules::boots::receipt_cache::ReceiptCache;
use crate::store::rules::boots::scope_cache::ScopeCache;
use crate::store::rules::boots::seen_receipts::SeenReceipts;
use crate::store::rules::event_limiter::LimitedEvents;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::membership_keys::MembershipKeys;
use crate::store::tables::scope_stamps::ScopeStamps;
use crate::store::tables::store::Identity;
use crate::store::tables::usage::{CountOf, StoredCount};

/// Bytes of long values that may wait to be stored at once: what bounds the memory of deposits.
const LONG_VALUES: usize = 64 << 20;

/// Counts that need not be looked up again before an operation.
const COUNTED: usize = 10_000;

/// Credentials for which the keys of the records that they depend on are cached. Each takes about 200 bytes.
const MEMBERSHIPS: usize = 10_000;

/// Statements that this process remembers to have answered. Each takes about 100 bytes.
const ANSWERED: usize = 10_000;

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
    /// Identifies this process.
    pub(crate) process: [u8; 16],
    /// The release key, while unlocked.
    pub(crate) release: RwLock<Option<Arc<Release>>>,
    /// Whether this process never holds the release key.
    pub(crate) deposits_only: bool,
    /// Held while the keys change.
    pub(crate) keys_change: Mutex<()>,
    pub(crate) unlocks: Semaphore,
    /// Bytes of long values that may wait to be stored.
    pub(crate) long_values: Arc<Semaphore>,
    pub(crate) limited: LimitedEvents,
    pub(crate) seen_receipts: SeenReceipts,
    pub(crate) scope_cache: ScopeCache,
    /// The newest stamps of scopes that this process has seen.
    pub(crate) stamps: Arc<ScopeStamps>,
    pub(crate) receipt_cache: ReceiptCache,
    pub(crate) boot_counts: BootCounts,
    pub(crate) own_checkpoint: sync::Mutex<OwnCheckpoint>,
    /// The counts that are known to be stored.
    pub(crate) counted: Cache<(OrgId, StoredCount), ()>,
    /// The keys of the records that a credential depends on, by its id.
    pub(crate) memberships: Cache<[u8; 16], Arc<MembershipKeys>>,
    /// Signs sealed answers. Set once it was read.
    pub(crate) answer_signer: OnceLock<Arc<AnswerSigner>>,
    /// The statements that this process has answered lately.
    pub(crate) answered: Cache<StatementHash, ()>,
    /// When the tickets or tokens of an organization at its quota were last recounted.
    pub(crate) recounted_at: Cache<(OrgId, CountOf), Timestamp>,
    /// Whether every running boot is known to be indexed.
    pub(crate) indexed: AtomicBool,
    pub(crate) presets: OnceLock<Presets>,
    /// Whether this process locks itself when the verification finds a fault.
    pub(crate) lock_on_fault: AtomicBool,
    /// Notified when there is background work.
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
        // Counts of denied attempts outlive the process only as entries.
        self.record_all_limited_events().await;
        self.journal().close().await;
        // Last, because the journal ends its audit chain with a commit.
        self.records().kv.close().await;
    }

    /// Closes all but the byte store, which another process of the same test uses.
    #[cfg(test)]
    pub(crate) async fn close_journal_only(&self) {
        self.record_all_limited_events().await;
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
        let stamps = Arc::new(ScopeStamps::default());
        let hook = Arc::<ScopeStamps>::clone(&stamps);
        let journal = Journal::start(Arc::clone(&records), Arc::clone(&clock), hook);
        let started_at = clock.now();
        let inner = Arc::new(Inner {
            // Drawn at each start: a restarted process must not take over what its predecessor held.
            process: records.random_bytes(),
            records,
            clock,
            journal,
            identity,
            started_at,
            // Locked until an unlock, or until the commit that creates the store.
            release: RwLock::new(None),
            deposits_only,
            keys_change: Mutex::new(()),
            unlocks: Semaphore::new(UNLOCKS_WAITING),
            long_values: Arc::new(Semaphore::new(LONG_VALUES)),
            limited: LimitedEvents::new(),
            seen_receipts: SeenReceipts::default(),
            scope_cache: ScopeCache::default(),
            stamps,
            receipt_cache: ReceiptCache::default(),
            boot_counts: BootCounts::default(),
            own_checkpoint: sync::Mutex::default(),
            counted: Cache::new(COUNTED),
            memberships: Cache::new(MEMBERSHIPS),
            answer_signer: OnceLock::new(),
            answered: Cache::new(ANSWERED),
            recounted_at: Cache::new(COUNTED),
            indexed: AtomicBool::new(false),
            presets: OnceLock::new(),
            lock_on_fault: AtomicBool::new(false),
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
