//! The boot agent: fetches the secrets that are in scope for this boot and becomes the workload with them, or does not start it.
//!
//! The order of the steps, which this table alone describes:
//!
//! | step | file | the boot stops if |
//! |---|---|---|
//! | set up the machine, if the kernel starts the agent itself | [`microvm`] | never: what is missing shows in a later step |
//! | read the configuration | [`arguments`], [`config`], [`local_variables`] | a setting has a fault; all faults are reported |
//! | find the program | [`executable`] | it cannot be executed; no use of the ticket is spent |
//! | find the ticket or card | [`identity_source`], [`token_source`] | there is none, it cannot be read, or a card has no source of tokens |
//! | find local faults | [`preflight`] | a place for files cannot be used, or the plan would fail; no use of the ticket is spent |
//! | fetch | [`fetch`], [`verified_release`], [`release_cache`], [`seen_revisions`] | the store refuses, cannot be reached, or the answer is incomplete |
//! | plan the environment | [`environment_plan`], [`plan_error`] | a reference, a required name or a refused name fails; all of them are reported |
//! | write files | [`secret_files`] | a secret is a file, and there is no tmpfs for it |
//! | build the environment | [`environment`] | a value or the whole does not fit the kernel's limits |
//! | become the workload | [`execve`], [`supervise`] | the kernel refuses to execute it |
//!
//! [`explain`] and [`check`] take the same steps without spending or starting anything. [`error`] says how a boot failed, and
//! [`boot_end`] and [`end_note`] report the end of one.
//!
//! What never happens: a value in argv, in a message or on a persistent disk; a second thread; an open port. After `exec`, nothing
//! of the agent is left.

mod account;
mod arguments;
mod boot;
mod boot_end;
mod boot_identity;
mod check;
mod config;
mod credentials;
mod end_note;
mod enter;
mod environment;
mod environment_plan;
mod error;
mod exec;
mod executable;
mod execve;
mod explain;
mod fetch;
mod file_mapping;
mod folder;
mod identity_source;
mod local_variables;
mod log;
mod machine;
mod mask;
mod memfd;
mod microvm;
mod plan_error;
mod preflight;
mod received;
mod release_cache;
mod requested_name;
mod runtime;
mod secret_files;
mod seen_revisions;
mod supervise;
mod supervisor_pipe;
mod ticket_file;
mod token_source;
mod verified_release;
mod withheld;

use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;

#[cfg(feature = "server")]
pub(crate) use self::arguments::command;
use self::arguments::{AgentArgs, AgentCommand};
use self::error::AgentError;
use self::log::LogFormat;
use self::machine::RealFiles;
use self::supervise::ForkSide;
use crate::process::Exit;
use crate::settings::Environment;

/// The whole program. `arguments` begin with the program's name. It is a library function so that `dropsafe`, called as
/// `dropsafe-agent`, runs the same code.
///
/// It returns if the workload was not started, or was not meant to be.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let vm = microvm::set_up();
    let status = run(arguments.into_iter().collect(), environment.into_iter().collect(), vm.is_some());
    if let Some(vm) = vm {
        vm.shut_down(status);
    }
    status.into()
}

/// `first` says that this is the first process of a machine.
fn run(arguments: Vec<OsString>, mut variables: Vec<(OsString, OsString)>, first: bool) -> u8 {
    let AgentArgs { command: mut action, settings: args } = match arguments::parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return answer_usage(&error).code(),
    };
    // The kernel panics when the first process of a machine ends: there, the workload has to be a child.
    if let (true, AgentCommand::Exec { start, .. }) = (first, &mut action) {
        start.init = true;
    }
    // Before anything else: fork(2) is only safe without threads, and the supervisor must never have held a secret.
    let (inherited, mask) = match supervise::start(&action, &mut variables) {
        Ok(ForkSide::Workload(inherited, mask)) => (inherited, mask),
        Ok(ForkSide::Ended(status)) => return status,
        Err(error) => {
            let log = config::read_log(&args, &Environment::new(variables));
            return fail(&error.into(), log.format);
        }
    };
    let environment = Environment::new(variables);
    let settings = config::read(&args, &environment, &RealFiles);
    let log = settings
        .as_ref()
        .map_or_else(|_| config::read_log(&args, &environment), |(settings, _)| settings.log);
    log::start(log);

    let ended = match (action, settings) {
        (AgentCommand::Check { json }, settings) => Ok(check::run(settings, &environment, json)),
        // Faults of the configuration do not matter to `enter`: often only root may read the file, while everybody whom the
        // files of a boot are open to may enter.
        (AgentCommand::Enter { command }, _) => {
            let folder = config::read_files_dir(&args, &environment);
            let entered = config::read_user(&args).map_err(AgentError::from);
            let entered = entered
                .and_then(|user| enter::run(command, &folder, user.as_ref(), &environment, &inherited));
            entered.map(|never| match never {})
        }
        // At the end of a boot, nobody mends the configuration.
        (AgentCommand::Ended, settings) => Ok(end_note::run(settings.ok(), &args, &environment)),
        (_, Err(faults)) => Err(AgentError::from(faults)),
        (AgentCommand::Exec { command, .. }, Ok((settings, local))) => {
            exec::run(command, settings, local, &environment, &inherited, mask).map(|never| match never {})
        }
        (AgentCommand::Boot { docker_env }, Ok((settings, local))) => {
            boot::run(settings, local, &environment, docker_env.as_deref())
        }
        (AgentCommand::Credentials, Ok((settings, _))) => {
            let served = credentials::run(&settings.files_dir, &environment);
            served.map(|()| Exit::Success).map_err(AgentError::from)
        }
        (AgentCommand::Explain { json }, Ok((settings, local))) => {
            explain::run(settings, local, &environment, json)
        }
    };
    match ended {
        Ok(exit) => exit.code(),
        Err(error) => fail(&error, log.format),
    }
}

fn fail(error: &AgentError, format: LogFormat) -> u8 {
    log::report_error(error, error.hint(), error.exit(), format);
    error.exit().code()
}

/// Prints what clap has to say about the command line.
fn answer_usage(error: &clap::Error) -> Exit {
    let exit = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
        _ => Exit::Usage,
    };
    // clap quotes the argument that it does not know, which may be a ticket without its flag.
    let message = error.to_string();
    let quotes_credential =
        exit == Exit::Usage && plan_error::CREDENTIALS.iter().any(|prefix| message.contains(prefix));
    // Requested help goes to standard output, everything else to standard error. If that is closed, nobody reads it.
    let _ = match exit {
        Exit::Success => io::stdout().write_all(message.as_bytes()),
        _ if quotes_credential => {
            io::stderr().write_all(b"error: a credential cannot be an argument; see --help\n")
        }
        _ => io::stderr().write_all(message.as_bytes()),
    };
    exit
}
