//! The command line `dropsafe`: one file per noun, and the only module that prints. It never prints a value, except that of a
//! plain setting, and never reads one from the command line.

mod arguments;
mod attributes;
mod audit;
mod backup;
mod boots;
mod browser;
mod category;
mod checkpoint;
mod completions;
mod connect;
mod context;
mod delete;
mod deposit;
mod dev;
mod duration;
mod edit;
mod enroll;
mod env_file;
mod environment;
mod error;
mod exit_codes;
mod files;
mod holder_wait;
mod identity;
mod import;
mod init;
mod input;
mod issuer;
mod keyslot;
mod launcher;
mod linked_accounts;
mod list;
mod lock;
mod login;
mod loopback;
mod man;
mod manager;
mod member;
mod migrate;
mod oidc;
mod org;
mod output;
mod paged_list;
mod pinned_keys;
mod plugin;
mod preset;
mod preset_deposit;
mod progress;
mod re_encrypt;
mod restore;
mod runtime;
mod selector;
mod serve;
mod set;
mod show;
mod stats;
mod status;
mod table;
mod terminal;
mod ticket;
mod tls;
mod token;
mod usage;
mod workload;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{RootArgs, RootCommand};
use clap::{CommandFactory, Parser};
use context::CliContext;
use error::CommandResult;
use runtime::block_on;
use usage::ParseFailure;

use crate::process::Exit;

/// Runs the program; `arguments` start with its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Commands that deposit hold values in memory. This fails only where the caller has already set the limit to zero.
    crate::crypto::memory::forbid_core_dumps().ok();
    let mut context = CliContext::from_process();
    let result = run(arguments.into_iter().collect(), &mut context);
    // Also after a failure: what the command printed before it belongs to its output.
    let flushed = context.output.flush();
    match result.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            if !error.quiet {
                output::print_error(&error);
            }
            error.exit.into()
        }
    }
}

fn run(typed: Vec<OsString>, context: &mut CliContext) -> CommandResult {
    match RootArgs::try_parse_from(&typed) {
        Ok(arguments) => dispatch(arguments.command, context),
        Err(error) => match usage::classify(&error, &typed, RootArgs::command) {
            ParseFailure::Help(text) => {
                context.output.bytes(text.as_bytes())?;
                Ok(Exit::Success)
            }
            ParseFailure::Usage(error) => Err(error),
        },
    }
}

fn dispatch(command: RootCommand, context: &mut CliContext) -> CommandResult {
    match command {
        // These print the definitions of all commands. They get them as an argument: importing them would be a cycle.
        RootCommand::Completions(args) => args.run(context, RootArgs::command),
        RootCommand::Man(args) => args.run(context, RootArgs::command),
        RootCommand::Logout(args) => args.run(context),
        // These two start a runtime of their own, after what must happen while the process has one thread.
        RootCommand::Dev(args) => args.run(context),
        RootCommand::Serve(args) => args.run(context),
        RootCommand::Tls(command) => command.run(context),
        RootCommand::Status(args) => block_on(args.run(context)),
        RootCommand::Unlock(args) => block_on(args.run(context)),
        RootCommand::Lock(args) => block_on(args.run(context)),
        RootCommand::Keyslot(command) => block_on(command.run(context)),
        RootCommand::Enroll(args) => block_on(args.run(context)),
        RootCommand::Login(args) => block_on(args.run(context)),
        RootCommand::Set(args) => block_on(args.run(context)),
        RootCommand::List(args) => block_on(args.run(context)),
        RootCommand::Show(args) => block_on(args.run(context)),
        RootCommand::Edit(args) => block_on(args.run(context)),
        RootCommand::Delete(args) => block_on(args.run(context)),
        RootCommand::ReEncrypt(args) => block_on(args.run(context)),
        RootCommand::Import(args) => block_on(args.run(context)),
        RootCommand::Plugin(command) => block_on(command.run(context)),
        RootCommand::Category(command) => block_on(command.run(context)),
        RootCommand::Preset(command) => block_on(command.run(context)),
        RootCommand::Stats(args) => block_on(args.run(context)),
        RootCommand::Member(command) => block_on(command.run(context)),
        RootCommand::Launcher(command) => block_on(command.run(context)),
        RootCommand::Token(command) => block_on(command.run(context)),
        RootCommand::Ticket(command) => block_on(command.run(context)),
        RootCommand::Identity(command) => block_on(command.run(context)),
        RootCommand::Issuer(command) => block_on(command.run(context)),
        RootCommand::Boots(args) => block_on(args.run(context)),
        RootCommand::Audit(args) => block_on(args.run(context)),
        RootCommand::Backup(args) => block_on(args.run(context)),
        RootCommand::Org(command) => block_on(command.run(context)),
        RootCommand::Init(args) => block_on(args.run(context)),
        RootCommand::Restore(args) => block_on(args.run(context)),
        RootCommand::Migrate(args) => block_on(args.run(context)),
    }
}
