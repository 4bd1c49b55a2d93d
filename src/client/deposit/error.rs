//! Why a value was not deposited.

use thiserror::Error;

use crate::client::error::CallError;
use crate::domain::name::NameError;
use crate::domain::value::ValueError;

/// Why a value was not deposited.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum DepositError {
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store calls the secret plain, and the person does not.
    #[error(
        "the store holds this secret as plain, which would make the new value readable; nothing was sent"
    )]
    PlainNotStated,
    /// The store's deposit key is not the pinned one. Nothing was sent.
    #[error("the store's deposit key has changed: its fingerprint is {presented}, expected {pinned}")]
    KeyChanged {
        /// The expected fingerprint.
        pinned: String,
        /// The fingerprint of the store's key.
        presented: String,
    },
    /// The key belongs to an HPKE suite that this program does not know.
    #[error("the store's deposit key has the suite {0:#06x}, which this program does not know")]
    Suite(u16),
    #[error("the store sent a deposit key that cannot be used")]
    KeyUnusable,
    #[error("the store did not plan every line of the import")]
    PlanUnusable,
    #[error(transparent)]
    Call(#[from] CallError),
}

impl DepositError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Value(error) => error.hint(),
            Self::Name(error) => error.hint(),
            Self::PlainNotStated => {
                Some("use --plain if it is a setting that may be displayed, or --encrypted if it is a secret")
            }
            // Both causes look the same from here, and only the operator can tell them apart.
            Self::KeyChanged { .. } => Some(
                "the known key did not sign it. After a compromise, an operator creates such a key: compare with the fingerprint that `dropsafe status` \
                 shows the operator, and accept it with `dropsafe login`; otherwise somebody may be posing as the store",
            ),
            Self::Suite(_) => Some("update this program"),
            Self::KeyUnusable | Self::PlanUnusable => None,
            Self::Call(error) => error.hint(),
        }
    }
}
