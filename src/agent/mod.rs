//! The boot agent: fetches what is in scope for this boot and becomes the workload with it, or does not start it at all.
//!
//! One order, told here and nowhere else:
//!
//! | step | file | it stops the boot when |
//! |---|---|---|
//! | the machine, where a kernel starts the agent itself | [`microvm`] | nothing: what is missing shows in what follows |
//! | configuration | [`flags`], [`config`], [`own`] | any setting has a fault; all of them are told |
//! | program | [`program`] | the workload cannot be executed: found out before a use of the ticket is spent |
//! | identity | [`identity`] | there is no ticket that can be read |
//! | fetch | [`fetch`], [`release`], [`cache`] | the store refuses, is out of reach, or what arrives is not whole |
//! | layers | [`layers`], [`obstacle`] | a reference, a required name or a refused name stands in the way; all are told |
//! | outputs | [`outputs`] | a secret that is a file has no place in memory |
//! | environment | [`environment`] | a value or the whole does not fit the kernel's limits |
//! | become the workload | `become.rs`, [`supervise`] | the kernel will not execute it |
//!
//! [`explain`] and [`check`] walk the same steps without spending or starting anything. [`failure`] says how it ended.
//!
//! Absences: no value in argv, in a message or on a disk that keeps it; no thread of ours; nothing is listened on; after `exec`
//! nothing of the agent is left.

pub(crate) mod account;
pub(crate) mod r#become;
pub(crate) mod boot;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod credentials;
pub(crate) mod enter;
pub(crate) mod environment;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod failure;
pub(crate) mod fetch;
pub(crate) mod flags;
pub(crate) mod identity;
pub(crate) mod layers;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod mask;
pub(crate) mod microvm;
pub(crate) mod obstacle;
pub(crate) mod outputs;
pub(crate) mod own;
pub(crate) mod placement;
pub(crate) mod program;
pub(crate) mod release;
pub(crate) mod supervise;
pub(crate) mod wanted;

use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;

use self::failure::Failure;
pub(crate) use self::flags::command;
use self::flags::{Action, Flags};
use self::machine::RealFiles;
use self::supervise::Side;
use crate::process::Exit;
use crate::settings::Environment;

/// The whole program, so that another one can be it under the name `dropsafe-agent`. `arguments` begin with the program's name.
/// Returns when the workload was not started, or was not meant to be.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let machine = microvm::begin();
    let status = run(arguments.into_iter().collect(), environment.into_iter().collect(), machine.is_some());
    if let Some(machine) = machine {
        machine.end(status);
    }
    status.into()
}

/// All of it, to the status. The first process of a machine must not end before the machine: there the workload is a child.
fn run(arguments: Vec<OsString>, mut variables: Vec<(OsString, OsString)>, first: bool) -> u8 {
    let Flags { mut action, options } = match flags::parse(arguments) {
        Ok(flags) => flags,
        Err(error) => return usage(&error).code(),
    };
    if let (true, Action::Exec { start, .. }) = (first, &mut action) {
        start.init = true;
    }
    let (inherited, masking) = match supervise::begin(&action, || supervise::forget(&mut variables)) {
        Ok(Side::Workload(inherited, masking)) => (inherited, masking),
        Ok(Side::Ended(status)) => return status,
        Err(error) => {
            let log = config::read_log(&options, &Environment::new(variables));
            return fail(&error.into(), log.format);
        }
    };
    let environment = Environment::new(variables);
    let settings = config::read(&options, &environment, &RealFiles);
    let log = settings
        .as_ref()
        .map_or_else(|_| config::read_log(&options, &environment), |(settings, _)| settings.log);
    log::start(log);

    let ended = match (action, settings) {
        (Action::Check { json }, settings) => Ok(check::run(settings, &environment, json)),
        // Before faults: the configuration may be for root's eyes, and what was left not.
        (Action::Enter { command }, _) => {
            let folder = config::read_files_dir(&options, &environment);
            enter::run(command, &folder, &environment, &inherited).map(|never| match never {})
        }
        (_, Err(faults)) => Err(Failure::from(faults)),
        (Action::Exec { command, .. }, Ok(settings)) => {
            exec::run(command, settings, &environment, (&inherited, masking)).map(|never| match never {})
        }
        (Action::Boot { docker_env }, Ok(settings)) => {
            boot::run(settings, &environment, docker_env.as_deref())
        }
        (Action::Credentials, Ok((settings, _))) => credentials::run(&settings.files_dir, &environment),
        (Action::Explain { json }, Ok(settings)) => explain::run(settings, &environment, json),
    };
    match ended {
        Ok(exit) => exit.code(),
        Err(failure) => fail(&failure, log.format),
    }
}

fn fail(failure: &Failure, format: config::LogFormat) -> u8 {
    log::tell(failure, format);
    failure.exit().code()
}

fn usage(error: &clap::Error) -> Exit {
    let exit = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
        _ => Exit::Usage,
    };
    // Messages quote the argument that was not understood, which may be a ticket without its flag.
    let message = error.to_string();
    let quotes = exit == Exit::Usage && obstacle::CREDENTIALS.iter().any(|prefix| message.contains(prefix));
    // Help that was asked for goes to standard output. Nobody is left to tell when that is gone.
    let _ = match exit {
        Exit::Success => io::stdout().write_all(message.as_bytes()),
        _ if quotes => io::stderr().write_all(b"error: a credential is no argument; see --help\n"),
        _ => io::stderr().write_all(message.as_bytes()),
    };
    exit
}
