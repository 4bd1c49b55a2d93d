//! SQLite's result codes, sorted by what can be done about them. SQLite's messages stop here: only codes are logged.

use rusqlite::{ErrorCode, ffi};

use crate::kv::{CommitError, KvReadError, Outage, Trouble};

/// A failure of SQLite, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqliteFault {
    Full,
    Corrupt,
    ReadOnly,
    Busy,
    Io,
}

impl From<rusqlite::Error> for SqliteFault {
    /// Also logs SQLite's code.
    fn from(error: rusqlite::Error) -> SqliteFault {
        let code = error.sqlite_error().map(|failure| failure.extended_code);
        let fault = SqliteFault::from_error(&error);
        tracing::error!(code, ?fault, "sqlite failed");
        fault
    }
}

impl SqliteFault {
    pub(crate) fn from_error(error: &rusqlite::Error) -> SqliteFault {
        let Some(failure) = error.sqlite_error() else {
            // A row is missing or has another type than the table: another program wrote it.
            return SqliteFault::Corrupt;
        };
        match (failure.code, failure.extended_code) {
            // SQLite extends the index of its log with plain writes, and reports a full disk there as an I/O error.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => SqliteFault::Full,
            (_, ffi::SQLITE_IOERR_CORRUPTFS) => SqliteFault::Corrupt,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation, _) => {
                SqliteFault::Corrupt
            }
            // Fixed statements meet these generic errors only if the table is not the one that this program made.
            (ErrorCode::Unknown | ErrorCode::SchemaChanged | ErrorCode::TypeMismatch, _) => {
                SqliteFault::Corrupt
            }
            (ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => SqliteFault::ReadOnly,
            (
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
                _,
            ) => SqliteFault::Busy,
            _ => SqliteFault::Io,
        }
    }
}

impl From<SqliteFault> for CommitError {
    fn from(fault: SqliteFault) -> CommitError {
        match fault {
            SqliteFault::Full => CommitError::Full,
            SqliteFault::Corrupt => CommitError::Corrupt,
            SqliteFault::ReadOnly => CommitError::ReadOnly,
            SqliteFault::Busy => CommitError::Unavailable(Outage::Busy),
            SqliteFault::Io => CommitError::Unavailable(Outage::Io),
        }
    }
}

impl From<SqliteFault> for KvReadError {
    fn from(fault: SqliteFault) -> KvReadError {
        match fault {
            SqliteFault::Corrupt => KvReadError::Corrupt,
            SqliteFault::Busy => KvReadError::Unavailable(Outage::Busy),
            // A read needs room too, when it rebuilds the index of the log.
            SqliteFault::Full | SqliteFault::ReadOnly | SqliteFault::Io => {
                KvReadError::Unavailable(Outage::Io)
            }
        }
    }
}

impl From<SqliteFault> for Trouble {
    fn from(fault: SqliteFault) -> Trouble {
        match fault {
            SqliteFault::Full => Trouble::Full,
            SqliteFault::Corrupt => Trouble::Corrupt,
            SqliteFault::ReadOnly => Trouble::ReadOnly,
            SqliteFault::Busy => Trouble::Unavailable(Outage::Busy),
            SqliteFault::Io => Trouble::Unavailable(Outage::Io),
        }
    }
}
