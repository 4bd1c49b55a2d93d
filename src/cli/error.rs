//! Why a command failed: the message, the hint and the exit code. An error never contains a value.

use std::error::Error;
use std::fmt::Display;
use std::io;

use crate::domain::name::NameError;
use crate::process::Exit;

/// What every command returns.
pub(crate) type CommandResult = Result<Exit, CliError>;

#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    /// Lower case, no full stop. Several faults follow on lines of their own.
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Prints nothing: the reader of standard output has closed it, as `head` does, and nothing is wrong.
    pub(crate) quiet: bool,
}

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string(), hint: None, quiet: false }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A name, a value or a file is refused, something does not exist, or a check failed.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// A setting is missing or wrong.
    pub(crate) fn configuration(message: impl Display) -> Self {
        Self::new(Exit::Configuration, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Display) -> Self {
        self.optional_hint(Some(hint))
    }

    /// Adds what to do about it, if anything is known; otherwise an earlier hint stays.
    #[must_use]
    pub(crate) fn optional_hint<T: Display>(mut self, hint: Option<T>) -> Self {
        if let Some(hint) = hint {
            self.hint = Some(hint.to_string());
        }
        self
    }

    /// Puts the flag, the file or the step in front of the message.
    #[must_use]
    pub(crate) fn context(mut self, context: impl Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Standard output cannot be written.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        // Success, as for other programs at the head of a pipe: the reader has all that it wanted.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Success, message: String::new(), hint: None, quiet: true };
        }
        Self::new(Exit::Failed, format_args!("standard output cannot be written: {}", error.kind()))
    }
}

impl From<io::Error> for CliError {
    /// Only writing to standard output fails with a bare [`io::Error`]; every other error names its file.
    fn from(error: io::Error) -> Self {
        Self::stdout(&error)
    }
}

/// Turns the error of parsing a name into one that says which flag the name came from.
pub(crate) fn invalid_name(flag: &str) -> impl Fn(NameError) -> CliError {
    move |error| CliError::failed(error).context(flag).optional_hint(error.hint())
}

/// Formats an error and its causes on one line, and leaves out a cause that the line already ends with.
pub(crate) fn format_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // The number of a system error says nothing that its words do not.
        let words = text.split_once(" (os error ").map_or(text.as_str(), |(words, _)| words);
        // Several libraries print their cause in their own message as well.
        if !line.ends_with(words) {
            line.push_str(": ");
            line.push_str(words);
        }
        cause = error.source();
    }
    line
}
