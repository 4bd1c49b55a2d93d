//! Why a person is not signed in, and what to do about it. Never says whether a name exists.

use std::time::Duration;

use crate::domain::code::Code;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::Stop;
use crate::store::rules::error::Error;

/// Why an account does not open an organization. In ascending order of how much it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum SignInRefusal {
    /// No member is linked to it, and none is created.
    #[error("no member is linked to your account at the provider")]
    Unknown,
    /// The groups decide who gets in, and none of the person's does.
    #[error("none of your groups at the provider gives access to the organization")]
    NoGroup,
    /// The member became a service.
    #[error("the member that your account was linked to is a service now")]
    NotPerson,
    /// The member unlinked it.
    #[error("your account at the provider was unlinked from its member")]
    Unlinked,
    /// The member was removed.
    #[error("the member that your account was linked to was removed")]
    Removed,
}

/// Why a proof cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// It was used before.
    #[error("this sign-in was already used")]
    Used,
    /// It is too old.
    #[error("this sign-in has expired")]
    Expired,
}

/// Why a person is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The account opens no organization.
    #[error(transparent)]
    Refused(#[from] SignInRefusal),
    /// The proof cannot be used.
    #[error(transparent)]
    Proof(#[from] ProofFault),
    /// The account opens several organizations, and the person has not chosen one.
    #[error("your account belongs to several organizations")]
    SeveralOrganizations,
    /// A new member would have no name, or names like it are taken.
    #[error("the provider names nothing that can be the name of a new member")]
    NoName,
    /// A rule of the store refuses it, such as a quota.
    #[error(transparent)]
    Rule(#[from] Error),
}

impl SignInRefusal {
    /// The stable word for it in the audit log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_person",
            Self::NoGroup => "no_group",
            Self::NotPerson => "not_person",
            Self::Unlinked => "unlinked",
            Self::Removed => "removed",
        }
    }
}

impl SignInError {
    /// Whether it is a denial, which counts against its source, and not a failure of the store.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Proof(_))
    }
}

impl Coded for SignInError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(_) | Self::Proof(_) | Self::NoName => Code::SignInRefused,
            Self::SeveralOrganizations => Code::Conflict,
            Self::Rule(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Refused(SignInRefusal::Unknown) => {
                "ask an admin to add you; if you have a token, log in with it and link the account yourself"
            }
            Self::Refused(SignInRefusal::NoGroup) => {
                "ask whoever manages the groups at the provider, or use a token of this store"
            }
            Self::Refused(SignInRefusal::Unlinked) => "log in with a token and link the account again",
            Self::Refused(SignInRefusal::NotPerson | SignInRefusal::Removed) => {
                "ask an admin to add you again; an account at the provider does not come back by itself"
            }
            Self::Proof(_) => "sign in again",
            Self::SeveralOrganizations => "choose one of them",
            Self::NoName => "ask an admin to add you, and link the account with your token",
            Self::Rule(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rule(error) => error.retry_after(),
            Self::Refused(_) | Self::Proof(_) | Self::SeveralOrganizations | Self::NoName => None,
        }
    }
}

impl From<Failure> for SignInError {
    fn from(failure: Failure) -> Self {
        Self::Rule(failure.into())
    }
}

impl From<SignInError> for Stop<SignInError> {
    fn from(error: SignInError) -> Self {
        Self::Refused(error)
    }
}
