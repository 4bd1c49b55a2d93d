//! The command line `dropsafe`: one file per noun, and the only room that prints. No value is ever printed, except that of
//! a plain setting, and none is taken from the command line.

mod arguments;
mod audit;
mod backup;
mod boots;
mod category;
mod completions;
mod connect;
mod delete;
mod deposit;
mod dev;
mod duration;
mod edit;
mod env_file;
mod environment;
mod exit;
mod failure;
mod files;
mod import;
mod init;
mod input;
mod keyslot;
mod known;
mod list;
mod listing;
mod lock;
mod login;
mod man;
mod member;
mod migrate;
mod org;
mod output;
mod plugin;
mod preset;
mod progress;
mod re_encrypt;
mod restore;
mod serve;
mod set;
mod show;
mod stats;
mod status;
mod table;
mod terminal;
mod ticket;
mod token;
mod usage;
mod which;
mod workload;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use environment::Environment;
use exit::Exit;
use failure::{Failure, Outcome};
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
    // Commands that deposit hold values. What fails here is a limit that the caller has already set to nothing.
    crate::crypto::memory::forbid_core_dumps().ok();
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
                Ok(Exit::Success)
            }
            usage::Answer::Failed(failure) => Err(failure),
        },
    }
}

fn dispatch(command: Command, context: &mut Context) -> Outcome {
    match command {
        Command::Completions(command) => command.run(context),
        Command::Man(command) => command.run(context),
        Command::Logout(command) => command.run(context),
        Command::Dev(command) => command.run(context),
        Command::Serve(command) => command.run(context),
        command => runtime()?.block_on(ask(command, context)),
    }
}

/// The commands that talk to a store, one call after the other.
async fn ask(command: Command, context: &mut Context) -> Outcome {
    match command {
        Command::Status(command) => command.run(context).await,
        Command::Unlock(command) => command.run(context).await,
        Command::Lock(command) => command.run(context).await,
        Command::Keyslot(command) => command.run(context).await,
        Command::Login(command) => command.run(context).await,
        Command::Set(command) => command.run(context).await,
        Command::List(command) => command.run(context).await,
        Command::Show(command) => command.run(context).await,
        Command::Edit(command) => command.run(context).await,
        Command::Delete(command) => command.run(context).await,
        Command::ReEncrypt(command) => command.run(context).await,
        Command::Import(command) => command.run(context).await,
        Command::Plugin(command) => command.run(context).await,
        Command::Category(command) => command.run(context).await,
        Command::Preset(command) => command.run(context).await,
        Command::Stats(command) => command.run(context).await,
        Command::Member(command) => command.run(context).await,
        Command::Token(command) => command.run(context).await,
        Command::Ticket(command) => command.run(context).await,
        Command::Boots(command) => command.run(context).await,
        Command::Audit(command) => command.run(context).await,
        Command::Backup(command) => command.run(context).await,
        Command::Org(command) => command.run(context).await,
        Command::Init(command) => command.run(context).await,
        Command::Restore(command) => command.run(context).await,
        Command::Migrate(command) => command.run(context).await,
        // Those that `dispatch` runs itself.
        Command::Completions(_)
        | Command::Man(_)
        | Command::Logout(_)
        | Command::Dev(_)
        | Command::Serve(_) => Ok(Exit::Internal),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| no_runtime(&error))
}

fn no_runtime(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Internal, format_args!("the program cannot start its work: {}", files::why(error)))
}
