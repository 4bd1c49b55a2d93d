//! What operations fail with. No error holds a value, or tells of another organization.

use std::time::Duration;

use crate::domain::id::SecretId;
use crate::domain::name::{EnvName, SecretName};

/// A stable code for programs, beside the message for people.
pub trait Coded: std::error::Error {
    /// One of the codes of the HTTP API in snake_case; beside those `corrupt` (a record that does not open: a defect or
    /// a damaged byte store; outward an `internal`) and `already_initialised`.
    fn code(&self) -> &'static str;

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
    /// Other processes kept changing the same records. Nothing was done.
    #[error("the records kept changing")]
    Conflict,
    /// A defect of this program.
    #[error("an internal error")]
    Internal,
}

/// Why an operation was refused. Boots, credentials and unlocking have their own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not.
    #[error("not allowed to this credential")]
    Forbidden {
        /// Why, in words of the rules.
        why: String,
    },
    /// It is not there, or not visible to the caller.
    #[error("there is no such {what} here")]
    NotFound {
        /// `secret`, `member`, `token`, `ticket`, `boot`, `organization`, `key slot`.
        what: &'static str,
    },
    /// The request contradicts itself or a limit; says which field and what is wrong, never its content.
    #[error("{field}: {why}")]
    Invalid {
        /// Name of the field as in the API.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Another secret of the same owner and scope has this name or is exported under it.
    #[error("the secret {name} of this scope is already exported as {env}")]
    NameTaken {
        /// The secret that has it.
        id: SecretId,
        /// Its name.
        name: SecretName,
        /// The name it is exported as.
        env: EnvName,
    },
    /// Another member or organization of that name is there.
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
    /// The value could not be exported.
    #[error("the value cannot be exported: {why}")]
    ValueInvalid {
        /// Why; never a part of it.
        why: String,
    },
    /// The value is over a limit.
    #[error("the value has {len} bytes, and {limit} are the limit")]
    ValueTooLarge {
        /// Its length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// `if_match` names another version.
    #[error("the secret has another version")]
    VersionMismatch,
    /// Sealed to a deposit key that is not accepted any more.
    #[error("sealed to generation {sealed}, and the deposit key has generation {current}")]
    StaleGeneration {
        /// The sealed value's.
        sealed: u32,
        /// The current one.
        current: u32,
    },
    /// No release key in memory.
    #[error("the store is locked")]
    Locked,
    /// The last key slot stays.
    #[error("the last key slot cannot be removed")]
    LastKeyslot,
    /// The last admin stays.
    #[error("the last admin of an organization cannot be removed or demoted")]
    LastAdmin,
    /// The same idempotency key came with another body.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The state stands in the way.
    #[error("{why}")]
    Conflict {
        /// What stands in the way.
        why: &'static str,
    },
    /// The store could not.
    #[error(transparent)]
    Failure(#[from] Failure),
}
