//! The byte store on etcd, for more than one server: any number of processes may use one store at the same time.
//!
//! Everything is a transaction with compare, never one of etcd's locks. Reads are linearizable, and a commit whose answer
//! was lost is made once or not at all. The keys lie behind a prefix, so that an etcd can hold other things too.

pub mod address;
mod batched_reads;
mod commits;
mod dedup;
mod fault;
mod members;
mod reads;
mod snapshot;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use address::{Address, AddressError, EtcdAccess};
use tokio::sync::Semaphore;

use self::batched_reads::ReadBatcher;
use self::dedup::DedupKeys;
use self::fault::EtcdFault;
use self::members::{EtcdTimeouts, Members};
use self::snapshot::EtcdSnapshot;
use super::{
    BoxFuture, CommitError, Kv, KvHealth, KvLookup, KvPage, KvReadError, KvSnapshot, Limits, Outage,
    Precondition, Revision, Trouble, Write,
};

/// Commits under way at once; who comes later waits. A store's journal has one.
const COMMITS: usize = 64;

/// Keys of a read that is asked together with others.
const BATCHED_KEYS: usize = 8;

/// The byte store on etcd.
pub struct Etcd {
    shared: Arc<Shared>,
}

struct Shared {
    members: Members,
    /// What this store's keys start with in etcd.
    root: Vec<u8>,
    /// What those of its processes' dedup start with.
    dedup_root: Vec<u8>,
    dedup: DedupKeys,
    limits: Limits,
    commits: Semaphore,
    get_batched: ReadBatcher,
    condition: Mutex<Option<Trouble>>,
    closed: AtomicBool,
}

/// Why a store on etcd cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EtcdOpenError {
    /// A certificate, key or password is not to be had.
    #[error("reading {}: {kind}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        kind: io::ErrorKind,
    },
    /// The password is not text.
    #[error("{} is not text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// No randomness.
    #[error("the kernel gives no randomness")]
    Randomness,
}

// === impl Etcd ===

impl Etcd {
    /// The store at an address. Reads the files that it names; connects when it is used first.
    pub fn open(address: &Address) -> Result<Etcd, EtcdOpenError> {
        Etcd::open_with(address, EtcdTimeouts::default())
    }

    fn open_with(address: &Address, timeouts: EtcdTimeouts) -> Result<Etcd, EtcdOpenError> {
        let mut process = [0; 16];
        getrandom::fill(&mut process).map_err(|_| EtcdOpenError::Randomness)?;
        // No prefix holds a zero, so that the keys of no store are among those of another.
        let root = |kind: &[u8]| [address.prefix.as_bytes(), b"\0", kind].concat();
        Ok(Etcd {
            shared: Arc::new(Shared {
                members: Members::new(address, timeouts)?,
                root: root(b"k"),
                dedup_root: root(b"m"),
                dedup: DedupKeys::new(process),
                limits: limits(address.max_txn_ops),
                commits: Semaphore::new(COMMITS),
                get_batched: ReadBatcher::default(),
                condition: Mutex::default(),
                closed: AtomicBool::new(false),
            }),
        })
    }
}

/// What etcd takes: some operations, of which the dedup_key's is one, and 1.5 MiB for the whole request, which holds the
/// preconditions' keys twice and each key's prefix.
fn limits(max_txn_ops: usize) -> Limits {
    Limits { max_writes_per_commit: max_txn_ops.min(1024) - 1, max_commit: 5 << 18, ..Limits::EMBEDDED }
}

impl Kv for Etcd {
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<KvLookup, KvReadError>> {
        Box::pin(async move {
            self.shared.refuse_if_closed()?;
            match keys.len() {
                1..=BATCHED_KEYS => self.shared.get_batched(keys).await,
                _ => self.shared.get(keys).await,
            }
        })
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>> {
        Box::pin(async move {
            self.shared.refuse_if_closed()?;
            self.shared.scan(prefix, after, limit).await
        })
    }

    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            // On its own, so that it goes on to its end when nobody waits any more: its dedup_key must be accounted for.
            let commit = tokio::spawn(async move {
                let Ok(_room) = shared.commits.acquire().await else {
                    return Err(CommitError::Unavailable(Outage::Closed));
                };
                let outcome = Arc::clone(&shared).commit(preconditions, writes).await;
                shared.met(&outcome);
                outcome
            });
            commit.await.unwrap_or(Err(CommitError::Unavailable(Outage::Io)))
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn KvSnapshot>, KvReadError>> {
        Box::pin(async move { Ok(Box::new(EtcdSnapshot::take(&self.shared).await?) as Box<dyn KvSnapshot>) })
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }

    fn health(&self) -> BoxFuture<'_, KvHealth> {
        Box::pin(async move {
            let shared = &self.shared;
            if shared.refuse_if_closed().is_err() {
                let trouble = Some(Trouble::Unavailable(Outage::Closed));
                return KvHealth { trouble, revision: None, bytes: None };
            }
            let status =
                shared.members.ask(|client, _| async move { client.maintenance_client().status().await });
            let (revision, status) = tokio::join!(shared.revision(), status);
            let trouble = match revision {
                Ok(_) => *shared.condition.lock().unwrap_or_else(PoisonError::into_inner),
                Err(fault) => Some(fault.into()),
            };
            let bytes = status.ok().and_then(|status| u64::try_from(status.db_size()).ok());
            KvHealth { trouble, revision: revision.ok(), bytes }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let shared = &self.shared;
            // Those that are under way have the others.
            let all = shared.commits.acquire_many(COMMITS as u32).await;
            shared.commits.close();
            drop(all);
            shared.closed.store(true, Ordering::Release);
        })
    }

    fn name(&self) -> &'static str {
        "etcd"
    }
}

// === impl Shared ===

impl Shared {
    /// A key as etcd has it.
    fn stored(&self, key: &[u8]) -> Vec<u8> {
        [self.root.as_slice(), key].concat()
    }

    fn refuse_if_closed(&self) -> Result<(), KvReadError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(KvReadError::Unavailable(Outage::Closed)),
            false => Ok(()),
        }
    }

    /// Keeps what a commit met for [`Kv::health`].
    fn met(&self, outcome: &Result<Revision, CommitError>) {
        let trouble = match outcome {
            Ok(_) => None,
            Err(CommitError::Full) => Some(Trouble::Full),
            Err(CommitError::Corrupt) => Some(EtcdFault::Corrupt.into()),
            Err(CommitError::Unavailable(outage)) => Some(Trouble::Unavailable(*outage)),
            // Judged, so that commits work.
            Err(CommitError::Conflict { .. }) => None,
            Err(_) => return,
        };
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

// === impl EtcdOpenError ===

impl EtcdOpenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            EtcdOpenError::File { .. } | EtcdOpenError::NotText { .. } => Some(
                "check the files that the store's address names; relative ones are in the store's folder",
            ),
            EtcdOpenError::Randomness => None,
        }
    }
}
