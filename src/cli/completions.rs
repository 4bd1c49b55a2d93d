//! `dropsafe completions`: completion scripts, from the definitions that the programs parse with.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::context::CliContext;
use super::error::CommandResult;
use crate::process::Exit;

/// Print a shell completion script
///
/// For example, for bash: dropsafe completions bash >
/// /etc/bash_completion.d/dropsafe
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete in
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
    /// Program to complete
    #[arg(long, value_name = "PROGRAM", default_value = "dropsafe")]
    pub(crate) program: Program,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// The store and its command line
    Dropsafe,
    /// The boot agent
    DropsafeAgent,
}

impl Program {
    /// The program's definitions. Those of `dropsafe` come from the caller, because they import this file.
    pub(crate) fn command(self, dropsafe: fn() -> clap::Command) -> clap::Command {
        match self {
            Self::Dropsafe => dropsafe(),
            Self::DropsafeAgent => crate::agent::command(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dropsafe => "dropsafe",
            Self::DropsafeAgent => "dropsafe-agent",
        }
    }
}

impl CompletionsArgs {
    pub(crate) fn run(self, context: &mut CliContext, dropsafe: fn() -> clap::Command) -> CommandResult {
        let mut script = Vec::new();
        // Into memory first: the generator panics if it cannot write, for example into a closed pipe.
        clap_complete::generate(
            self.shell,
            &mut self.program.command(dropsafe),
            self.program.name(),
            &mut script,
        );
        context.output.bytes(&script)?;
        Ok(Exit::Success)
    }
}
