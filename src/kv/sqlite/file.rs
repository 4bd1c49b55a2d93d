//! The store's file: made with the right mode from its first moment, opened only if it is what it should be, and told
//! apart when it is not. Never changes a file that it refuses.
#![expect(clippy::disallowed_methods, reason = "this is where the store's file is made and opened")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::SqliteFault;
/// "dsaf", in the file's header: so that `file` and this program know it from other databases.
const APPLICATION_ID: i32 = 0x6473_6166;

/// The layout of the table, in the header's user version.
const LAYOUT: i32 = 1;

/// The first bytes of every SQLite database, and the size of its first page in ours (SQLite's default).
const MAGIC: &[u8] = b"SQLite format 3\0";
const PAGE: u64 = 4096;

/// The entry of the empty key, which no caller can use, holds the store's revision.
const TABLE: &str = "CREATE TABLE kv(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID, STRICT";
pub(crate) const REVISION: &str = "SELECT revision FROM kv WHERE key = x''";

/// How long another process may hold the file's locks before a commit fails, or a read, which may keep others waiting.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const READ_TIMEOUT: Duration = Duration::from_millis(250);

/// A store's file.
#[derive(Clone)]
pub(crate) struct StoreFile {
    path: PathBuf,
}

/// Why a store's file could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct SqliteOpenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: OpenFault,
}

/// What is wrong with a store's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// The folder that should hold it is not there.
    #[error("its folder does not exist")]
    NoFolder,
    /// A folder or a device.
    #[error("not a file")]
    NotAFile,
    /// The system does not let this process have it.
    #[error("permission denied")]
    Denied,
    /// It can be read but not written.
    #[error("not writable by this process")]
    ReadOnly,
    /// Its first bytes are not those of an SQLite database.
    #[error("not a store: not an SQLite database")]
    NotADatabase,
    /// A database of something else.
    #[error("not a store: an SQLite database of another program")]
    Foreign,
    /// Written by a later version of this program.
    #[error("made by a newer version: layout {found}, and this version knows {known}")]
    Newer {
        /// The file's.
        found: i32,
        /// The newest that this program reads.
        known: i32,
    },
    /// Damaged.
    #[error("damaged")]
    Corrupt,
    /// Its file system cannot hold a write-ahead log.
    #[error("its file system cannot share memory between processes, which the store's log needs")]
    NoLog,
    /// No room to make it or to recover it.
    #[error("no room is left on its file system")]
    Full,
    /// Another process keeps it locked.
    #[error("locked by another process")]
    Busy,
    /// Anything else that the system reports.
    #[error("{0}")]
    Io(io::ErrorKind),
}

// === impl StoreFile ===

impl StoreFile {
    /// Opens the file, makes it if there is none, and returns the connection to write with.
    pub(crate) fn open(path: &Path) -> Result<(StoreFile, Connection), SqliteOpenError> {
        // Absolute, so that no name can be taken for one of SQLite's `file:` addresses.
        let file = StoreFile { path: std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()) };
        let opened = file.make_if_missing().and_then(|()| file.open_to_write());
        let connection = opened.map_err(|fault| file.error(fault))?;
        Ok((file, connection))
    }

    /// A connection that reads.
    pub(crate) fn open_to_read(&self) -> Result<Connection, rusqlite::Error> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY, READ_TIMEOUT)
    }

    /// Bytes that the file and its log take.
    pub(crate) fn size(&self) -> Option<u64> {
        let log = std::fs::metadata(self.log()).map_or(0, |found| found.len());
        std::fs::metadata(&self.path).ok().map(|found| found.len() + log)
    }

    pub(crate) fn error(&self, fault: OpenFault) -> SqliteOpenError {
        SqliteOpenError { path: self.path.clone(), fault }
    }

    pub(crate) fn log(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        name.into()
    }

    /// SQLite would make the file with the umask's mode; what it makes beside the file has the file's mode.
    fn make_if_missing(&self) -> Result<(), OpenFault> {
        let length = |path| std::fs::metadata(path).map_or(0, |found| found.len());
        if length(self.path.clone()) == 0 && length(self.log()) > 0 {
            // What was committed is in the log, and SQLite would throw it away. A new store has no log yet.
            return Err(OpenFault::Corrupt);
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path) {
            Ok(made) => {
                made.set_permissions(PermissionsExt::from_mode(0o600))?;
                made.sync_all()?;
                // Without this the file's name may not survive a loss of power.
                match self.path.parent() {
                    Some(folder) => Ok(File::open(folder)?.sync_all()?),
                    None => Ok(()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.check_existing(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenFault::NoFolder),
            Err(error) => Err(error.into()),
        }
    }

    /// SQLite takes what is shorter than a page for nothing, and would write over it.
    fn check_existing(&self) -> Result<(), OpenFault> {
        let found = std::fs::metadata(&self.path)?;
        if !found.is_file() {
            return Err(OpenFault::NotAFile);
        }
        let mut start = Vec::new();
        File::open(&self.path)?.take(PAGE).read_to_end(&mut start)?;
        if !start.is_empty() && !start.starts_with(MAGIC) {
            return Err(OpenFault::NotADatabase);
        }
        if !start.is_empty() && start.len() as u64 != PAGE {
            return Err(OpenFault::Corrupt);
        }
        // A copy made with a lax umask; a group that the operator lets read backups is kept.
        let mode = found.permissions().mode();
        if mode & 0o007 != 0 {
            std::fs::set_permissions(&self.path, PermissionsExt::from_mode(mode & 0o770))?;
        }
        Ok(())
    }

    fn open_to_write(&self) -> Result<Connection, OpenFault> {
        let mut connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE, WRITE_TIMEOUT)?;
        let fresh = is_fresh(&connection)?;
        // SQLite falls back to reading when it may not write, or the header says that it cannot.
        if connection.is_readonly("main")? {
            return Err(OpenFault::ReadOnly);
        }
        connection.pragma_update(None, "page_size", PAGE)?;
        if connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?
            != "wal"
        {
            return Err(OpenFault::NoLog);
        }
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        // The writer empties the log itself, after it has answered.
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        if fresh {
            make_table(&mut connection)?;
        }
        check_table(&connection)?;
        // A table without its revision was not made by this program.
        connection.query_row(REVISION, (), |row| row.get::<_, i64>(0))?;
        Ok(connection)
    }

    fn connect(&self, mode: OpenFlags, patience: Duration) -> Result<Connection, rusqlite::Error> {
        let connection = Connection::open_with_flags(&self.path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(patience)?;
        // The file may come from anywhere: nothing that it defines is run.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        Ok(connection)
    }
}

/// Whether nothing was ever stored in the file: it is new, or making it was cut short. Refuses files of others.
fn is_fresh(connection: &Connection) -> Result<bool, OpenFault> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    match (number("application_id")?, number("user_version")?) {
        (0, 0) if objects == 0 => Ok(true),
        (APPLICATION_ID, LAYOUT) => Ok(false),
        (APPLICATION_ID, found) if found > LAYOUT => Err(OpenFault::Newer { found, known: LAYOUT }),
        _ => Err(OpenFault::Foreign),
    }
}

fn make_table(connection: &mut Connection) -> Result<(), OpenFault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have made it since.
    if is_fresh(&transaction)? {
        transaction.execute_batch(TABLE)?;
        transaction.execute("INSERT INTO kv(key, value, revision) VALUES (x'', x'', 0)", ())?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", LAYOUT)?;
    }
    Ok(transaction.commit()?)
}

/// The table is the one that this program made, and the only thing in the file.
fn check_table(connection: &Connection) -> Result<(), OpenFault> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema")?;
    let found =
        statement.query_map((), |row| row.get::<_, Option<String>>(0))?.collect::<Result<Vec<_>, _>>()?;
    match found.as_slice() {
        [Some(sql)] if sql == TABLE => Ok(()),
        _ => Err(OpenFault::Corrupt),
    }
}

// === impl SqliteOpenError, OpenFault ===

impl SqliteOpenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self.fault {
            OpenFault::NoFolder => Some("make the folder, or correct the path"),
            OpenFault::Denied | OpenFault::ReadOnly => {
                Some("give the server's user read and write permission on the file and its folder")
            }
            OpenFault::NotAFile | OpenFault::NotADatabase | OpenFault::Foreign => {
                Some("correct the path; if this should be the store, restore it from a backup")
            }
            OpenFault::Newer { .. } => {
                Some("run the newer version of dropsafe, or restore a backup that this version made")
            }
            OpenFault::Corrupt => Some("keep the damaged files, and restore the latest backup"),
            OpenFault::NoLog => Some("keep the store on a local file system"),
            OpenFault::Full => Some("make room on the file system"),
            OpenFault::Busy => Some("end the other process that has the store open"),
            OpenFault::Io(_) => Some("look for faults of the disk in the system's log"),
        }
    }
}

impl From<io::Error> for OpenFault {
    fn from(error: io::Error) -> OpenFault {
        match error.kind() {
            io::ErrorKind::PermissionDenied => OpenFault::Denied,
            io::ErrorKind::ReadOnlyFilesystem => OpenFault::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenFault::Full,
            io::ErrorKind::IsADirectory => OpenFault::NotAFile,
            kind => OpenFault::Io(kind),
        }
    }
}

impl From<rusqlite::Error> for OpenFault {
    fn from(error: rusqlite::Error) -> OpenFault {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => return OpenFault::NotADatabase,
            Some(rusqlite::ErrorCode::CannotOpen) => return OpenFault::Denied,
            _ => {}
        }
        match SqliteFault::from(error) {
            SqliteFault::Full => OpenFault::Full,
            SqliteFault::Corrupt => OpenFault::Corrupt,
            SqliteFault::ReadOnly => OpenFault::ReadOnly,
            SqliteFault::Busy => OpenFault::Busy,
            SqliteFault::Io => OpenFault::Io(io::ErrorKind::Other),
        }
    }
}
