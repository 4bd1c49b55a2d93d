//! The byte store in an SQLite file: the embedded default. One writer thread makes commits durable in groups. Reads use
//! their own connections, and short ones run on the caller's thread.
//!
//! For one server process: the caller makes sure that no second one writes the file. Other processes may read it.

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

/// Time without a commit after which the log is emptied into the file, so that deleted data is overwritten in both.
const IDLE: Duration = Duration::from_secs(5);

/// The byte store in an SQLite file.
pub struct Sqlite {
    file: StoreFile,
    readers: Arc<Readers>,
    writer: SqliteWriter,
    last_outcome: Arc<LastOutcome>,
}

/// The outcome of the last commit, for [`Kv::health`].
#[derive(Default)]
struct LastOutcome(Mutex<Option<SqliteFault>>);

impl Sqlite {
    /// Opens the store at `path`, or creates it (mode 0600) if the file is absent or empty. Blocks for milliseconds,
    /// regardless of the size of the store and of how it was left.
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
            // Before the queue: a commit that can never succeed takes no place in it.
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
            // The first thing that is wrong counts: a closed store is also not running.
            let trouble = match (self.writer.is_closed(), self.writer.is_running(), &revision) {
                (true, ..) => Some(Trouble::Unavailable(Outage::Closed)),
                (false, false, _) => Some(Trouble::Unavailable(Outage::Io)),
                (false, true, Err(KvReadError::Corrupt)) => Some(Trouble::Corrupt),
                (false, true, Err(KvReadError::Unavailable(outage))) => Some(Trouble::Unavailable(*outage)),
                (false, true, Ok(_)) => self.last_outcome.get().map(Trouble::from),
            };
            KvHealth { trouble, revision: revision.ok(), bytes: self.file.size() }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The readers first: an open snapshot would keep the writer from emptying the log at its end.
            self.readers.close();
            self.writer.close().await;
        })
    }

    fn name(&self) -> &'static str {
        "sqlite"
    }
}

impl LastOutcome {
    fn set(&self, outcome: Result<(), SqliteFault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outcome.err();
    }

    fn get(&self) -> Option<SqliteFault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
