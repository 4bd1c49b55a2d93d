//! The byte store in an SQLite file: the embedded default. One writer thread makes commits durable in groups; reads use
//! connections of their own, on the caller's thread while they are short.
//!
//! For one server process: that no second one uses the file is for the caller to see to (other processes may read it).

mod fault;
mod file;
mod reads;
mod snapshot;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use file::{OpenFault, SqliteOpenError};

use self::fault::SqliteFault;
use self::file::StoreFile;
use self::reads::Readers;
use self::snapshot::SqliteSnapshot;
use self::writer::SqliteWriter;
use super::{
    BoxFuture, CommitError, Kv, KvHealth, KvLookup, KvPage, KvReadError, KvSnapshot, Limits, Outage,
    Precondition, Revision, Trouble, Write,
};

/// How long without a commit until the log is emptied into the file, so that what was deleted is overwritten there too.
const IDLE: Duration = Duration::from_secs(5);

/// The byte store in an SQLite file.
pub struct Sqlite {
    file: StoreFile,
    readers: Arc<Readers>,
    writer: SqliteWriter,
    last_outcome: Arc<LastOutcome>,
}

/// What the last commit met, for [`Kv::health`].
#[derive(Default)]
struct LastOutcome(Mutex<Option<SqliteFault>>);

// === impl Sqlite ===

impl Sqlite {
    /// Opens the store at `path`, or makes it there (mode 0600) if there is no file or an empty one. Blocks for
    /// milliseconds, whatever the size of the store and however it was left.
    pub fn open(path: &Path) -> Result<Sqlite, SqliteOpenError> {
        Sqlite::open_with(path, IDLE)
    }

    fn open_with(path: &Path, idle: Duration) -> Result<Sqlite, SqliteOpenError> {
        let (file, connection) = StoreFile::open(path)?;
        let last_outcome = Arc::new(LastOutcome::default());
        let writer = SqliteWriter::start(connection, idle, Arc::clone(&last_outcome))
            .map_err(|error| file.error(OpenFault::Io(error.kind())))?;
        let readers = Arc::new(Readers::new(file.clone()));
        Ok(Sqlite { file, readers, writer, last_outcome })
    }
}

impl Kv for Sqlite {
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<KvLookup, KvReadError>> {
        Box::pin(self.readers.get(keys))
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>> {
        Box::pin(self.readers.scan(prefix, after, limit))
    }

    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            self.limits().check(&preconditions, &writes)?;
            self.writer.commit(preconditions, writes).await
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn KvSnapshot>, KvReadError>> {
        Box::pin(
            async move { Ok(Box::new(SqliteSnapshot::take(&self.readers).await?) as Box<dyn KvSnapshot>) },
        )
    }

    fn limits(&self) -> Limits {
        Limits::EMBEDDED
    }

    fn health(&self) -> BoxFuture<'_, KvHealth> {
        Box::pin(async move {
            let revision = self.readers.get(&[]).await.map(|(_, revision)| revision);
            let trouble = match (self.writer.is_closed(), self.writer.is_running(), &revision) {
                (true, ..) => Some(Trouble::Unavailable(Outage::Closed)),
                (false, false, _) => Some(Trouble::Unavailable(Outage::Io)),
                (false, true, Err(KvReadError::Corrupt)) => Some(Trouble::Corrupt),
                (false, true, Err(KvReadError::Unavailable(outage))) => Some(Trouble::Unavailable(*outage)),
                (false, true, Ok(_)) => self.last_outcome.last().map(Trouble::from),
            };
            KvHealth { trouble, revision: revision.ok(), bytes: self.file.size() }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close();
            self.writer.close().await;
        })
    }

    fn name(&self) -> &'static str {
        "sqlite"
    }
}

// === impl LastOutcome ===

impl LastOutcome {
    fn met(&self, outcome: Result<(), SqliteFault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outcome.err();
    }

    fn last(&self) -> Option<SqliteFault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
