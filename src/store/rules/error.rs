//! The errors of operations. No error holds a value or reveals anything about another organization.

use std::time::Duration;

use crate::domain::code::Code;
use crate::domain::id::SecretId;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::role::Denied;
use crate::domain::value::ValueError;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::Stop;

/// Why an operation was refused. Boots, authentication and unlocking have their own errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller has no permission.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// Values leave the store only by boots.
    #[error("values are write-only: no one reads one back")]
    WriteOnly,
    /// It does not exist, or the caller may not see it.
    #[error("there is no such {what} here")]
    NotFound {
        /// `secret`, `member`, `token`, `ticket`, `boot`, `organization`, `key slot`, `plugin`, `category`.
        what: &'static str,
    },
    /// A field is invalid. The error never holds its content.
    #[error("{field}: {why}")]
    Invalid {
        /// Name of the field as in the API.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Another secret of the same owner and scope has this name or is exported under it.
    #[error("the secret {name} of this scope is already exported as {env}")]
    NameTaken {
        /// The secret that has the name.
        id: SecretId,
        /// Its name.
        name: SecretName,
        /// The name it is exported as.
        env: EnvName,
    },
    /// A member or organization of that name exists.
    #[error("there is already a {what} of that name")]
    Taken {
        /// `member` or `organization`.
        what: &'static str,
    },
    /// The exported name is on the refusal list.
    #[error("the name {env} is refused: {why}")]
    NameRefused {
        /// The exported name.
        env: EnvName,
        /// What it would change.
        why: &'static str,
    },
    /// The value could not be exported, or is over a limit.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// `if_match` names another version.
    #[error("the secret has another version")]
    VersionMismatch,
    /// The value is sealed to a deposit key that is no longer accepted.
    #[error("sealed to generation {sealed}, and the deposit key has generation {current}")]
    StaleGeneration {
        /// The sealed value's.
        sealed: u32,
        /// The current one.
        current: u32,
    },
    /// No release key is in memory.
    #[error("the store is locked")]
    Locked,
    /// The last key slot cannot be removed.
    #[error("the last key slot cannot be removed")]
    LastKeyslot,
    /// The last admin cannot be removed or demoted.
    #[error("the last admin of an organization cannot be removed or demoted")]
    LastAdmin,
    /// The idempotency key was used with another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The current state does not allow it.
    #[error("{why}")]
    Conflict {
        /// The reason.
        why: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

// === impl Coded ===

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Forbidden(_) => Code::Forbidden,
            Self::WriteOnly => Code::WriteOnly,
            Self::NotFound { .. } => Code::NotFound,
            Self::Invalid { .. } => Code::InvalidRequest,
            // For a program, both mean that another name is needed.
            Self::NameTaken { .. } | Self::Taken { .. } => Code::NameTaken,
            Self::NameRefused { .. } => Code::NameRefused,
            Self::Value(error) => value_code(error),
            Self::VersionMismatch => Code::VersionMismatch,
            Self::StaleGeneration { .. } => Code::StaleGeneration,
            Self::Locked => Code::Locked,
            Self::LastKeyslot => Code::LastKeyslot,
            Self::LastAdmin => Code::LastAdmin,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::Conflict { .. } => Code::Conflict,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Forbidden(denied) => denied.hint()?,
            Self::Value(error) => error.hint()?,
            Self::NameTaken { .. } => "replace that secret's value, or export this one under another name",
            Self::NameRefused { .. } => "export it under another name; an admin may allow this one",
            Self::WriteOnly => "replace the value, or boot a workload with it",
            Self::VersionMismatch => "read the secret again and repeat with its version",
            Self::StaleGeneration { .. } => "fetch the deposit key again and seal anew",
            Self::Locked => "the operator unlocks the store",
            Self::LastKeyslot => "add another key slot first",
            Self::LastAdmin => "make another member an admin first",
            Self::IdempotencyMismatch => "use a new idempotency key for a new request",
            Self::Failure(failure) => return failure.hint(),
            // Their messages already say all that is known.
            Self::NotFound { .. } | Self::Invalid { .. } | Self::Taken { .. } | Self::Conflict { .. } => {
                return None;
            }
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failure(failure) => failure.retry_after(),
            // Retrying helps only once a person has unlocked the store.
            Self::Locked => Some(RETRY_LOCKED),
            _ => None,
        }
    }
}

/// A locked store stays locked until a person unlocks it, so that frequent retries are useless.
pub(crate) const RETRY_LOCKED: Duration = Duration::from_secs(5);

fn value_code(error: &ValueError) -> Code {
    match error {
        ValueError::Nul | ValueError::NotText => Code::ValueInvalid,
        ValueError::VariableTooLong { .. }
        | ValueError::AboveCeiling { .. }
        | ValueError::FileTooLong { .. } => Code::ValueTooLarge,
    }
}

impl From<Error> for Stop<Error> {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
