//! The byte store on etcd, for more than one server: any number of processes may use one store at the same time.
//!
//! Commits are transactions with compare; etcd's locks are never used. Reads are linearizable, and a commit whose answer
//! was lost succeeds once or not at all. All keys start with a prefix, so that one etcd can hold other data too.

pub mod address;
mod batched_reads;
mod commits;
mod dedup;
mod fault;
mod members;
mod reads;
mod snapshot;

#[cfg(test)]
pub(crate) mod tests;

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

/// Commits under way at once; further ones wait. A store's journal has one.
const MAX_COMMITS: usize = 64;

/// Keys of a read that may share a request with other reads.
const BATCHED_KEYS: usize = 8;

/// The byte store on etcd.
pub struct Etcd {
    shared: Arc<Shared>,
}

struct Shared {
    members: Members,
    /// The prefix of the store's keys in etcd.
    root: Vec<u8>,
    /// The prefix of the deduplication keys of its processes.
    dedup_root: Vec<u8>,
    dedup: DedupKeys,
    limits: Limits,
    commits: Semaphore,
    read_batcher: ReadBatcher,
    /// What the last commit met.
    last_trouble: Mutex<Option<Trouble>>,
    closed: AtomicBool,
}

/// Why a store on etcd cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EtcdOpenError {
    /// The file of a certificate, key or password cannot be read.
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
    /// No random bytes.
    #[error("the kernel gives no random bytes")]
    Randomness,
}

impl Etcd {
    /// Opens the store at an address. Reads the files that the address names, and connects at the first request.
    pub fn open(address: &Address) -> Result<Etcd, EtcdOpenError> {
        Etcd::open_with(address, EtcdTimeouts::default())
    }

    fn open_with(address: &Address, timeouts: EtcdTimeouts) -> Result<Etcd, EtcdOpenError> {
        let mut process = [0; 16];
        getrandom::fill(&mut process).map_err(|_| EtcdOpenError::Randomness)?;
        // A prefix cannot hold a zero byte, so that no store's keys are within another's.
        let root = |kind: &[u8]| [address.prefix.as_bytes(), b"\0", kind].concat();
        Ok(Etcd {
            shared: Arc::new(Shared {
                members: Members::new(address, timeouts)?,
                root: root(b"k"),
                dedup_root: root(b"m"),
                dedup: DedupKeys::new(process),
                limits: limits(address.max_txn_ops),
                commits: Semaphore::new(MAX_COMMITS),
                read_batcher: ReadBatcher::default(),
                last_trouble: Mutex::default(),
                closed: AtomicBool::new(false),
            }),
        })
    }
}

/// The limits of a commit, from the operations that the members accept in a transaction.
fn limits(max_txn_ops: usize) -> Limits {
    // One operation writes the deduplication key. etcd's limit of 1.5 MiB is for the whole request, which holds the keys of
    // preconditions twice, and each with the prefix.
    Limits { max_writes_per_commit: max_txn_ops.min(1024) - 1, max_commit: 5 << 18, ..Limits::EMBEDDED }
}

impl Kv for Etcd {
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<KvLookup, KvReadError>> {
        Box::pin(async move {
            self.shared.refuse_if_closed()?;
            // A read of many keys is several requests by itself, and would delay the small ones.
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
            // In a task, so that a dropped future does not leave the deduplication key in an unknown state.
            let commit = tokio::spawn(async move {
                let Ok(_permit) = shared.commits.acquire().await else {
                    return Err(CommitError::Unavailable(Outage::Closed));
                };
                let outcome = Arc::clone(&shared).commit(preconditions, writes).await;
                shared.record_outcome(&outcome);
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
            // The size is only informative: a store whose size cannot be read is still healthy.
            let status =
                shared.members.ask(|client, _| async move { client.maintenance_client().status().await });
            let (revision, status) = tokio::join!(shared.revision(), status);
            let trouble = match revision {
                Ok(_) => *shared.last_trouble.lock().unwrap_or_else(PoisonError::into_inner),
                Err(fault) => Some(fault.into()),
            };
            let bytes = status.ok().and_then(|status| u64::try_from(status.db_size()).ok());
            KvHealth { trouble, revision: revision.ok(), bytes }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let shared = &self.shared;
            // Waits for the commits that are under way, which hold the other permits.
            let all = shared.commits.acquire_many(MAX_COMMITS as u32).await;
            // Closed while all permits are held, so that no commit gets in between.
            shared.commits.close();
            drop(all);
            shared.closed.store(true, Ordering::Release);
        })
    }

    fn name(&self) -> &'static str {
        "etcd"
    }
}

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

    /// Keeps the outcome of a commit for [`Kv::health`].
    fn record_outcome(&self, outcome: &Result<Revision, CommitError>) {
        let trouble = match outcome {
            Ok(_) => None,
            Err(CommitError::Full) => Some(Trouble::Full),
            Err(CommitError::Corrupt) => Some(EtcdFault::Corrupt.into()),
            Err(CommitError::Unavailable(outage)) => Some(Trouble::Unavailable(*outage)),
            // etcd compared and answered, so that commits work.
            Err(CommitError::Conflict { .. }) => None,
            Err(_) => return,
        };
        *self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl EtcdOpenError {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            EtcdOpenError::File { .. } | EtcdOpenError::NotText { .. } => Some(
                "check the files that the store's address names; relative ones are in the store's folder",
            ),
            EtcdOpenError::Randomness => None,
        }
    }
}
