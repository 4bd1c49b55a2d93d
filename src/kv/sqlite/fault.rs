//! What SQLite's result codes mean to the store and its operator. SQLite's messages stop here: only codes are logged.

use rusqlite::{ErrorCode, ffi};

use crate::kv::{CommitError, Outage, ReadError, Trouble};

/// A failure of SQLite, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Full,
    Corrupt,
    ReadOnly,
    Busy,
    Io,
}

// === impl Fault ===

impl From<rusqlite::Error> for Fault {
    /// Logs the code, since the rest of the program has no use for it.
    fn from(error: rusqlite::Error) -> Fault {
        let code = error.sqlite_error().map(|failure| failure.extended_code);
        let fault = Fault::of(&error);
        tracing::error!(code, ?fault, "sqlite failed");
        fault
    }
}

impl Fault {
    pub(crate) fn of(error: &rusqlite::Error) -> Fault {
        let Some(failure) = error.sqlite_error() else {
            // A row that is missing or holds another type than the table's: somebody else wrote it.
            return Fault::Corrupt;
        };
        match (failure.code, failure.extended_code) {
            // SQLite makes room in the index of its log with plain writes, whose lack of space it reports as I/O error.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Fault::Full,
            (_, ffi::SQLITE_IOERR_CORRUPTFS) => Fault::Corrupt,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation, _) => {
                Fault::Corrupt
            }
            // The only generic errors that fixed statements can meet: the table is not the one that was made.
            (ErrorCode::Unknown | ErrorCode::SchemaChanged | ErrorCode::TypeMismatch, _) => Fault::Corrupt,
            (ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => Fault::ReadOnly,
            (
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
                _,
            ) => Fault::Busy,
            _ => Fault::Io,
        }
    }
}

impl From<Fault> for CommitError {
    fn from(fault: Fault) -> CommitError {
        match fault {
            Fault::Full => CommitError::Full,
            Fault::Corrupt => CommitError::Corrupt,
            Fault::ReadOnly => CommitError::ReadOnly,
            Fault::Busy => CommitError::Unavailable(Outage::Busy),
            Fault::Io => CommitError::Unavailable(Outage::Io),
        }
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> ReadError {
        match fault {
            Fault::Corrupt => ReadError::Corrupt,
            Fault::Busy => ReadError::Unavailable(Outage::Busy),
            // A read can need room too: in the index of the log, when it is rebuilt.
            Fault::Full | Fault::ReadOnly | Fault::Io => ReadError::Unavailable(Outage::Io),
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        match fault {
            Fault::Full => Trouble::Full,
            Fault::Corrupt => Trouble::Corrupt,
            Fault::ReadOnly => Trouble::ReadOnly,
            Fault::Busy => Trouble::Unavailable(Outage::Busy),
            Fault::Io => Trouble::Unavailable(Outage::Io),
        }
    }
}
