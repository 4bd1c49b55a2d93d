//! Why the agent ended without starting the workload, whichever step failed: the message, what to do about it, and the exit code.
//!
//! Every step has an error type of its own, and knows nothing of this one. Only the commands and [`super::main`] use it.

use std::io;

use nix::errno::Errno;

use super::account::AccountError;
use super::boot::output::PublishError;
use super::credentials::CredentialsError;
use super::environment::EnvironmentError;
use super::executable::ExecutableError;
use super::execve::ExecveError;
use super::fetch::FetchError;
use super::identity_source::IdentityError;
use super::plan_error::PlanErrors;
use super::received::ReceivedError;
use super::secret_files::SecretFileError;
use super::supervise::SuperviseError;
use super::ticket_file::TicketFileError;
use crate::process::Exit;
use crate::settings::SettingErrors;

/// One variant for each step, in their order.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    #[error(transparent)]
    Configuration(#[from] SettingErrors),
    #[error(transparent)]
    Executable(#[from] ExecutableError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    TicketFile(#[from] TicketFileError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Received(#[from] ReceivedError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The filter of `--mask` does not take the values.
    #[error("the process that masks the output has ended: {0}")]
    Mask(io::ErrorKind),
    #[error(transparent)]
    Execve(#[from] ExecveError),
}

impl AgentError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Supervise(_) | Self::Mask(_) => None,
            Self::Configuration(_) => Some("`dropsafe-agent check` shows everything that is wrong"),
            Self::Executable(error) => Some(error.hint()),
            Self::Identity(error) => error.hint(),
            Self::Account(error) => error.hint(),
            Self::TicketFile(error) => Some(error.hint()),
            Self::Fetch(error) => error.hint(),
            Self::Plan(errors) => errors.hint(),
            Self::SecretFile(error) => Some(error.hint()),
            Self::Publish(error) => error.hint(),
            Self::Received(error) => error.hint(),
            Self::Credentials(error) => Some(error.hint()),
            Self::Environment(error) => error.hint(),
            Self::Execve(error) => error.hint(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_)
            | Self::Identity(_)
            | Self::Account(_)
            | Self::TicketFile(_)
            | Self::Plan(_)
            | Self::SecretFile(_)
            | Self::Publish(_)
            | Self::Received(_)
            | Self::Credentials(_)
            | Self::Environment(_) => Exit::Configuration,
            // The kernel was out of processes or memory, or a process of ours was killed.
            Self::Supervise(_) | Self::Mask(_) => Exit::TryAgain,
            Self::Executable(ExecutableError::NotFound(_)) => Exit::NotFound,
            Self::Executable(ExecutableError::NotExecutable(_)) => Exit::NotExecutable,
            Self::Fetch(error) => error.exit(),
            // As a shell ends after execve(2) has failed, except where a shell cannot know better.
            Self::Execve(error) => match error.errno {
                Errno::E2BIG => Exit::Configuration,
                Errno::ENOENT | Errno::ENOTDIR => Exit::NotFound,
                Errno::EAGAIN | Errno::ENOMEM => Exit::TryAgain,
                _ => Exit::NotExecutable,
            },
        }
    }
}
