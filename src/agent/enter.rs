//! `enter`: starts a program beside the workload with the secrets that this boot already received. It contacts no store, needs no
//! ticket and writes nothing.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::prctl;
use nix::unistd::geteuid;
use tracing::warn;
use zeroize::Zeroizing;

use super::account::{Account, AccountError, UserSpec};
use super::config::keys::is_agent_variable;
use super::error::AgentError;
use super::executable::ExecutableError;
use super::machine::RealFiles;
use super::plan_error::display_name;
use super::received::{ReceivedError, ReceivedSource, Variables, Workload};
use super::supervise::syscalls::InheritedSignals;
use super::{account, environment, executable, execve, memfd, received};
use crate::settings::Environment;

/// Variables that belong to the session and not to the workload. The session's value wins, if it has one.
const SESSION: [&str; 11] =
    ["HOME", "HOSTNAME", "LOGNAME", "OLDPWD", "PWD", "SHELL", "SHLVL", "SSH_AUTH_SOCK", "TERM", "USER", "_"];

/// Becomes `command`, with what this boot received. `folder` is where `boot` writes. The command runs as `user`; the default is this
/// process's user, and the workload's user and groups where the secrets are in the workload's environment.
///
/// # Errors
/// This boot received nothing, this process may not become the user, or the program cannot be started.
pub(crate) fn run(
    command: Vec<OsString>,
    folder: &Path,
    user: Option<&UserSpec>,
    environment: &Environment,
    inherited: &InheritedSignals,
) -> Result<Infallible, AgentError> {
    let account = user.map(|user| account::find(user, &RealFiles)).transpose()?;
    let received = match received::find(folder)? {
        ReceivedSource::Boot(variables) => {
            account.as_ref().map_or(Ok(()), Account::switch)?;
            variables
        }
        ReceivedSource::Workload(workload) => enter_workload(&workload, account.as_ref())?,
    };
    let merged = merge(environment, received);
    let strings = environment::from_pairs(&merged)?;
    let name = command.first().ok_or_else(|| ExecutableError::NotFound(OsString::new()))?;
    let path = merged.iter().find(|(name, _)| name == "PATH").map(|(_, value)| OsStr::from_bytes(value));
    let program = executable::find(name, path)?;
    environment::check_size(&strings, &program, &command, execve::stack_limit())?;
    // `strings` has a copy. The values are wiped now, in case the kernel refuses to execute the program.
    drop(merged);
    Ok(execve::replace_process(&program, command, &strings, inherited)?)
}

/// Becomes the user of the workload, whose variables could make any other user run its code, and reads the variables.
fn enter_workload(workload: &Workload, account: Option<&Account>) -> Result<Variables, AgentError> {
    let (theirs, no_new_privs) = workload.read_account()?;
    if account.is_some_and(|account| account.uid != theirs.uid) {
        return Err(ReceivedError::OtherUser(theirs.uid).into());
    }
    // Another user than root stays itself, and the kernel decides whether it may read the variables.
    if geteuid().is_root() {
        theirs.switch()?;
    }
    if no_new_privs {
        prctl::set_no_new_privs()
            .map_err(|errno| AccountError::Refused { step: "setting no_new_privs", errno })?;
    }
    // As the workload's user, which needs no privilege. Containers have no CAP_SYS_PTRACE.
    let variables = workload.read_variables()?;
    for (name, value) in &variables {
        if name.as_bytes().ends_with(b"_FILE")
            && let Err(error) = memfd::inherit(workload.pid, value)
        {
            warn!("the file of {} is not passed on: {}", display_name(name), error.kind());
        }
    }
    // If the number was another process's meanwhile, the workload is gone, and this fails.
    workload.read_account().map(|_| variables).map_err(AgentError::from)
}

/// The received variables above those of the session, except what belongs to the session. Sorted by name; each name is unique.
fn merge(session: &Environment, received: Variables) -> Variables {
    let of_session = |name: &OsStr| {
        SESSION.iter().any(|own| name == *own) && session.iter().any(|(known, _)| known == name)
    };
    let mut merged: Variables = Vec::new();
    for (name, value) in received {
        // The workload's own environment may hold a name twice; getenv(3) finds the first.
        let keep = !is_agent_variable(name.as_bytes()) && !of_session(&name);
        if keep && !merged.iter().any(|(known, _)| *known == name) {
            merged.push((name, value));
        }
    }
    for (name, value) in session.iter() {
        if !is_agent_variable(name.as_bytes()) && !merged.iter().any(|(known, _)| known == name) {
            merged.push((name.to_owned(), Zeroizing::new(value.as_bytes().to_vec())));
        }
    }
    merged.sort_by(|(a, _), (b, _)| a.cmp(b));
    merged
}

#[cfg(test)]
mod tests {
    use super::super::received::parse_environ;
    use super::*;

    fn session(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn what_was_received_is_above_the_session_but_for_what_is_its_own() {
        let session = session(&[
            ("TERM", "xterm"),
            ("DATABASE_URL", "dropsafe:db-url"),
            ("ONLY", "here"),
            ("DROPSAFE_TICKET", "t"),
        ]);
        let received =
            parse_environ(b"DATABASE_URL=postgres\0TERM=dumb\0HOME=/srv\0EMPTY=\0DROPSAFE_X=1\0broken\0");
        let merged = merge(&session, received);
        let merged: Vec<(&str, &[u8])> =
            merged.iter().map(|(name, value)| (name.to_str().unwrap(), value.as_slice())).collect();
        assert_eq!(
            merged,
            [
                ("DATABASE_URL", &b"postgres"[..]),
                ("EMPTY", b""),
                ("HOME", b"/srv"),
                ("ONLY", b"here"),
                ("TERM", b"xterm"),
            ]
        );
    }
}
