//! A byte store beside its owner: the store has its own connection, and the owner reads and writes the rows through another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::kv::etcd::Etcd;
use crate::kv::etcd::tests::Alone;
use crate::kv::sqlite::Sqlite;
use crate::kv::{Kv, Revision, Write};

/// A value, and the revision that it was written at.
pub(super) type Row = (Vec<u8>, Revision);
/// The rows of a byte store, by key.
pub(super) type Rows = BTreeMap<Vec<u8>, Row>;
/// What becomes of rows. `None` stands for no row.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Row>>;

/// Where the rows are.
pub(super) enum BytePlace {
    Sqlite(TempDir),
    Etcd(Alone),
}

impl BytePlace {
    pub(super) fn sqlite() -> Self {
        // In memory where that is possible, because every commit is synced.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self::Sqlite(tempfile::Builder::new().prefix("dropsafe-tamper-").tempdir_in(parent).unwrap())
    }

    pub(super) fn etcd() -> Self {
        Self::Etcd(Alone::default())
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Etcd(_) => "etcd",
        }
    }

    /// Whether its owner can give a row any revision.
    pub(super) fn can_set_revisions(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Opens it as a server does.
    pub(super) fn open(&self) -> Arc<dyn Kv> {
        match self {
            Self::Sqlite(folder) => Arc::new(Sqlite::open(&file(folder)).unwrap()),
            Self::Etcd(etcd) => Arc::new(Etcd::open(&etcd.address()).unwrap()),
        }
    }

    /// Opens it for another server beside the one that has `first`. An SQLite file has one server at a time.
    pub(super) fn open_beside(&self, first: &Arc<dyn Kv>) -> Arc<dyn Kv> {
        match self {
            Self::Sqlite(_) => Arc::clone(first),
            Self::Etcd(_) => self.open(),
        }
    }

    /// Opens it as its owner.
    pub(super) fn owner(&self) -> ByteOwner {
        match self {
            Self::Sqlite(folder) => {
                let connection = Connection::open(file(folder)).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
                ByteOwner::Sqlite(connection)
            }
            Self::Etcd(etcd) => ByteOwner::Etcd(Etcd::open(&etcd.address()).unwrap()),
        }
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("store.db")
}

/// Somebody who reads and writes the rows beside the store.
pub(super) enum ByteOwner {
    Sqlite(Connection),
    Etcd(Etcd),
}

impl ByteOwner {
    /// Reads all rows. The entry of the empty key, where SQLite's revision is, belongs to no store.
    pub(super) async fn rows(&self) -> Rows {
        match self {
            Self::Sqlite(connection) => {
                let mut read = connection
                    .prepare_cached("SELECT key, value, revision FROM kv WHERE key <> x''")
                    .unwrap();
                let rows = read.query_map((), |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
                rows.collect::<Result<_, _>>().unwrap()
            }
            Self::Etcd(etcd) => {
                let mut snapshot = etcd.snapshot().await.unwrap();
                let (mut rows, mut after) = (Rows::new(), None::<Vec<u8>>);
                loop {
                    let page = snapshot.page(after.as_deref(), 1000).await.unwrap();
                    after = page.entries.last().map(|entry| entry.key.clone());
                    let entries = page.entries.into_iter();
                    rows.extend(entries.map(|entry| (entry.key, (entry.value, entry.revision))));
                    if !page.more {
                        return rows;
                    }
                }
            }
        }
    }

    /// Writes rows in one transaction. Whoever has an SQLite file can also give each row the revision that it had.
    pub(super) async fn write(&self, changes: &Changes, with_revisions: bool) {
        match self {
            Self::Sqlite(connection) => write_sqlite(connection, changes, with_revisions).unwrap(),
            Self::Etcd(etcd) => {
                let writes: Vec<Write> =
                    changes.iter().map(|(key, row)| write_of(key, row.as_ref())).collect();
                // As many as one transaction of etcd takes.
                for writes in writes.chunks(etcd.limits().max_writes_per_commit) {
                    etcd.commit(Vec::new(), writes.to_vec()).await.unwrap();
                }
            }
        }
    }
}

fn write_of(key: &[u8], row: Option<&Row>) -> Write {
    match row {
        Some((value, _)) => Write::Put(key.to_vec(), value.clone()),
        None => Write::Delete(key.to_vec()),
    }
}

fn write_sqlite(connection: &Connection, changes: &Changes, with_revisions: bool) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    if !with_revisions {
        connection.execute("UPDATE kv SET revision = revision + 1 WHERE key = x''", ())?;
    }
    for (key, row) in changes {
        let Some((value, revision)) = row else {
            connection.execute("DELETE FROM kv WHERE key = ?1", (key,))?;
            continue;
        };
        connection.execute(
            "REPLACE INTO kv(key, value, revision)
             VALUES (?1, ?2, CASE ?3 WHEN 0 THEN (SELECT revision FROM kv WHERE key = x'') ELSE ?3 END)",
            (key, value, if with_revisions { *revision } else { 0 }),
        )?;
    }
    connection.execute_batch("COMMIT")
}
