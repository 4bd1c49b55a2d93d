//! How reads and commits fail. An error never holds a key, a value or a backend's own message.

/// Why a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvReadError {
    /// The stored data is damaged.
    #[error("the byte store is damaged")]
    Corrupt,
    /// The store does not answer.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

/// Why a commit failed. It may have succeeded nevertheless if [`CommitError::outcome_unknown`] says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Some preconditions do not hold. Nothing was written.
    #[error("the byte store has changed meanwhile")]
    Conflict {
        /// Indices of the preconditions that do not hold, ascending; never empty.
        failed: Vec<usize>,
    },
    /// The commit exceeds [`Kv::limits`](super::Kv::limits). Nothing was written.
    #[error("{part} of a commit: {size} is more than {limit}")]
    TooLarge {
        /// The part that is too large.
        part: CommitPart,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A key is empty: the caller's mistake. Nothing was written.
    #[error("a key of a commit is empty")]
    EmptyKey,
    /// Two writes name the same key: the caller's mistake. Nothing was written.
    #[error("two writes of a commit name the same key")]
    DuplicateKey,
    /// No room is left. Nothing was written and nothing is lost. Commits succeed again when there is room.
    #[error("no room is left for the byte store")]
    Full,
    /// The stored data is damaged. Nothing was written.
    #[error("the byte store is damaged")]
    Corrupt,
    /// This process has no permission to write. Nothing was written.
    #[error("the byte store cannot be written by this process")]
    ReadOnly,
    /// The store does not answer; see [`CommitError::outcome_unknown`].
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

/// Why a store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// Another process held its lock for too long.
    #[error("another process holds the byte store")]
    Busy,
    /// The medium or the system failed. The log has the code.
    #[error("reading or writing the byte store failed")]
    Io,
    /// It was closed.
    #[error("the byte store is closed")]
    Closed,
    /// Its servers do not answer, or too few of them do.
    #[error("the byte store cannot be reached")]
    Unreachable,
    /// Its servers refuse this program's credentials. Nothing was written.
    #[error("the byte store's servers refuse this program")]
    Denied,
}

/// Why a page of a snapshot was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The store no longer has the snapshot's revision. A new snapshot can be taken.
    #[error("the byte store no longer has the snapshot's revision")]
    Expired,
    /// The read failed, as any read may.
    #[error(transparent)]
    Read(#[from] KvReadError),
}

/// The part of a commit that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPart {
    /// The number of writes.
    Writes,
    /// The number of preconditions.
    Preconditions,
    /// The bytes of one key.
    Key,
    /// The bytes of one value.
    Value,
    /// The bytes of all keys and values together.
    Whole,
}

const RESTORE: &str = "stop the server, keep the damaged files, and restore the latest backup";

impl KvReadError {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            KvReadError::Corrupt => Some(RESTORE),
            KvReadError::Unavailable(outage) => outage.hint(),
        }
    }
}

impl CommitError {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CommitError::Full => Some("make room on the store's file system, then try again"),
            CommitError::Corrupt => Some(RESTORE),
            CommitError::ReadOnly => {
                Some("give the server's user write permission on the store's file and folder")
            }
            CommitError::Unavailable(outage) => outage.hint(),
            // The caller's to handle, not the operator's.
            CommitError::Conflict { .. }
            | CommitError::TooLarge { .. }
            | CommitError::EmptyKey
            | CommitError::DuplicateKey => None,
        }
    }

    /// Whether the whole commit may have succeeded nevertheless. Every other error means that nothing was written.
    pub fn outcome_unknown(&self) -> bool {
        // An answer can be lost, and after a failed `fsync` the system may still write what it was given.
        matches!(self, CommitError::Unavailable(Outage::Io | Outage::Unreachable))
    }
}

impl Outage {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Outage::Busy => Some("end the other process that has the store open for writing"),
            Outage::Io => Some("look for faults of the disk in the system's log, and for an exceeded quota"),
            Outage::Closed => None,
            Outage::Unreachable => Some("check the network, and that most of the store's own servers run"),
            Outage::Denied => {
                Some("check user, password and certificate, and that the user may read and write the prefix")
            }
        }
    }
}

impl std::fmt::Display for CommitPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CommitPart::Writes => "number of writes",
            CommitPart::Preconditions => "number of preconditions",
            CommitPart::Key => "bytes in a key",
            CommitPart::Value => "bytes in a value",
            CommitPart::Whole => "bytes",
        })
    }
}
