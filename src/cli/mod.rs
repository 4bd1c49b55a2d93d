//! The command line `dropsafe`: one file per noun, and the only room that prints. No value is ever printed, except that of
//! a plain setting, and none is taken from the command line.

mod arguments;
mod audit;
mod backup;
mod boots;
mod completions;
mod delete;
mod dev;
mod duration;
mod edit;
mod environment;
mod exit;
mod failure;
mod files;
mod import;
mod init;
mod keyslot;
mod list;
mod lock;
mod login;
mod man;
mod member;
mod org;
mod output;
mod re_encrypt;
mod restore;
mod serve;
mod set;
mod show;
mod status;
mod table;
mod terminal;
mod ticket;
mod token;
mod usage;
mod which;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use arguments::Command;
use environment::Environment;
use failure::Failure;
use failure::Outcome;
use output::Output;
use terminal::Terminal;

/// What every command works with.
struct Context {
    environment: Environment,
    terminal: Terminal,
    output: Output,
}

/// Runs the program as it was called; `arguments` begin with its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut context = Context {
        environment: Environment::of_process(),
        terminal: Terminal::of_process(),
        output: Output::of_process(),
    };
    let outcome = run(arguments.into_iter().collect(), &mut context);
    // What a failing command has printed belongs to it too.
    let flushed = context.output.flush();
    match outcome.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.quiet {
                output::report(&failure);
            }
            failure.exit.into()
        }
    }
}

fn run(typed: Vec<OsString>, context: &mut Context) -> Outcome {
    match Arguments::try_parse_from(&typed) {
        Ok(arguments) => dispatch(arguments.command, context),
        Err(error) => match usage::answer(&error, &typed) {
            usage::Answer::Told(text) => {
                context.output.bytes(text.as_bytes())?;
                Ok(exit::Exit::Done)
            }
            usage::Answer::Failed(failure) => Err(failure),
        },
    }
}

fn dispatch(command: Command, context: &mut Context) -> Outcome {
    match command {
        Command::Completions(command) => command.run(context),
        Command::Man(command) => command.run(context),
        other => Err(Failure::refused(format_args!("not yet {other:?}"))),
    }
}
