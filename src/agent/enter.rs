//! `enter`: starts a program beside the workload with the secrets that this boot already received. It contacts no store, needs no
//! ticket and writes nothing.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::config::keys::is_agent_variable;
use super::error::AgentError;
use super::executable::ExecutableError;
use super::received::Variables;
use super::supervise::syscalls::InheritedSignals;
use super::{environment, executable, execve, received};
use crate::settings::Environment;

/// Variables that belong to the session and not to the workload. The session's value wins, if it has one.
const SESSION: [&str; 11] =
    ["HOME", "HOSTNAME", "LOGNAME", "OLDPWD", "PWD", "SHELL", "SHLVL", "SSH_AUTH_SOCK", "TERM", "USER", "_"];

/// Becomes `command`, with what this boot received. `folder` is where `boot` writes.
///
/// # Errors
/// This boot received nothing, or the program cannot be started.
pub(crate) fn run(
    command: Vec<OsString>,
    folder: &Path,
    environment: &Environment,
    inherited: &InheritedSignals,
) -> Result<Infallible, AgentError> {
    let merged = merge(environment, received::read(folder)?);
    let strings = environment::from_pairs(&merged)?;
    let name = command.first().ok_or_else(|| ExecutableError::NotFound(OsString::new()))?;
    let path = merged.iter().find(|(name, _)| name == "PATH").map(|(_, value)| OsStr::from_bytes(value));
    let program = executable::find(name, path)?;
    environment::check_size(&strings, &program, &command, execve::stack_limit())?;
    // `strings` has a copy. The values are wiped now, in case the kernel refuses to execute the program.
    drop(merged);
    Ok(execve::replace_process(&program, command, &strings, inherited)?)
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
        let read_received =
            parse_environ(b"DATABASE_URL=postgres\0TERM=dumb\0HOME=/srv\0EMPTY=\0DROPSAFE_X=1\0broken\0");
        let merged = merge(&session, read_received);
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
