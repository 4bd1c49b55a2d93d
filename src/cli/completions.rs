//! `dropsafe completions`: scripts for shells, from the definitions that the programs parse with.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::CliContext;
use super::arguments::RootArgs;
use super::error::CommandResult;
use crate::process::Exit;

/// Print a completion script for a shell
///
/// For example, for bash: dropsafe completions bash >
/// /etc/bash_completion.d/dropsafe
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
    /// The program that it completes
    #[arg(long, value_name = "PROGRAM", default_value = "dropsafe")]
    pub(crate) program: Program,
}

/// The two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// The store and its command line
    Dropsafe,
    /// The boot agent
    DropsafeAgent,
}

impl Program {
    pub(crate) fn command(self) -> clap::Command {
        match self {
            Self::Dropsafe => RootArgs::command(),
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
    pub(crate) fn run(self, context: &mut CliContext) -> CommandResult {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut self.program.command(), self.program.name(), &mut script);
        context.output.bytes(&script)?;
        Ok(Exit::Success)
    }
}
