//! `enter`: starts a program beside the workload with what this boot already received. It asks no store, needs no ticket and
//! writes nothing.
//!
//! Where `boot` has left an environment file, that is what was received. Otherwise, in a container, the first process is the
//! workload, or the supervisor whose oldest child is the workload (everything it adopted later descends from that), and the
//! workload's own environment is read where the kernel shows it. For that one must be the same user, or root with CAP_SYS_PTRACE.
#![expect(clippy::disallowed_methods, reason = "reads what a boot left, and /proc")]

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use zeroize::Zeroizing;

use super::boot::{ENVIRONMENT, formats};
use super::config::is_ours;
use super::failure::Failure;
use super::microvm::in_first_namespace;
use super::program::FindError;
use super::supervise::NAME;
use super::supervise::kernel::Inherited;
use super::{r#become, environment, program};
use crate::settings::Environment;

/// Where `boot` leaves things unless the configuration says otherwise, whatever session this is.
const FOLDER: &str = "/run/dropsafe";
/// What belongs to the session and not to the workload: kept where the session has it.
const SESSION: [&str; 11] =
    ["HOME", "HOSTNAME", "LOGNAME", "OLDPWD", "PWD", "SHELL", "SHLVL", "SSH_AUTH_SOCK", "TERM", "USER", "_"];

/// Why nothing that this boot received can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnterError {
    /// Nothing was left, and this is no container.
    #[error("nothing was left in {} and the first process is not the workload", .0.display())]
    Nothing(PathBuf),
    /// There, and not for this user.
    #[error("{}: {kind}", path.display())]
    Unreadable {
        /// What cannot be read.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// There, and not as `boot` writes it.
    #[error("{}: not as `dropsafe-agent boot` writes it", .0.display())]
    Damaged(PathBuf),
    /// The workload is not there yet, or no more.
    #[error("the supervisor has no workload")]
    Gone,
}

impl EnterError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nothing(_) => Some("run `dropsafe-agent boot` first, or name its folder with --files-dir"),
            Self::Unreadable { .. } => {
                Some("enter as the user that the workload runs as (docker exec --user), or as root")
            }
            Self::Damaged(_) => Some("run `dropsafe-agent boot` again"),
            Self::Gone => None,
        }
    }
}

/// Becomes `command`, with what this boot received.
///
/// # Errors
/// Nothing was received, or the program cannot be started.
pub(crate) fn run(
    command: Vec<OsString>,
    folder: &Path,
    environment: &Environment,
    inherited: &Inherited,
) -> Result<Infallible, Failure> {
    let received = received(folder)?;
    let merged = merge(environment, received);
    let strings = environment::strings(&merged)?;
    let name = command.first().ok_or_else(|| FindError::NotFound(OsString::new()))?;
    let path = merged.iter().find(|(name, _)| name == "PATH").map(|(_, value)| OsStr::from_bytes(value));
    let program = program::find(name, path)?;
    environment::fits(&strings, &program, &command, r#become::stack_limit())?;
    drop(merged);
    Ok(r#become::workload(&program, command, &strings, inherited)?)
}

type Variables = Vec<(OsString, Zeroizing<Vec<u8>>)>;

fn received(folder: &Path) -> Result<Variables, EnterError> {
    for folder in [folder, Path::new(FOLDER)] {
        let path = folder.join(ENVIRONMENT);
        if let Some(text) = read(&path)? {
            let variables = formats::parse(&text).ok_or(EnterError::Damaged(path))?;
            return Ok(variables.into_iter().map(|(name, value)| (name.into(), value)).collect());
        }
    }
    let supervised = comm(1).is_some_and(|comm| comm == NAME.to_bytes());
    // A machine's first process is an init system and no workload, unless it is ours; in a container systemd says so of itself
    // (sd_booted(3)).
    if !supervised && (in_first_namespace() || Path::new("/run/systemd/system").exists()) {
        return Err(EnterError::Nothing(folder.to_owned()));
    }
    let pid = if supervised { oldest_child(1)? } else { 1 };
    let path = PathBuf::from(format!("/proc/{pid}/environ"));
    let text = read(&path)?.ok_or(EnterError::Gone)?;
    Ok(split(&text))
}

/// `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, EnterError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EnterError::Unreadable { path: path.to_owned(), kind: error.kind() }),
    }
}

fn comm(pid: u32) -> Option<Vec<u8>> {
    let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec())
}

/// The child of `parent` that was started first. A number may have been used anew, so it is the time that counts.
fn oldest_child(parent: u32) -> Result<u32, EnterError> {
    let entries = fs::read_dir("/proc").map_err(|_| EnterError::Gone)?;
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let children = processes.filter_map(|pid| {
        let (of, start) = parent_and_start(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
        (of == parent).then_some((start, pid))
    });
    children.min().map(|(_, pid)| pid).ok_or(EnterError::Gone)
}

/// Fields 4 and 22 of proc_pid_stat(5). The second is in parentheses and may hold anything.
fn parent_and_start(stat: &[u8]) -> Option<(u32, u64)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> = str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

fn split(environ: &[u8]) -> Variables {
    let variable = |string: &[u8]| {
        // As for getenv(3): what has no `=` is no variable.
        let end = string.iter().skip(1).position(|byte| *byte == b'=')? + 1;
        Some((OsStr::from_bytes(&string[..end]).to_owned(), Zeroizing::new(string[end + 1..].to_vec())))
    };
    environ.split(|byte| *byte == 0).filter_map(variable).collect()
}

/// What was received over what this session has, but for what is the session's own. Each name once, in order.
fn merge(session: &Environment, received: Variables) -> Variables {
    let own = |name: &OsStr| SESSION.iter().any(|own| name == *own);
    let in_session = |name: &OsStr| session.iter().any(|(known, _)| known == name);
    let mut merged: Variables = Vec::new();
    for (name, value) in received {
        let keep = !(is_ours(name.as_bytes()) || own(&name) && in_session(&name));
        if keep && !merged.iter().any(|(known, _)| *known == name) {
            merged.push((name, value));
        }
    }
    for (name, value) in session.iter() {
        if !is_ours(name.as_bytes()) && !merged.iter().any(|(known, _)| known == name) {
            merged.push((name.to_owned(), Zeroizing::new(value.as_bytes().to_vec())));
        }
    }
    merged.sort_by(|(a, _), (b, _)| a.cmp(b));
    merged
}

#[cfg(test)]
mod tests {
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
        let received = split(b"DATABASE_URL=postgres\0TERM=dumb\0HOME=/srv\0EMPTY=\0DROPSAFE_X=1\0broken\0");
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

    #[test]
    fn the_start_of_a_process_is_read_whatever_it_is_called() {
        let stat = b"7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200";
        assert_eq!(parent_and_start(stat), Some((1, 4711)));
        assert_eq!(parent_and_start(b"7 (a) S 1"), None);
    }
}
