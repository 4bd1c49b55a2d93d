//! The byte store: ordered bytes to bytes, atomic and durable, one trait for every backend.
//!
//! Never sees a plain name or value (its keys are keyed hashes, its values sealed records), and never prints what it holds:
//! neither errors nor `Debug` show a key or a value. One suite, `conformance`, holds every backend to what [`Kv`] says.

#[cfg(test)]
mod conformance;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
mod limits;
pub mod memory;
pub mod sqlite;
mod url;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

pub use error::{CommitError, CommitPart, KvReadError, Outage, SnapshotError};
pub use limits::Limits;
pub use url::{Url, UrlError};

/// The number of a commit. Each commit that changes something has a greater one than every commit before it.
pub type Revision = u64;

/// A future behind a pointer, so that [`Kv`] can be used as `dyn Kv`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What [`Kv::get`] found: an entry or `None` for each key, and the revision of the snapshot.
pub type KvLookup = (Vec<Option<KvEntry>>, Revision);

/// Ordered bytes to bytes.
///
/// Keys compare as bytes, are never empty, and have at most one entry each. All reads and commits are linearizable: what a
/// commit answered with success wrote is in every read that starts afterwards.
pub trait Kv: Send + Sync {
    /// The entries of `keys`, in the order asked (`None` where there is none), and the revision of the one snapshot that
    /// all of them come from.
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<KvLookup, KvReadError>>;

    /// The first entries, in ascending order of key, whose key starts with `prefix` and is greater than `after` (a whole
    /// key, which need not exist): at most `limit` of them, all from one snapshot.
    ///
    /// A page may hold fewer than `limit` and still have [`KvPage::more`], because a backend bounds the bytes of a page too;
    /// it holds at least one if `limit` is not 0 and there is one. The next page starts after the last key of this one
    /// and may come from a later snapshot: compare [`KvPage::revision`] where that matters.
    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>>;

    /// Makes all `writes` durable at once if every precondition holds, and changes nothing otherwise.
    ///
    /// Answers with the commit's revision, which its writes bear. A commit that changes nothing (no writes, or only
    /// deletions of keys that have no entry) checks its preconditions, takes no revision and answers with the current one.
    /// A key may be written once in a commit; preconditions may name any keys, any number of times.
    ///
    /// A future that is dropped before it is ready leaves all of the commit done or nothing of it, and the same holds for
    /// an error for which [`CommitError::outcome_unknown`] says so.
    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>>;

    /// Fixes the newest revision, so that all entries can be read as they were at it while commits go on.
    ///
    /// The revision includes every commit that was acknowledged before the call. Drop the snapshot early: while it is open,
    /// SQLite cannot empty its log, and etcd may compact the revision away ([`SnapshotError::Expired`]).
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn KvSnapshot>, KvReadError>>;

    /// What a commit may hold.
    fn limits(&self) -> Limits;

    /// Whether reads and commits work, as far as the backend knows. Never an error: an unhealthy store says so inside.
    fn health(&self) -> BoxFuture<'_, KvHealth>;

    /// Finishes what was accepted, then releases files and connections. Reads and commits that start afterwards answer
    /// [`Outage::Closed`], and so do the pages of open snapshots. Closing twice is closing once.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// The backend's name, for people: "memory", "sqlite", "etcd".
    fn name(&self) -> &'static str;
}

/// All entries of a store at one revision.
pub trait KvSnapshot: Send {
    /// Returns the first entries, in ascending order of key, whose key is greater than `after`.
    ///
    /// The page is bounded as that of [`Kv::scan`] is, and every page has the same [`KvPage::revision`]: it holds what the
    /// commits up to that revision left, and nothing of any commit after it. After an error, or a future that was dropped
    /// before it was ready, take a new snapshot.
    fn page<'a>(
        &'a mut self,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, SnapshotError>>;
}

/// Opens the store that a URL names, and makes it if it does not exist. One on other machines is connected to when it is
/// used first, on the runtime of then.
pub fn open(url: &Url) -> Result<Arc<dyn Kv>, KvOpenError> {
    Ok(match url {
        Url::Sqlite(path) => Arc::new(sqlite::Sqlite::open(path)?),
        Url::Memory => Arc::new(memory::Memory::new()),
        #[cfg(feature = "etcd")]
        Url::Etcd(address) => Arc::new(etcd::Etcd::open(address)?),
    })
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KvOpenError {
    /// One in an SQLite file.
    #[error(transparent)]
    Sqlite(#[from] sqlite::SqliteOpenError),
    /// One on etcd.
    #[cfg(feature = "etcd")]
    #[error(transparent)]
    Etcd(#[from] etcd::EtcdOpenError),
}

/// One key and what is stored there.
#[derive(Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The whole key.
    pub key: Vec<u8>,
    /// The bytes stored there.
    pub value: Vec<u8>,
    /// The revision of the commit that wrote this value. An entry deleted and made again has that of its making.
    pub revision: Revision,
}

/// What must hold for a commit to happen.
#[derive(Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key has no entry.
    Absent(Vec<u8>),
    /// The key's entry was written by the commit of this revision. Never holds for revision 0.
    At(Vec<u8>, Revision),
}

/// One change of a commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Stores a value at a key, replacing what is there.
    Put(Vec<u8>, Vec<u8>),
    /// Removes the key's entry, if there is one.
    Delete(Vec<u8>),
}

/// A part of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvPage {
    /// In ascending order of key.
    pub entries: Vec<KvEntry>,
    /// Whether the snapshot holds further entries after the last of these.
    pub more: bool,
    /// The store's revision in the snapshot that the page comes from.
    pub revision: Revision,
}

/// The state of a store, as far as its backend knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHealth {
    /// What keeps commits from succeeding; `None` when nothing does. What the last commit met, unless one succeeded since.
    pub trouble: Option<Trouble>,
    /// The newest revision; `None` if it cannot be read.
    pub revision: Option<Revision>,
    /// Bytes that the store takes where it is kept, if the backend can tell.
    pub bytes: Option<u64>,
}

/// Why a store does not accept commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No room.
    #[error("no room is left for the byte store")]
    Full,
    /// Damaged.
    #[error("the byte store is damaged")]
    Corrupt,
    /// Not writable by this process.
    #[error("the byte store cannot be written by this process")]
    ReadOnly,
    /// Not available.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

// === impl Write, Precondition ===

impl Write {
    /// The key it changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Write::Put(key, _) | Write::Delete(key) => key,
        }
    }
}

impl Precondition {
    /// The key it speaks of.
    pub fn key(&self) -> &[u8] {
        match self {
            Precondition::Absent(key) | Precondition::At(key, _) => key,
        }
    }

    /// Whether it holds for a key whose entry has this revision, or that has no entry.
    pub fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Precondition::Absent(_) => found.is_none(),
            Precondition::At(_, revision) => *revision != 0 && found == Some(*revision),
        }
    }
}

// === impl Debug: sizes, never contents ===

impl fmt::Debug for KvEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvEntry")
            .field("key_len", &self.key.len())
            .field("value_len", &self.value.len())
            .field("revision", &self.revision)
            .finish()
    }
}

impl fmt::Debug for Precondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precondition::Absent(_) => f.write_str("Absent"),
            Precondition::At(_, revision) => f.debug_tuple("At").field(revision).finish(),
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Write::Put(_, value) => f.debug_struct("Put").field("value_len", &value.len()).finish(),
            Write::Delete(_) => f.write_str("Delete"),
        }
    }
}
