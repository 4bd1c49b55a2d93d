//! Every exit code of `dropsafe` and `dropsafe-agent`. Units, scripts and orchestrators rely on the numbers, so they never change.

use std::process::ExitCode;

/// How a program ends. The numbers are those of `sysexits.h` and, from 126, of POSIX shells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: the command did what it was called for.
    #[default]
    Success,
    /// 1: a name or a value is refused, something does not exist, or a check found a fault.
    Failed,
    /// 64, `EX_USAGE`: the command line cannot be parsed.
    Usage,
    /// 66, `EX_NOINPUT`: a file that was named cannot be read.
    #[cfg(feature = "server")]
    NoInput,
    /// 69, `EX_UNAVAILABLE`: the store cannot be reached, or is not ready, and the deadline has passed.
    Unreachable,
    /// 70, `EX_SOFTWARE`: a defect in this program or in the store.
    Internal,
    /// 73, `EX_CANTCREAT`: a file cannot be written.
    CannotCreate,
    /// 75, `EX_TEMPFAIL`: the same call may succeed later, without a change.
    TryAgain,
    /// 77, `EX_NOPERM`: the store denied the call, or is not the store that was expected.
    Denied,
    /// 78, `EX_CONFIG`: a setting is missing or wrong. For the agent also: a required name is missing, a name is refused, two
    /// secrets collide, or the environment is too large for the kernel.
    Configuration,
    /// 126: the workload's program exists and cannot be executed.
    #[cfg(feature = "agent")]
    NotExecutable,
    /// 127: the workload's program does not exist.
    #[cfg(feature = "agent")]
    NotFound,
    /// Any other code: the one that the workload of `dropsafe dev` ended with.
    #[cfg(feature = "server")]
    Workload(u8),
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            #[cfg(feature = "server")]
            Self::NoInput => 66,
            Self::Unreachable => 69,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::TryAgain => 75,
            Self::Denied => 77,
            Self::Configuration => 78,
            #[cfg(feature = "agent")]
            Self::NotExecutable => 126,
            #[cfg(feature = "agent")]
            Self::NotFound => 127,
            #[cfg(feature = "server")]
            Self::Workload(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
