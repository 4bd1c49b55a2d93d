//! What every command works with: the environment, the terminal and the output. Commands get it as an argument, so that no
//! command file imports the file that dispatches to all of them.

use super::environment::CliEnvironment;
use super::error::CliError;
use super::output::Output;
use super::terminal::UserTerminal;

pub(crate) struct CliContext {
    pub(crate) environment: CliEnvironment,
    pub(crate) terminal: UserTerminal,
    pub(crate) output: Output,
}

impl CliContext {
    /// Reads the environment and locks standard output. It opens nothing else: every call of the program pays for this.
    pub(crate) fn from_process() -> Self {
        Self {
            environment: CliEnvironment::from_process(),
            // Once: all prompts of a command agree on whether there is a person to ask.
            terminal: UserTerminal::detect(),
            output: Output::stdout(),
        }
    }

    /// Whether there is somebody to ask.
    pub(crate) fn is_interactive(&self) -> bool {
        self.terminal.is_interactive()
    }

    /// Asks before something is destroyed, unless `yes` was given. Fails with `aborted` if the answer is no.
    pub(crate) fn confirm(&self, yes: bool, question: &str, aborted: &str) -> Result<(), CliError> {
        // A script has nobody to ask. It named what to destroy, so it goes ahead, as `rm` does without a terminal.
        if yes || !self.terminal.is_interactive() || self.terminal.confirm(question)? {
            return Ok(());
        }
        Err(CliError::failed(aborted))
    }
}
