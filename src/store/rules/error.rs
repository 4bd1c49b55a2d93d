//! The errors of operations. No error holds a value or reveals anything about another organization.

use std::time::Duration;

use crate::domain::code::Code;
use crate::domain::id::SecretId;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::role::{BudgetsTooLarge, Denied};
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
    /// A value without a type for a secret that another member made plain.
    #[error("another member stored this secret as plain, which would make the new value readable")]
    PlainNotStated,
    /// The secret would take more than a budget allows.
    #[error("the {what} of {whose} would take {needed} bytes, and the budget is {budget}")]
    OverBudget {
        /// `variables` or `files`.
        what: &'static str,
        /// The scope, or the part of one member.
        whose: &'static str,
        /// With this secret, in bytes.
        needed: u64,
        /// In bytes.
        budget: u64,
    },
    /// The organization, or the member, has as many records as it may have.
    #[error(
        "{}{quota} {what}{} reached",
        if *of_member { "one member's part of the organization's quota, " } else { "the organization's quota of " },
        if *of_member { ", is" } else { " is" }
    )]
    OverQuota {
        /// `secrets`, `members`, `tickets` or `tokens`.
        what: &'static str,
        /// The number.
        quota: u64,
        /// Whether it is the part of one member.
        of_member: bool,
    },
    /// The operator does not allow so short a retention.
    #[error("audit entries are kept for at least {days} days")]
    RetentionTooShort {
        /// The shortest retention, in days.
        days: u32,
    },
    /// The secret had this version before.
    #[error("the secret has or had this version: a version is never used again")]
    VersionUsed,
    /// The budgets of a policy do not fit together into a boot.
    #[error(transparent)]
    BudgetsTooLarge(#[from] BudgetsTooLarge),
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
    /// The value does not open, so that it cannot be re-encrypted.
    #[error("the value of {name} does not open, and stays as it is")]
    Unusable {
        /// The secret's name.
        name: SecretName,
    },
    /// The caller's proof was used for an earlier request.
    #[error("this request was executed before")]
    UsedProof,
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
            Self::PlainNotStated | Self::BudgetsTooLarge(_) => Code::Unprocessable,
            Self::OverBudget { .. } => Code::OverBudget,
            Self::OverQuota { .. } => Code::OverQuota,
            Self::RetentionTooShort { .. } => Code::Unprocessable,
            Self::VersionUsed => Code::VersionUsed,
            Self::VersionMismatch => Code::VersionMismatch,
            Self::StaleGeneration { .. } => Code::StaleGeneration,
            Self::Locked => Code::Locked,
            Self::LastKeyslot => Code::LastKeyslot,
            Self::LastAdmin => Code::LastAdmin,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::Unusable { .. } => Code::SecretUnusable,
            Self::UsedProof => Code::UsedProof,
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
            Self::PlainNotStated => {
                "state the type: `plain` if it may be displayed (in a file, `# dropsafe: plain` before the line); or replace it as \
                 `encrypted` first"
            }
            Self::OverBudget { .. } => {
                "delete or shorten another secret, or ask an admin to raise the budget with `dropsafe org set`"
            }
            Self::OverQuota { what, of_member, .. } => return Some(over_quota_hint(what, *of_member)),
            Self::RetentionTooShort { .. } => {
                "keep them for longer, or ask the operator to allow less with `dropsafe org quotas ORG --min-audit`"
            }
            Self::VersionUsed => "seal the value under a new random version id",
            Self::BudgetsTooLarge(_) => "lower one of the two budgets",
            Self::VersionMismatch => "read the secret again and repeat with its version",
            Self::StaleGeneration { .. } => "fetch the deposit key again and seal anew",
            Self::Locked => "the operator unlocks the store",
            Self::LastKeyslot => "add another key slot first",
            Self::LastAdmin => "make another member an admin first",
            Self::Unusable { .. } => "deposit it again or delete it",
            Self::IdempotencyMismatch => "use a new idempotency key for a new request",
            Self::UsedProof => NEW_PROOF,
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

/// What to do about a proof that was used, or is too old.
pub(crate) const NEW_PROOF: &str = "prove the request anew, with another one-time key";

/// A locked store stays locked until a person unlocks it, so that frequent retries are useless.
pub(crate) const RETRY_LOCKED: Duration = Duration::from_secs(5);

fn over_quota_hint(what: &str, of_member: bool) -> String {
    let less = match what {
        // Those that expired or are spent count for a minute more at most.
        "tickets" => "revoke tickets that are not needed with `dropsafe ticket revoke`",
        "tokens" => "revoke tokens that are not needed with `dropsafe token revoke`",
        "members" => "remove members that are not needed",
        _ => "delete what is not needed",
    };
    match of_member {
        true => format!("{less}, or ask an admin to raise the part with `dropsafe org set --member-share`"),
        false => format!("{less}, or ask the operator to raise the quota with `dropsafe org quotas`"),
    }
}

fn value_code(error: &ValueError) -> Code {
    match error {
        ValueError::Nul | ValueError::NotText => Code::ValueInvalid,
        // One code for three limits: a client can only send a shorter value.
        ValueError::VariableTooLong { .. }
        | ValueError::AboveCeiling { .. }
        | ValueError::FileTooLong { .. } => Code::ValueTooLarge,
    }
}

impl From<BudgetsTooLarge> for Stop<Error> {
    fn from(error: BudgetsTooLarge) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Error> for Stop<Error> {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
