//! Reads. Each uses its own connection and one snapshot.
//!
//! A short read takes 3 to 10 µs, and handing it to another thread and back 10 to 60: it runs on the caller's thread. A
//! read that turns out to be long is given up and started again on a thread that may block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{CachedStatement, Connection, Error, OptionalExtension};
use tokio::sync::Semaphore;

use super::fault::SqliteFault;
use super::file::{REVISION, StoreFile};
use crate::kv::{KvEntry, KvLookup, KvPage, KvReadError, Outage, Revision};

const ENTRY: &str = "SELECT value, revision FROM kv WHERE key = ?1";
/// An entry and the store's revision. One statement is a snapshot by itself. (A join would also answer for an absent entry,
/// but SQLite would prepare it again for each key.)
const ENTRY_AND_REVISION: &str =
    "SELECT value, revision, (SELECT revision FROM kv WHERE key = x'') FROM kv WHERE key = ?1";
const FROM: &str = "SELECT key, value, revision FROM kv WHERE key >= ?1 ORDER BY key";

/// The bounds of a read on the caller's thread: about 0.1 ms.
const SHORT: ReadBudget = ReadBudget { entries: 64, bytes: 256 << 10 };
/// Bytes of a page, about.
const PAGE_BYTES: usize = 4 << 20;
/// Long reads at a time: each has a connection and a thread, and makes the log grow while it lasts.
const LONG_READS: usize = 4;
/// Idle connections at most, each with up to 2 MiB of pages.
const MAX_IDLE: usize = 8;

/// The connections that read.
pub(crate) struct Readers {
    file: StoreFile,
    /// `None` once closed.
    idle: Mutex<Option<Vec<Connection>>>,
    long_reads: Semaphore,
}

#[derive(Clone, Copy)]
struct ReadBudget {
    entries: usize,
    bytes: usize,
}

/// The read would exceed its budget.
struct ReadTooLong;

impl Readers {
    pub(crate) fn new(file: StoreFile) -> Readers {
        Readers { file, idle: Mutex::new(Some(Vec::new())), long_reads: Semaphore::new(LONG_READS) }
    }

    pub(crate) async fn get(self: &Arc<Readers>, keys: &[Vec<u8>]) -> Result<KvLookup, KvReadError> {
        // The most frequent read is of one key, and a single statement saves the transaction around it.
        if let [key] = keys
            && !key.is_empty()
            && let Some(found) = self.get_one(key)?
        {
            return Ok(found);
        }
        let short = self.snapshot(|connection| get(connection, keys, SHORT))?;
        match short {
            (Ok(found), revision) => Ok((found, revision)),
            (Err(ReadTooLong), _) => {
                let keys = keys.to_vec();
                let everything = ReadBudget { entries: usize::MAX, bytes: usize::MAX };
                match self.read_blocking(move |connection| get(connection, &keys, everything)).await? {
                    (Ok(found), revision) => Ok((found, revision)),
                    (Err(ReadTooLong), _) => Err(KvReadError::Unavailable(Outage::Io)),
                }
            }
        }
    }

    pub(crate) async fn scan(
        self: &Arc<Readers>,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<KvPage, KvReadError> {
        let budget = ReadBudget { entries: limit.min(SHORT.entries), bytes: SHORT.bytes };
        let (page, revision) = self.snapshot(|connection| scan(connection, prefix, after, budget))?;
        // The short read already is the whole page, or all that there is.
        if !page.more || page.entries.len() >= limit {
            return Ok(page.at(revision));
        }
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        let budget = ReadBudget { entries: limit, bytes: PAGE_BYTES };
        let (page, revision) =
            self.read_blocking(move |connection| scan(connection, &prefix, after.as_deref(), budget)).await?;
        Ok(page.at(revision))
    }

    /// Opens a connection with a read transaction that stays open, and returns the revision that it sees.
    pub(crate) fn begin(&self) -> Result<(Connection, Revision), KvReadError> {
        let connection = self.take()?;
        let begun = begin(&connection).map_err(SqliteFault::from)?;
        Ok((connection, begun))
    }

    pub(crate) fn refuse_if_closed(&self) -> Result<(), KvReadError> {
        match self.lock().is_none() {
            true => Err(KvReadError::Unavailable(Outage::Closed)),
            false => Ok(()),
        }
    }

    /// Refuses all reads from now on. Those under way keep their connections until they end.
    pub(crate) fn close(&self) {
        drop(self.lock().take());
    }

    async fn read_blocking<T: Send + 'static>(
        self: &Arc<Readers>,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<(T, Revision), KvReadError> {
        self.block_on(move |readers| readers.snapshot(read)).await
    }

    /// Reads on a thread that may block, a few at a time.
    pub(crate) async fn block_on<T: Send + 'static>(
        self: &Arc<Readers>,
        read: impl FnOnce(&Readers) -> Result<T, KvReadError> + Send + 'static,
    ) -> Result<T, KvReadError> {
        let closed = KvReadError::Unavailable(Outage::Closed);
        let _permit = self.long_reads.acquire().await.map_err(|_| closed)?;
        let readers = Arc::clone(self);
        // The task fails only when the runtime shuts down.
        tokio::task::spawn_blocking(move || read(&readers)).await.map_err(|_| closed)?
    }

    /// The entry of a key. `None` if the key has none.
    fn get_one(&self, key: &[u8]) -> Result<Option<KvLookup>, KvReadError> {
        self.with_connection(|connection| get_one(connection, key))
    }

    /// What `read` returns, and the revision of the snapshot that it reads.
    fn snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<(T, Revision), KvReadError> {
        self.with_connection(|connection| in_transaction(connection, read))
    }

    /// Lends a connection to `read` alone.
    fn with_connection<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, KvReadError> {
        let connection = self.take()?;
        let result = read(&connection);
        // A connection that failed may be inside a transaction, and is dropped.
        if result.is_ok() {
            self.put_back(connection);
        }
        Ok(result.map_err(SqliteFault::from)?)
    }

    fn take(&self) -> Result<Connection, KvReadError> {
        let idle = match self.lock().as_mut() {
            None => return Err(KvReadError::Unavailable(Outage::Closed)),
            Some(idle) => idle.pop(),
        };
        match idle {
            Some(connection) => Ok(connection),
            None => Ok(self.file.open_to_read().map_err(SqliteFault::from)?),
        }
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.lock();
        // Dropped when there are enough: a herd of readers must not leave its connections behind.
        if let Some(idle) = idle.as_mut().filter(|idle| idle.len() < MAX_IDLE) {
            idle.push(connection);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<(T, Revision), Error> {
    let revision = begin(connection)?;
    let found = read(connection)?;
    connection.prepare_cached("COMMIT")?.execute(())?;
    Ok((found, revision))
}

fn begin(connection: &Connection) -> Result<Revision, Error> {
    connection.prepare_cached("BEGIN")?.execute(())?;
    // SQLite fixes what a transaction sees at its first read, not at BEGIN: https://sqlite.org/isolation.html
    connection.prepare_cached(REVISION)?.query_row((), |row| row.get(0))
}

/// A page of all entries, by a connection whose transaction is open.
pub(crate) fn page(
    connection: &Connection,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<PageRows, KvReadError> {
    Ok(scan(connection, b"", after, ReadBudget { entries: limit, bytes: PAGE_BYTES })
        .map_err(SqliteFault::from)?)
}

fn get(
    connection: &Connection,
    keys: &[Vec<u8>],
    budget: ReadBudget,
) -> Result<Result<Vec<Option<KvEntry>>, ReadTooLong>, Error> {
    // Known before the first read, so that nothing is read twice.
    if keys.len() > budget.entries {
        return Ok(Err(ReadTooLong));
    }
    let mut statement = connection.prepare_cached(ENTRY)?;
    let mut found = Vec::with_capacity(keys.len());
    let mut bytes = 0;
    for key in keys {
        let entry = if key.is_empty() { None } else { one(&mut statement, key)? };
        bytes += entry.as_ref().map_or(0, |entry| entry.value.len());
        if bytes > budget.bytes {
            return Ok(Err(ReadTooLong));
        }
        found.push(entry);
    }
    Ok(Ok(found))
}

fn get_one(connection: &Connection, key: &[u8]) -> Result<Option<KvLookup>, Error> {
    let mut statement = connection.prepare_cached(ENTRY_AND_REVISION)?;
    let found = statement.query_row([key], |row| {
        let entry = KvEntry { key: key.to_vec(), value: row.get(0)?, revision: row.get(1)? };
        Ok((vec![Some(entry)], row.get(2)?))
    });
    found.optional()
}

fn one(statement: &mut CachedStatement<'_>, key: &[u8]) -> Result<Option<KvEntry>, Error> {
    let row = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(row.map(|(value, revision)| KvEntry { key: key.to_vec(), value, revision }))
}

/// A page before its revision is known.
pub(crate) struct PageRows {
    entries: Vec<KvEntry>,
    more: bool,
}

impl PageRows {
    pub(crate) fn at(self, revision: Revision) -> KvPage {
        KvPage { entries: self.entries, more: self.more, revision }
    }
}

fn scan(
    connection: &Connection,
    prefix: &[u8],
    after: Option<&[u8]>,
    budget: ReadBudget,
) -> Result<PageRows, Error> {
    let mut statement = connection.prepare_cached(FROM)?;
    let mut rows = statement.query([first_key(prefix, after)])?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let key = row.get_ref(0)?.as_blob()?;
        // Ends the scan here and not by an upper bound: a prefix of 0xff bytes has none.
        if !key.starts_with(prefix) {
            break;
        }
        if entries.len() >= budget.entries || bytes >= budget.bytes {
            return Ok(PageRows { entries, more: true });
        }
        let entry = KvEntry { key: key.to_vec(), value: row.get(1)?, revision: row.get(2)? };
        bytes += entry.key.len() + entry.value.len();
        entries.push(entry);
    }
    Ok(PageRows { entries, more: false })
}

/// The least key that a scan may return.
fn first_key(prefix: &[u8], after: Option<&[u8]>) -> Vec<u8> {
    match after {
        // No key is between a key and that key with a zero byte.
        Some(after) if after >= prefix => [after, &[0]].concat(),
        // The empty key is the store's own, and this is the least one after it.
        _ if prefix.is_empty() => vec![0],
        _ => prefix.to_vec(),
    }
}
