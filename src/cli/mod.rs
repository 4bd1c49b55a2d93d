//! The command line `dropsafe`: one file per noun, and the only room that prints. No value is ever printed, except that of
//! a plain setting, and none is taken from the command line.

mod arguments;
mod attributes;
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
mod error;
mod exit_codes;
mod files;
mod import;
mod init;
mod input;
mod keyslot;
mod list;
mod lock;
mod login;
mod man;
mod member;
mod migrate;
mod org;
mod output;
mod paged_list;
mod pinned_keys;
mod plugin;
mod preset;
mod progress;
mod re_encrypt;
mod restore;
mod selector;
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
mod workload;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::process::Exit;
use arguments::{RootArgs, RootCommand};
use clap::Parser;
use environment::CliEnvironment;
use error::{CliError, CommandResult};
use output::Output;
use terminal::UserTerminal;

/// What every command works with.
struct CliContext {
    environment: CliEnvironment,
    terminal: UserTerminal,
    output: Output,
}

/// Runs the program as it was called; `arguments` begin with its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Commands that deposit hold values. What fails here is a limit that the caller has already set to nothing.
    crate::crypto::memory::forbid_core_dumps().ok();
    let mut context = CliContext {
        environment: CliEnvironment::of_process(),
        terminal: UserTerminal::of_process(),
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

fn run(typed: Vec<OsString>, context: &mut CliContext) -> CommandResult {
    match RootArgs::try_parse_from(&typed) {
        Ok(arguments) => dispatch(arguments.command, context),
        Err(error) => match usage::answer(&error, &typed) {
            usage::ParseFailure::Told(text) => {
                context.output.bytes(text.as_bytes())?;
                Ok(Exit::Success)
            }
            usage::ParseFailure::Failed(failure) => Err(failure),
        },
    }
}

fn dispatch(command: RootCommand, context: &mut CliContext) -> CommandResult {
    match command {
        RootCommand::Completions(command) => command.run(context),
        RootCommand::Man(command) => command.run(context),
        RootCommand::Logout(command) => command.run(context),
        RootCommand::Dev(command) => command.run(context),
        RootCommand::Serve(command) => command.run(context),
        command => runtime()?.block_on(ask(command, context)),
    }
}

/// The commands that talk to a store, one call after the other.
async fn ask(command: RootCommand, context: &mut CliContext) -> CommandResult {
    match command {
        RootCommand::Status(command) => command.run(context).await,
        RootCommand::Unlock(command) => command.run(context).await,
        RootCommand::Lock(command) => command.run(context).await,
        RootCommand::Keyslot(command) => command.run(context).await,
        RootCommand::Login(command) => command.run(context).await,
        RootCommand::Set(command) => command.run(context).await,
        RootCommand::List(command) => command.run(context).await,
        RootCommand::Show(command) => command.run(context).await,
        RootCommand::Edit(command) => command.run(context).await,
        RootCommand::Delete(command) => command.run(context).await,
        RootCommand::ReEncrypt(command) => command.run(context).await,
        RootCommand::Import(command) => command.run(context).await,
        RootCommand::Plugin(command) => command.run(context).await,
        RootCommand::Category(command) => command.run(context).await,
        RootCommand::Preset(command) => command.run(context).await,
        RootCommand::Stats(command) => command.run(context).await,
        RootCommand::Member(command) => command.run(context).await,
        RootCommand::Token(command) => command.run(context).await,
        RootCommand::Ticket(command) => command.run(context).await,
        RootCommand::Boots(command) => command.run(context).await,
        RootCommand::Audit(command) => command.run(context).await,
        RootCommand::Backup(command) => command.run(context).await,
        RootCommand::Org(command) => command.run(context).await,
        RootCommand::Init(command) => command.run(context).await,
        RootCommand::Restore(command) => command.run(context).await,
        RootCommand::Migrate(command) => command.run(context).await,
        // Those that `dispatch` runs itself.
        RootCommand::Completions(_)
        | RootCommand::Man(_)
        | RootCommand::Logout(_)
        | RootCommand::Dev(_)
        | RootCommand::Serve(_) => Ok(Exit::Internal),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| no_runtime(&error))
}

fn no_runtime(error: &std::io::Error) -> CliError {
    CliError::new(Exit::Internal, format_args!("the program cannot start its work: {}", files::why(error)))
}
