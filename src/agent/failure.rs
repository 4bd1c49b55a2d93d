//! Why the agent ended without becoming the workload, whichever step it was: the message, what to do about it, and the status.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use super::account::AccountError;
use super::r#become::BecomeError;
use super::boot::PublishError;
use super::credentials::CredentialsError;
use super::enter::EnterError;
use super::environment::EnvironmentError;
use super::fetch::FetchError;
use super::identity::IdentityError;
use super::obstacle::Obstacles;
use super::outputs::OutputError;
use super::program::FindError;
use super::supervise::SuperviseError;
use crate::process::Exit;
use crate::settings::SettingErrors;

/// One variant for each step, in their order.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// The supervisor.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    /// The settings.
    #[error(transparent)]
    Configuration(#[from] SettingErrors),
    /// The workload's program.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The ticket.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The user.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The ticket's file is to be deleted and will not be.
    #[error("the ticket's file {} is to be deleted and cannot be: {}", path.display(), errno.desc())]
    Keep {
        /// The file.
        path: PathBuf,
        /// What the system says.
        errno: Errno,
    },
    /// The store.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Names.
    #[error(transparent)]
    Obstacles(#[from] Obstacles),
    /// Files.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// What `boot` leaves.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What an earlier boot received.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The socket for units.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Values and sizes.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The process that masks.
    #[error("the process that masks the output is gone: {0}")]
    Mask(io::ErrorKind),
    /// The kernel.
    #[error(transparent)]
    Become(#[from] BecomeError),
}

impl Failure {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Supervise(_) | Self::Mask(_) => None,
            Self::Configuration(_) => Some("`dropsafe-agent check` tells all that is wrong here"),
            Self::Find(error) => Some(error.hint()),
            Self::Identity(error) => error.hint(),
            Self::Account(error) => error.hint(),
            Self::Keep { .. } => Some("make its folder writable, or leave out delete_ticket_file"),
            Self::Fetch(error) => error.hint(),
            Self::Obstacles(obstacles) => obstacles.hint(),
            Self::Output(error) => error.hint(),
            Self::Publish(error) => error.hint(),
            Self::Enter(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Environment(error) => error.hint(),
            Self::Become(error) => error.hint(),
        }
    }

    /// The status that says so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_)
            | Self::Identity(_)
            | Self::Account(_)
            | Self::Keep { .. }
            | Self::Obstacles(_)
            | Self::Output(_)
            | Self::Publish(_)
            | Self::Enter(_)
            | Self::Credentials(_)
            | Self::Environment(_) => Exit::Configuration,
            Self::Supervise(_) | Self::Mask(_) => Exit::TryAgain,
            Self::Find(FindError::NotFound(_)) => Exit::NotFound,
            Self::Find(FindError::NotExecutable(_)) => Exit::NotExecutable,
            Self::Fetch(error) => error.exit(),
            Self::Become(error) => match error.errno {
                Errno::E2BIG => Exit::Configuration,
                Errno::ENOENT | Errno::ENOTDIR => Exit::NotFound,
                Errno::EAGAIN | Errno::ENOMEM => Exit::TryAgain,
                _ => Exit::NotExecutable,
            },
        }
    }
}
