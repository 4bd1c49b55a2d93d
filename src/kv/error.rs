//! How reads and commits fail. Never holds a key, a value or a backend's own message: only what it is and what to do.

/// Why a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvReadError {
    /// What is stored is damaged.
    #[error("the byte store is damaged")]
    Corrupt,
    /// Nothing can be said about what is stored.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

/// Why a commit did not happen, or may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Some preconditions do not hold. Nothing was written.
    #[error("the byte store changed meanwhile")]
    Conflict {
        /// Indices of the preconditions that do not hold, ascending; never empty.
        failed: Vec<usize>,
    },
    /// The commit is beyond [`Kv::limits`](super::Kv::limits). Nothing was written.
    #[error("{part} of a commit: {size} is more than {limit}")]
    TooLarge {
        /// What is too large.
        part: CommitPart,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A key is empty: the caller's mistake. Nothing was written.
    #[error("a key of a commit is empty")]
    EmptyKey,
    /// Two writes name the same key: the caller's mistake. Nothing was written.
    #[error("two writes of a commit name the same key")]
    DuplicateKey,
    /// No room is left. Nothing was written and nothing is lost; later commits succeed when there is room again.
    #[error("no room is left for the byte store")]
    Full,
    /// What is stored is damaged. Nothing was written.
    #[error("the byte store is damaged")]
    Corrupt,
    /// This process may not write. Nothing was written.
    #[error("the byte store cannot be written by this process")]
    ReadOnly,
    /// The store did not answer as it should; see [`CommitError::outcome_unknown`].
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

/// Why a store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// Another process kept it locked for too long.
    #[error("another process holds the byte store")]
    Busy,
    /// The medium or the system failed; the log has the code.
    #[error("reading or writing the byte store failed")]
    Io,
    /// It was closed.
    #[error("the byte store is closed")]
    Closed,
    /// It is on other machines that did not answer, or too few of them.
    #[error("the byte store cannot be reached")]
    Unreachable,
    /// Its servers do not let this program in. Nothing was written.
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

/// What of a commit can be too large.
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

// === impl KvReadError, CommitError, Outage ===

impl KvReadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            KvReadError::Corrupt => Some(RESTORE),
            KvReadError::Unavailable(outage) => outage.hint(),
        }
    }
}

impl CommitError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CommitError::Full => Some("make room on the store's file system, then try again"),
            CommitError::Corrupt => Some(RESTORE),
            CommitError::ReadOnly => {
                Some("give the server's user write permission on the store's file and folder")
            }
            CommitError::Unavailable(outage) => outage.hint(),
            CommitError::Conflict { .. }
            | CommitError::TooLarge { .. }
            | CommitError::EmptyKey
            | CommitError::DuplicateKey => None,
        }
    }

    /// Whether all of the commit may have happened nonetheless: an answer can be lost, and a failed `fsync` leaves what was
    /// written to the system. Every other error means that nothing happened.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, CommitError::Unavailable(Outage::Io | Outage::Unreachable))
    }
}

impl Outage {
    /// What to do about it.
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
