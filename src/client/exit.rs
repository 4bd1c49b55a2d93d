//! The exit code for each failed call. The agent distinguishes further (`agent::fetch`).

use super::error::CallRefusal;
#[cfg(feature = "server")]
use super::error::{CallError, CallOutage};
use crate::process::Exit;
use crate::wire::Code;

#[cfg(feature = "server")]
impl CallError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Outage(CallOutage::Status { problem: Some(problem), .. }) => {
                // Any other status of an outage: the store cannot answer now.
                from_code(problem.code).unwrap_or(Exit::Unreachable)
            }
            Self::Outage(_) => Exit::Unreachable,
            Self::Refused(refused) => refused.exit(),
        }
    }
}

impl CallRefusal {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) => match from_code(problem.code) {
                Some(exit) => exit,
                None if self.is_denial() => Exit::Denied,
                None => Exit::Failed,
            },
            // Not a usage error: another server answers at the store's address, or this user lacks a permission.
            Self::WrongPin { .. } | Self::Untrusted { .. } | Self::SocketDenied { .. } => Exit::Denied,
            Self::Endpoint(_)
            | Self::Roots(_)
            | Self::Request(_)
            | Self::NeedsPin { .. }
            | Self::TokenNeedsPin { .. }
            | Self::TokenNotBound
            | Self::Token { .. }
            | Self::NoAnswerKey { .. } => Exit::Configuration,
            Self::Sink(_) => Exit::CannotCreate,
            // No store has answered, only a proxy or another kind of server: the store may still be starting.
            Self::Status { .. } | Self::Redirect { .. } | Self::BadResponse { .. } => Exit::Unreachable,
            // getrandom(2) returns no bytes only before the kernel has gathered entropy, early in a boot.
            Self::NoRandomness | Self::NoDescriptor(_) => Exit::TryAgain,
            Self::NoTls => Exit::Internal,
        }
    }
}

/// Returns `None` if the HTTP status decides.
fn from_code(code: Code) -> Option<Exit> {
    match code {
        Code::Locked | Code::Overloaded | Code::RateLimited => Some(Exit::TryAgain),
        // Another client was faster: a second run reads the new version or key and can succeed.
        Code::VersionMismatch | Code::StaleGeneration | Code::StaleProcessKey => Some(Exit::TryAgain),
        Code::Internal => Some(Exit::Internal),
        // Not a bug, and not an outage that passes.
        Code::Corrupt => Some(Exit::Failed),
        _ => None,
    }
}
