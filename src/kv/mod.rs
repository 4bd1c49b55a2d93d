//! The byte store: ordered bytes to bytes, atomic and durable, one trait for every backend.
//!
//! It sees no plain name or value (its keys are keyed hashes, its values sealed records), and neither errors nor `Debug`
//! show a key or a value. One suite, `conformance`, tests every backend against the documentation of [`Kv`].

#[cfg(test)]
pub(crate) mod conformance;
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

/// The number of a commit. A commit that changes something has a greater revision than every commit before it.
pub type Revision = u64;

/// A future behind a pointer, so that [`Kv`] can be used as `dyn Kv`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The answer of [`Kv::get`]: an entry or `None` for each key, and the revision of the snapshot.
pub type KvLookup = (Vec<Option<KvEntry>>, Revision);

/// Ordered bytes to bytes.
///
/// Keys compare as bytes, are never empty, and have at most one entry each. All reads and commits are linearizable: a read
/// that starts after a commit was acknowledged sees what it wrote.
pub trait Kv: Send + Sync {
    /// Returns the entries of `keys` in their order, `None` for a key without an entry, all from one snapshot.
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<KvLookup, KvReadError>>;

    /// Returns at most `limit` entries, in ascending order of key, all from one snapshot: the first ones whose key starts with
    /// `prefix` and is greater than `after`, which is a whole key and need not exist.
    ///
    /// A backend also bounds the bytes of a page, so that a page with [`KvPage::more`] may hold fewer entries than `limit`, but
    /// at least one if `limit` is not 0. The next page starts after the last key of this one and may come from a later
    /// snapshot: compare [`KvPage::revision`] where that matters.
    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>>;

    /// Makes all `writes` durable at once if every precondition holds, and otherwise changes nothing.
    ///
    /// Returns the commit's revision, which its entries get. A commit that changes nothing (no writes, or only deletions of
    /// absent keys) checks its preconditions, takes no revision and returns the current one. A commit may write a key once;
    /// its preconditions may name any key, any number of times.
    ///
    /// If the future is dropped before it is ready, or fails with [`CommitError::outcome_unknown`], then all of the commit
    /// happened or nothing of it.
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

    /// The limits of a commit.
    fn limits(&self) -> Limits;

    /// Whether reads and commits work, as far as the backend knows.
    fn health(&self) -> BoxFuture<'_, KvHealth>;

    /// Finishes the accepted commits, then releases files and connections. Reads and commits that start afterwards fail with
    /// [`Outage::Closed`], and so do the pages of open snapshots. Closing again does nothing.
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

/// Opens the store at an address, and creates it if it does not exist. A store on other machines is connected at its first
/// request, on the runtime of that request.
pub fn open(url: &Url) -> Result<Arc<dyn Kv>, KvOpenError> {
    Ok(match url {
        Url::Sqlite(path) => Arc::new(sqlite::Sqlite::open(path)?),
        Url::Memory => Arc::new(memory::Memory::new()),
        #[cfg(feature = "etcd")]
        Url::Etcd(address) => Arc::new(etcd::Etcd::open(address)?),
    })
}

/// Why a byte store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KvOpenError {
    /// A store in an SQLite file.
    #[error(transparent)]
    Sqlite(#[from] sqlite::SqliteOpenError),
    /// A store on etcd.
    #[cfg(feature = "etcd")]
    #[error(transparent)]
    Etcd(#[from] etcd::EtcdOpenError),
}

/// One key and what is stored there.
#[derive(Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The whole key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The revision of the commit that wrote this value.
    pub revision: Revision,
}

/// A condition of a commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key has no entry.
    Absent(Vec<u8>),
    /// The key's entry has this revision. Never holds for revision 0.
    At(Vec<u8>, Revision),
}

/// One change of a commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes the entry of a key, if it has one.
    Delete(Vec<u8>),
}

/// A page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvPage {
    /// In ascending order of key.
    pub entries: Vec<KvEntry>,
    /// Whether the snapshot holds further entries after the last of these.
    pub more: bool,
    /// The store's revision in the page's snapshot.
    pub revision: Revision,
}

/// The health of a store, as far as its backend knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHealth {
    /// Why commits fail, as of the last commit. `None` if they succeed.
    pub trouble: Option<Trouble>,
    /// The newest revision; `None` if it cannot be read.
    pub revision: Option<Revision>,
    /// Bytes that the store occupies, if the backend knows.
    pub bytes: Option<u64>,
}

/// Why a store does not accept commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No room is left.
    #[error("no room is left for the byte store")]
    Full,
    /// The stored data is damaged.
    #[error("the byte store is damaged")]
    Corrupt,
    /// This process has no permission to write.
    #[error("the byte store cannot be written by this process")]
    ReadOnly,
    /// It does not answer.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

impl Write {
    /// The key that it changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Write::Put(key, _) | Write::Delete(key) => key,
        }
    }
}

impl Precondition {
    /// The key that it is about.
    pub fn key(&self) -> &[u8] {
        match self {
            Precondition::Absent(key) | Precondition::At(key, _) => key,
        }
    }

    /// Whether it holds for a key whose entry has this revision; `None` for a key without an entry.
    pub fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Precondition::Absent(_) => found.is_none(),
            // 0 is what a caller holds who never read the entry, and etcd's revision of an absent key.
            Precondition::At(_, revision) => *revision != 0 && found == Some(*revision),
        }
    }
}

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
