//! The store's file: created with the right mode from its first moment, and opened only if it is a store of this program.
//! Never changes a file that it refuses.
#![expect(clippy::disallowed_methods, reason = "this is where the store's file is made and opened")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::fault::SqliteFault;

/// "dsaf", in the file's header: tells the file from other databases.
const APPLICATION_ID: i32 = 0x6473_6166;

/// The layout of the table, in the header's user version.
const LAYOUT: i32 = 1;

/// The first bytes of every SQLite database, and the size of its first page in ours (SQLite's default).
const MAGIC: &[u8] = b"SQLite format 3\0";
const PAGE: u64 = 4096;

/// The entry of the empty key, which no caller can use, holds the store's revision.
const TABLE: &str = "CREATE TABLE kv(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID, STRICT";
pub(crate) const REVISION: &str = "SELECT revision FROM kv WHERE key = x''";

/// How long another process may hold the file's locks before a commit fails, and before a read fails. A read may block the
/// runtime's thread, so that its time is shorter.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// The time between two attempts to open a file that other processes are opening.
const RETRY: Duration = Duration::from_millis(5);

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
    /// Its folder does not exist.
    #[error("its folder does not exist")]
    NoFolder,
    /// A folder or a device.
    #[error("not a file")]
    NotAFile,
    /// The system denies access.
    #[error("permission denied")]
    Denied,
    /// It is readable, but not writable.
    #[error("not writable by this process")]
    ReadOnly,
    /// Its first bytes are not those of an SQLite database.
    #[error("not a store: not an SQLite database")]
    NotADatabase,
    /// A database of something else.
    #[error("not a store: an SQLite database of another program")]
    Foreign,
    /// Written by a later version of this program.
    #[error("written by a newer version: layout {found}, and this version reads up to {known}")]
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
    /// No room to create or recover it.
    #[error("no room is left on its file system")]
    Full,
    /// Another process has it locked.
    #[error("locked by another process")]
    Busy,
    /// Anything else that the system reports.
    #[error("{0}")]
    Io(io::ErrorKind),
}

impl StoreFile {
    /// Opens the file, or creates it, and returns the connection that writes.
    pub(crate) fn open(path: &Path) -> Result<(StoreFile, Connection), SqliteOpenError> {
        // Absolute, because SQLite takes a name that starts with `file:` for an address: https://sqlite.org/uri.html
        let file = StoreFile { path: std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()) };
        let began = Instant::now();
        let opened = loop {
            match file.create_if_missing().and_then(|()| file.open_to_write()) {
                // SQLite reports that a lock is busy at once, without waiting, where waiting could be a deadlock: while two processes
                // turn on the write-ahead log.
                Err(OpenFault::Busy) if began.elapsed() < WRITE_TIMEOUT => std::thread::sleep(RETRY),
                opened => break opened,
            }
        };
        let connection = opened.map_err(|fault| file.error(fault))?;
        Ok((file, connection))
    }

    /// Opens a connection that reads.
    pub(crate) fn open_to_read(&self) -> Result<Connection, rusqlite::Error> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY, READ_TIMEOUT)
    }

    /// Bytes of the file and its log.
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

    /// Creates the file with mode 0600. SQLite would use the umask's mode; its own files get the mode of this one.
    fn create_if_missing(&self) -> Result<(), OpenFault> {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        // The log first: another process may create the store meanwhile, whose file has a length before its log has one.
        if length(&self.log()) > 0 && length(&self.path) == 0 {
            // SQLite would discard the log, which holds what was committed. A new store has no log yet.
            return Err(OpenFault::Corrupt);
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path) {
            Ok(made) => {
                made.set_permissions(PermissionsExt::from_mode(0o600))?;
                made.sync_all()?;
                // Without syncing the folder, the file's name may not survive a power loss: fsync(2).
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

    /// Refuses a file that is no database, or a damaged one.
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
        // SQLite takes a file that is shorter than a page for an empty one, and would overwrite it.
        if !start.is_empty() && start.len() as u64 != PAGE {
            return Err(OpenFault::Corrupt);
        }
        // A copy may have been made with a lax umask. The group's bits stay: an operator may let a group read backups.
        let mode = found.permissions().mode();
        if mode & 0o007 != 0 {
            std::fs::set_permissions(&self.path, PermissionsExt::from_mode(mode & 0o770))?;
        }
        Ok(())
    }

    fn open_to_write(&self) -> Result<Connection, OpenFault> {
        let mut connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE, WRITE_TIMEOUT)?;
        // Before any change: a file of another program stays as it is.
        let fresh = is_fresh(&connection.unchecked_transaction()?)?;
        // SQLite opens a file that it cannot write for reading, without an error.
        if connection.is_readonly("main")? {
            return Err(OpenFault::ReadOnly);
        }
        connection.pragma_update(None, "page_size", PAGE)?;
        if connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?
            != "wal"
        {
            return Err(OpenFault::NoLog);
        }
        // In WAL mode, only FULL syncs the log at each commit: https://sqlite.org/pragma.html#pragma_synchronous
        connection.pragma_update(None, "synchronous", "full")?;
        // Deleted records are overwritten with zeros, not only unlinked.
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        // The writer copies the log itself, after it has answered.
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        if fresh {
            create_table(&mut connection)?;
        }
        check_table(&connection)?;
        // Fails if the row of the revision is missing: the table is not of this program.
        connection.query_row(REVISION, (), |row| row.get::<_, i64>(0))?;
        Ok(connection)
    }

    fn connect(&self, mode: OpenFlags, patience: Duration) -> Result<Connection, rusqlite::Error> {
        let connection = Connection::open_with_flags(&self.path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(patience)?;
        // The file may come from anywhere, so that no trigger, view or function in it may run:
        // https://sqlite.org/security.html
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        // Nothing of a store may land in a temporary file.
        connection.pragma_update(None, "temp_store", "memory")?;
        Ok(connection)
    }
}

/// Whether nothing was ever stored in the file: it is new, or its creation was interrupted. Refuses other programs' files.
/// In a transaction, because its reads must be of one state: another process may create the table between them.
fn is_fresh(connection: &Transaction) -> Result<bool, OpenFault> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    match (number("application_id")?, number("user_version")?) {
        (0, 0) if objects == 0 => Ok(true),
        (APPLICATION_ID, LAYOUT) => Ok(false),
        (APPLICATION_ID, found) if found > LAYOUT => Err(OpenFault::Newer { found, known: LAYOUT }),
        _ => Err(OpenFault::Foreign),
    }
}

fn create_table(connection: &mut Connection) -> Result<(), OpenFault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Checked again in the transaction: another process may have created the table since.
    if is_fresh(&transaction)? {
        transaction.execute_batch(TABLE)?;
        transaction.execute("INSERT INTO kv(key, value, revision) VALUES (x'', x'', 0)", ())?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", LAYOUT)?;
    }
    Ok(transaction.commit()?)
}

/// Refuses a file that holds anything but this program's table.
fn check_table(connection: &Connection) -> Result<(), OpenFault> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema")?;
    let found =
        statement.query_map((), |row| row.get::<_, Option<String>>(0))?.collect::<Result<Vec<_>, _>>()?;
    match found.as_slice() {
        [Some(sql)] if sql == TABLE => Ok(()),
        _ => Err(OpenFault::Corrupt),
    }
}

impl SqliteOpenError {
    /// What the operator can do.
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
