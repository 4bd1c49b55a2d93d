//! `dropsafe man`: manual pages, from the definitions that the programs parse with.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::completions::Program;
use super::context::CliContext;
use super::error::CommandResult;
use super::files;
use crate::process::Exit;

/// Print the manual page, or write all pages of both programs to a folder
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write dropsafe.1, dropsafe-set.1, dropsafe-agent.1 and so on to this folder (default: print the program's page)
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Program whose page to print
    #[arg(long, value_name = "PROGRAM", default_value = "dropsafe", conflicts_with = "folder")]
    pub(crate) program: Program,
}

impl ManArgs {
    pub(crate) fn run(self, context: &mut CliContext, dropsafe: fn() -> clap::Command) -> CommandResult {
        match self.folder {
            None => {
                // Into memory first: a failure must not leave half a page on standard output.
                let mut page = Vec::new();
                Man::new(self.program.command(dropsafe)).render(&mut page)?;
                context.output.bytes(&page)?;
            }
            Some(folder) => {
                // Packages install all pages, those of the subcommands too; `man` alone prints what fits a terminal.
                for program in [Program::Dropsafe, Program::DropsafeAgent] {
                    clap_mangen::generate_to(program.command(dropsafe), &folder)
                        .map_err(|error| files::write_error(&folder, &error))?;
                }
            }
        }
        Ok(Exit::Success)
    }
}
