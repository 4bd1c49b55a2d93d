//! `dropsafe man`: pages of the manual, from the definitions that the programs parse with.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man as Page;

use super::completions::Program;
use super::error::CommandResult;
use super::{CliContext, files};
use crate::process::Exit;

/// Print the manual page, or write all pages of both programs into a folder
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write dropsafe.1, dropsafe-set.1, dropsafe-agent.1 and so on into this folder; otherwise the page of the
    /// program is printed
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// The program whose page is printed
    #[arg(long, value_name = "PROGRAM", default_value = "dropsafe", conflicts_with = "folder")]
    pub(crate) program: Program,
}

impl ManArgs {
    pub(crate) fn run(self, context: &mut CliContext) -> CommandResult {
        match self.folder {
            None => {
                let mut page = Vec::new();
                Page::new(self.program.command()).render(&mut page)?;
                context.output.bytes(&page)?;
            }
            Some(folder) => {
                for program in [Program::Dropsafe, Program::DropsafeAgent] {
                    clap_mangen::generate_to(program.command(), &folder)
                        .map_err(|error| files::unwritable(&folder, &error))?;
                }
            }
        }
        Ok(Exit::Success)
    }
}
