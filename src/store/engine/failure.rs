//! What the store itself fails with, whatever the operation. No failure holds a value.

use std::time::Duration;

use crate::domain::code::Code;
use crate::kv::{CommitError, KvReadError};

/// A stable code for programs, beside the message for people.
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
    /// More work is waiting than can be taken on. Nothing was done.
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

// === impl Failure ===

impl Coded for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Overloaded => Code::Overloaded,
            Self::Unavailable => Code::Unavailable,
            Self::Full => Code::StoreFull,
            Self::Corrupt => Code::Corrupt,
            // Nothing is damaged, but neither can a client do anything about it.
            Self::NewerFormat => Code::Unavailable,
            Self::Conflict => Code::Conflict,
            Self::Internal => Code::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Overloaded | Self::Unavailable | Self::Conflict => "try again",
            Self::Full => "the operator makes room where the byte store is kept",
            Self::Corrupt => "the operator restores the latest backup",
            Self::NewerFormat => "the operator upgrades this server",
            Self::Internal => return None,
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded | Self::Conflict => Some(Duration::from_secs(1)),
            Self::Unavailable => Some(Duration::from_secs(2)),
            Self::Full => Some(Duration::from_secs(30)),
            Self::Corrupt | Self::NewerFormat | Self::Internal => None,
        }
    }
}

// === from the byte store ===

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
            CommitError::TooLarge { .. } | CommitError::EmptyKey | CommitError::DuplicateKey => {
                Self::Internal
            }
        }
    }
}
