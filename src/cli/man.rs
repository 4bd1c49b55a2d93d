//! `dropsafe man`: pages of the manual, from the definitions that the programs parse with.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man as Page;

use super::Context;
use super::completions::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::failure::Outcome;
use super::files;

/// Print the manual page, or write all pages of both programs into a folder
#[derive(Debug, Args)]
pub struct Man {
    /// Write dropsafe.1, dropsafe-set.1, dropsafe-agent.1 and so on into this folder; otherwise the page of the
    /// program is printed
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The program whose page is printed
    #[arg(long, value_name = "PROGRAM", default_value = "dropsafe", conflicts_with = "folder")]
    pub program: Program,
}

impl Man {
    pub fn run(self, context: &mut Context) -> Outcome {
        match self.folder {
            None => {
                let mut page = Vec::new();
                Page::new(self.program.command().disable_help_flag(true)).render(&mut page)?;
                context.output.bytes(&page)?;
            }
            Some(folder) => {
                for program in [Program::Dropsafe, Program::DropsafeAgent] {
                    pages(&folder, program.command(), program.name())?;
                }
            }
        }
        Ok(Exit::Done)
    }
}

/// The page of `command` and of every command below it, `name` being all of their names joined by dashes.
fn pages(folder: &Path, command: clap::Command, name: &str) -> Result<(), Failure> {
    let mut page = Vec::new();
    let titled = command.clone().display_name(name.to_owned()).bin_name(name.replace('-', " "));
    Page::new(titled.disable_help_flag(true)).render(&mut page)?;
    files::write_public(&folder.join(format!("{name}.1")), &page)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(folder, below.clone(), &format!("{name}-{}", below.get_name()))?;
    }
    Ok(())
}
