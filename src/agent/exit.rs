//! Every status that the agent itself ends with. Any other is the workload's own.

use std::process::ExitCode;

/// Why the agent ended; the numbers are those of `sysexits.h` and of POSIX shells, and scripts and units rely on them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Asked and answered: `--help`, `explain`, a clean `check`.
    #[default]
    Success = 0,
    /// The command line cannot be read (`EX_USAGE`).
    Usage = 64,
    /// The store was not reachable, or not ready, by the deadline (`EX_UNAVAILABLE`).
    Unreachable = 69,
    /// Something passing on the way or on this machine: the same boot may well work next time (`EX_TEMPFAIL`).
    TryAgain = 75,
    /// The store refused, or is not the one that the ticket pins (`EX_NOPERM`). Trying again changes nothing.
    Denied = 77,
    /// Configuration, a missing or refused name, a collision, or an environment that is too large (`EX_CONFIG`).
    Configuration = 78,
    /// The workload's program is there and cannot be executed.
    NotExecutable = 126,
    /// The workload's program is not there.
    NotFound = 127,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
