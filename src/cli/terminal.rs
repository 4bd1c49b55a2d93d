//! The person at the terminal: hidden prompts and questions. Hidden input is never echoed, is wiped, and is read here from nothing
//! but a terminal.
#![expect(clippy::disallowed_methods, reason = "opens the terminal")]

use std::fs::File;
use std::io;
use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::termios::{FlushArg, tcflush};
use zeroize::Zeroizing;

use super::error::CliError;
use super::files::describe_io_error;
use crate::process::Exit;

/// A terminal delivers pasted text at once. What a person types next takes longer than this.
const PASTE_MILLISECONDS: u8 = 40;

/// Which of the standard streams are a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserTerminal {
    pub(crate) input: bool,
    pub(crate) error: bool,
}

impl UserTerminal {
    pub(crate) fn detect() -> Self {
        Self { input: io::stdin().is_terminal(), error: io::stderr().is_terminal() }
    }

    /// Whether a person can be asked. Standard output does not matter: it may be redirected to a file.
    pub(crate) fn is_interactive(self) -> bool {
        self.input && self.error
    }

    /// Reads one hidden line.
    ///
    /// # Errors
    /// Also if more than one line was pasted. The rest would reach the shell as commands, and the first line alone is not the
    /// value.
    pub(crate) fn prompt_hidden(self, prompt: &str) -> Result<Zeroizing<String>, CliError> {
        let line =
            rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| read_error(&error))?;
        // The terminal and not standard input, which the prompt does not read either.
        if let Ok(terminal) = File::open("/dev/tty")
            && has_more_input(&terminal)
        {
            tcflush(&terminal, FlushArg::TCIFLUSH).ok();
            return Err(CliError::failed("more than one line was entered; nothing is stored")
                .hint("provide a value of several lines with --file PATH or on standard input"));
        }
        Ok(line)
    }

    /// Reads the same hidden line twice: a typing error in a new passphrase would lock its owner out.
    pub(crate) fn prompt_hidden_twice(self, prompt: &str) -> Result<Zeroizing<String>, CliError> {
        let first = self.prompt_hidden(prompt)?;
        let second = self.prompt_hidden("Repeat (hidden): ")?;
        if *first == *second { Ok(first) } else { Err(CliError::failed("the two entries do not match")) }
    }

    /// Asks a question; anything but `y` or `yes` means no.
    pub(crate) fn confirm(self, question: &str) -> Result<bool, CliError> {
        let mut stderr = io::stderr().lock();
        // On standard error, so that a redirected standard output stays clean.
        write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).ok();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(|error| read_error(&error))?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

fn has_more_input(terminal: &File) -> bool {
    let mut watched = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
    matches!(nix::poll::poll(&mut watched, PollTimeout::from(PASTE_MILLISECONDS)), Ok(1))
}

fn read_error(error: &io::Error) -> CliError {
    // By a signal, usually that of ^C: the person knows why.
    if error.kind() == io::ErrorKind::Interrupted {
        return CliError::failed("interrupted");
    }
    CliError::new(Exit::NoInput, format_args!("the terminal cannot be read: {}", describe_io_error(error)))
}
