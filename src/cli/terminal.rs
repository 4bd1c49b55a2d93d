//! The person at the terminal: hidden prompts and questions. What is typed hidden is wiped, never echoed, and never taken
//! from anything but a terminal here.
#![expect(clippy::disallowed_methods, reason = "opens the terminal")]

use std::fs::File;
use std::io;
use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::termios::{FlushArg, tcflush};
use zeroize::Zeroizing;

use super::error::CliError;
use super::files::why;
use crate::process::Exit;

/// A terminal delivers what was pasted at once; what a person types next takes longer than this.
const PASTE_MILLISECONDS: u8 = 40;

/// SelectorArgs of the standard streams are a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserTerminal {
    /// Standard input.
    pub(crate) input: bool,
    /// Standard error.
    pub(crate) error: bool,
}

impl UserTerminal {
    /// This process's.
    pub(crate) fn of_process() -> Self {
        Self { input: io::stdin().is_terminal(), error: io::stderr().is_terminal() }
    }

    /// Whether a person can be asked.
    pub(crate) fn can_ask(self) -> bool {
        self.input && self.error
    }

    /// One hidden line.
    ///
    /// # Errors
    /// When more than one line was pasted: the rest would go to the shell, and the first line alone is not the value.
    pub(crate) fn hidden(self, prompt: &str) -> Result<Zeroizing<String>, CliError> {
        let line =
            rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| unreadable(&error))?;
        if let Ok(terminal) = File::open("/dev/tty")
            && pending(&terminal)
        {
            tcflush(&terminal, FlushArg::TCIFLUSH).ok();
            return Err(CliError::refused("more than one line was entered; nothing is stored")
                .hint("give a value of several lines with --file PATH or on standard input"));
        }
        Ok(line)
    }

    /// The same hidden line twice.
    pub(crate) fn hidden_twice(self, prompt: &str) -> Result<Zeroizing<String>, CliError> {
        let first = self.hidden(prompt)?;
        let second = self.hidden("Again: ")?;
        if *first == *second { Ok(first) } else { Err(CliError::refused("the two entries differ")) }
    }

    /// A question that is answered with yes or no; no unless said.
    pub(crate) fn confirm(self, question: &str) -> Result<bool, CliError> {
        let mut stderr = io::stderr().lock();
        write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).ok();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(|error| unreadable(&error))?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

fn pending(terminal: &File) -> bool {
    let mut watched = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
    matches!(nix::poll::poll(&mut watched, PollTimeout::from(PASTE_MILLISECONDS)), Ok(1))
}

fn unreadable(error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::Interrupted {
        return CliError::new(Exit::Failed, "interrupted");
    }
    CliError::new(Exit::NoInput, format_args!("the terminal cannot be read: {}", why(error)))
}
