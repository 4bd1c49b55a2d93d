//! The exit code that a failed call ends a program with. The agent narrows it further (`agent::fetch`).

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
            // Somebody else answers at the store's address, or the user may not ask.
            Self::WrongPin { .. } | Self::Untrusted { .. } | Self::SocketDenied { .. } => Exit::Denied,
            Self::Endpoint(_) | Self::Roots(_) | Self::Request(_) => Exit::Configuration,
            Self::Sink(_) => Exit::CannotCreate,
            // No store has answered: a proxy, or a server of another kind.
            Self::Status { .. } | Self::Redirect { .. } | Self::BadResponse { .. } => Exit::Unreachable,
            // getrandom(2) blocks or fails early in a machine's life only.
            Self::NoRandomness => Exit::TryAgain,
            Self::NoTls => Exit::Internal,
        }
    }
}

/// `None` where the code alone does not decide.
fn from_code(code: Code) -> Option<Exit> {
    match code {
        Code::Locked | Code::Overloaded | Code::RateLimited => Some(Exit::TryAgain),
        // Somebody else was quicker: reading again gives the version or the key that a second try needs.
        Code::VersionMismatch | Code::StaleGeneration => Some(Exit::TryAgain),
        Code::Internal => Some(Exit::Internal),
        _ => None,
    }
}
