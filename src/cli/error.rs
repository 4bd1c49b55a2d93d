//! Why a command failed: what is said of it, what to do about it, and the exit code. Never holds a value.

use std::fmt::Display;
use std::io;

use crate::process::Exit;

/// What every command answers with.
pub(crate) type CommandResult = Result<Exit, CliError>;

/// A failure on its way to the person.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    /// Lower case, no full stop; more lines follow for several faults.
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The reader of standard output went away: nothing is wrong, and nothing is said.
    pub(crate) quiet: bool,
}

impl CliError {
    /// A failure that ends the program with `exit`.
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string(), hint: None, quiet: false }
    }

    /// Of the command line.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Of a name, value or file that was given, or of the state of things.
    pub(crate) fn refused(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Of settings.
    pub(crate) fn configuration(message: impl Display) -> Self {
        Self::new(Exit::Configuration, message)
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// With what to do about it, where there is something.
    #[must_use]
    pub(crate) fn maybe_hint<T: Display>(mut self, hint: Option<T>) -> Self {
        if let Some(hint) = hint {
            self.hint = Some(hint.to_string());
        }
        self
    }

    /// With the step that it happened in.
    #[must_use]
    pub(crate) fn during(mut self, step: impl Display) -> Self {
        self.message = format!("{step}: {}", self.message);
        self
    }

    /// Standard output cannot be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Success, message: String::new(), hint: None, quiet: true };
        }
        Self::new(Exit::Failed, format_args!("standard output cannot be written: {}", error.kind()))
    }
}

impl From<io::Error> for CliError {
    /// Only writing to standard output fails with a bare [`io::Error`]; all else says what it was about.
    fn from(error: io::Error) -> Self {
        Self::output(&error)
    }
}

/// An error and what caused it, in one line. What a cause repeats is said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        let words = words.split_once(" (os error ").map_or(words.as_str(), |(words, _)| words);
        if !line.ends_with(words) {
            line.push_str(": ");
            line.push_str(words);
        }
        cause = error.source();
    }
    line
}
