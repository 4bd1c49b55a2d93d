//! Every exit code of `dropsafe`, in one place. They follow sysexits.h as far as it goes, as the agent's do.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Done,
    /// It is not done, for none of the reasons below: a name or value is refused, something is not there, a check found a
    /// fault.
    Failed,
    /// The command line cannot be understood (`EX_USAGE`).
    Usage,
    /// A file that was given cannot be read (`EX_NOINPUT`).
    NoInput,
    /// The store cannot be reached, or cannot do its work now (`EX_UNAVAILABLE`).
    Unreachable,
    /// A defect (`EX_SOFTWARE`).
    Internal,
    /// A file cannot be written (`EX_CANTCREAT`).
    CannotCreate,
    /// The store is locked or busy, or something changed meanwhile (`EX_TEMPFAIL`).
    TryAgain,
    /// The store denied it, or is not the one that was expected (`EX_NOPERM`).
    Denied,
    /// An address, a token or the server's own settings are missing or wrong (`EX_CONFIG`).
    Configuration,
    /// What the workload of `dev` ended with.
    Workload(u8),
}

/// The codes in words, for `--help` and the manual.
pub const HELP: &str = "\
Exit codes:
  0    done
  1    not done: a name or value is refused, there is no such thing, or a check found a fault
  64   the command line cannot be understood
  66   a file that was given cannot be read
  69   the store cannot be reached, or cannot do its work now
  70   a defect in this program or in the store
  73   a file cannot be written
  75   the store is locked or busy, or something changed meanwhile: try again
  77   the store denied it, or is not the store that was expected
  78   an address, a token or a setting is missing or wrong
  dev with a command ends with the command's own status, 128+n for signal n";

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::NoInput => 66,
            Self::Unreachable => 69,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::TryAgain => 75,
            Self::Denied => 77,
            Self::Configuration => 78,
            Self::Workload(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_every_code() {
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NoInput,
            Exit::Unreachable,
            Exit::Internal,
            Exit::CannotCreate,
            Exit::TryAgain,
            Exit::Denied,
            Exit::Configuration,
        ] {
            assert!(HELP.contains(&format!("\n  {:<4} ", exit.code())), "{exit:?}");
        }
    }
}
