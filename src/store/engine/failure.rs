//! Failures of the store itself, which any operation can have. No failure holds a value.

use std::time::Duration;

use crate::domain::code::Code;
use crate::kv::{CommitError, KvReadError};

/// An error with a stable code for programs.
pub trait Coded: std::error::Error {
    /// The code, for programs.
    fn code(&self) -> Code;

    /// What to do about it.
    fn hint(&self) -> Option<String> {
        None
    }

    /// When to try again, for failures that pass.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// The store itself could not do its work; nothing was changed, unless `Unavailable` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The queue is full. Nothing was done.
    #[error("the store is overloaded")]
    Overloaded,
    /// The byte store does not answer. Whether the work was done is not known.
    #[error("the byte store does not answer")]
    Unavailable,
    /// The byte store is full. Nothing was done.
    #[error("the byte store is full")]
    Full,
    /// A record does not open: it was damaged, or moved.
    #[error("a record of the store is damaged")]
    Corrupt,
    /// Records are missing, or are older than the store says: somebody deleted or replaced them in the byte store.
    #[error("records of the store were deleted, or replaced by older ones")]
    RolledBack,
    /// The record of the keys is not the newest one in the audit log, or the log is damaged. Nothing was done.
    #[error("the key slots or the audit log were changed in the byte store; nothing was unlocked or changed")]
    KeysNotVerified,
    /// A later version of the program wrote a record in a format that this one does not know.
    #[error("a newer version of dropsafe wrote a record of this store")]
    NewerFormat,
    /// Other processes kept changing the same records. Nothing was done.
    #[error("the records kept changing")]
    Conflict,
    /// A defect of this program.
    #[error("an internal error")]
    Internal,
}

impl Coded for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Overloaded => Code::Overloaded,
            Self::Unavailable => Code::Unavailable,
            Self::Full => Code::StoreFull,
            Self::Corrupt | Self::RolledBack | Self::KeysNotVerified => Code::Corrupt,
            // Nothing is damaged, but neither can a client do anything about it.
            Self::NewerFormat => Code::Unavailable,
            Self::Conflict => Code::Conflict,
            Self::Internal => Code::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Overloaded | Self::Unavailable | Self::Conflict => "try again",
            Self::Full => "the operator must free space for the byte store",
            Self::Corrupt | Self::RolledBack | Self::KeysNotVerified => {
                "the operator keeps a copy of the byte store, runs `dropsafe audit verify --state`, and restores the latest backup"
            }
            Self::NewerFormat => "the operator upgrades this server",
            Self::Internal => return None,
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded | Self::Conflict => Some(Duration::from_secs(1)),
            Self::Unavailable => Some(Duration::from_secs(2)),
            // Space appears only after an operator has acted.
            Self::Full => Some(Duration::from_secs(30)),
            Self::Corrupt | Self::RolledBack | Self::KeysNotVerified | Self::NewerFormat | Self::Internal => {
                None
            }
        }
    }
}

impl From<KvReadError> for Failure {
    fn from(error: KvReadError) -> Self {
        match error {
            KvReadError::Corrupt => Self::Corrupt,
            KvReadError::Unavailable(_) => Self::Unavailable,
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Conflict,
            CommitError::Full => Self::Full,
            CommitError::Corrupt => Self::Corrupt,
            CommitError::ReadOnly | CommitError::Unavailable(_) => Self::Unavailable,
            // The journal keeps to the limits and makes the keys, so that these are defects of this program.
            CommitError::TooLarge { .. } | CommitError::EmptyKey | CommitError::DuplicateKey => {
                Self::Internal
            }
        }
    }
}
