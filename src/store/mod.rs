//! The rules over the byte store: organizations, members, secrets, tickets, boots, the audit trail and the keys.
//!
//! One [`Store`] per process, cheap to clone. Every operation takes a [`Caller`] (or makes one, [`Store::authenticate`]),
//! decides, does its work and records itself in one durable commit: when the audit entry cannot be stored the operation
//! fails. Never lets an encrypted value out except through [`Store::boot`], and never puts a value into an error.

mod audit;
mod auth;
mod backup;
mod boots;
mod catalog;
mod chores;
mod clock;
mod denials;
mod error;
mod idempotency;
mod init;
mod journal;
mod keys;
mod keyspace;
mod members;
mod migrate;
mod orgs;
mod page;
mod records;
mod reencrypt;
mod secrets;
mod sessions;
mod tickets;
mod tokens;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock, RwLock};

pub use audit::{AuditFilter, AuditItem, ChainReport, ChainState, Verification};
pub use auth::{AuthError, Caller};
pub use backup::{Backup, BackupError, RestoreError, Restored, restore};
pub use boots::{
    Boot, BootAsk, BootError, BootFilter, Explained, Held, Holder, Released, ReleasedValue, Report,
};
pub use catalog::{
    Assignment, CategoryState, Need, NewCategory, NewPlugin, PluginState, SetVariables, Statistics, Variable,
};
pub use clock::{Clock, Entropy, KernelEntropy, SystemClock};
pub use error::{Coded, Error, Failure};
pub use init::{Init, InitError, Initialized, OpenError};
pub use keys::{DepositInfo, Keyslot, NewKeyslot, Status, UnlockError, UnlockSecret, Unlocked};
pub use members::{Member, NewMember};
pub use migrate::{MigrateError, Migrated, Moving, migrate};
pub use orgs::{NewOrg, Org, OrgCreated, PolicyChange};
pub use page::{Cursor, Page, PageAsk};
pub use reencrypt::Progress;
pub use secrets::{
    Deleted, Deposit, ImportAsk, ImportLine, ImportReport, NewSecret, Replacement, SealedDeposit, Secret,
    SecretChange, SecretFilter, Written,
};
use serde::{Deserialize, Serialize};
pub use sessions::{SESSION_IDLE, SESSION_LONGEST, SessionKey};
pub use tickets::{NewTicket, Ticket, TicketIssued};
pub use tokens::{NewToken, Token, TokenIssued};
use tokio::sync::{Mutex, Notify, Semaphore};

use self::boots::{Kept, SeenReceipts};
use self::denials::Denials;
use self::journal::Journal;
use self::keys::{Release, UNLOCKS_WAITING};
use self::records::{Record, Records};
use crate::crypto::record::RecordKey;
pub use crate::crypto::value::{SealedValue, WrappedKey};
use crate::domain::catalog::Presets;
use crate::domain::id::StoreId;
use crate::domain::time::Timestamp;
use crate::kv::{Kv, Revision};

/// Bytes of long values that may wait to be stored at once: what bounds the memory of deposits.
const LONG_VALUES: usize = 64 << 20;

/// The store of one process. Clones share everything.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    records: Arc<Records>,
    clock: Arc<dyn Clock>,
    journal: Journal,
    identity: Identity,
    started_at: Timestamp,
    /// Tells this process from others.
    process: [u8; 16],
    /// Known to this process only.
    process_secret: [u8; 32],
    /// The release key, while unlocked.
    release: RwLock<Option<Arc<Release>>>,
    /// Whether this process never holds the release key.
    deposits_only: bool,
    /// Held while the keys change.
    keys_change: Mutex<()>,
    unlocks: Semaphore,
    /// Bytes of long values that may wait to be stored.
    long_values: Arc<Semaphore>,
    denials: Denials,
    seen_receipts: SeenReceipts,
    kept: Kept,
    presets: OnceLock<Presets>,
    /// Rung when there is background work.
    chores: Arc<Notify>,
}

/// Which store it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Identity {
    id: StoreId,
    created_at: Timestamp,
    /// Added to the byte store's revisions, so that a restored store goes on from its backup.
    revision_base: u64,
}

impl Record for Identity {}

impl Store {
    /// Its id: what values are bound to.
    pub fn id(&self) -> StoreId {
        self.inner.identity.id
    }

    /// Finishes what was begun, ends this process's audit chain and closes the byte store. Later operations fail with
    /// `unavailable`.
    pub async fn close(&self) {
        self.set_release(None);
        self.journal().close().await;
        self.records().kv.close().await;
    }

    /// As [`close`](Self::close), while another process of the same test goes on with the byte store.
    #[cfg(test)]
    async fn close_journal_only(&self) {
        self.journal().close().await;
    }

    /// Starts the work of this process on a byte store that holds this store.
    fn start(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        identity: Identity,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
        deposits_only: bool,
    ) -> Self {
        let records = Arc::new(Records { kv, key: record_key, random });
        let journal = Journal::start(Arc::clone(&records), Arc::clone(&clock));
        let now = clock.now();
        let inner = Arc::new(Inner {
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
            denials: Denials::new(now),
            seen_receipts: SeenReceipts::default(),
            kept: Kept::default(),
            presets: OnceLock::new(),
            chores: Arc::new(Notify::new()),
        });
        Self { inner }
    }

    fn tend_in_background(&self) {
        tokio::spawn(chores::tend(Arc::downgrade(&self.inner), Arc::clone(&self.inner.chores)));
    }

    fn records(&self) -> &Records {
        &self.inner.records
    }

    fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The store's revision, from the byte store's.
    fn revision(&self, of_bytes: Revision) -> u64 {
        self.inner.identity.revision_base + of_bytes
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The background task waits with nothing but the bell in hand, and ends when it finds the store gone.
        self.chores.notify_one();
    }
}
