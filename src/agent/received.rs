//! What this boot already received, for [`super::enter`]: the environment file that `boot` wrote, or else the environment of a
//! container's workload.
//!
//! In a container, the first process is the workload, or a supervisor whose oldest child is the workload. The kernel shows the
//! environment of a process to its own user, and to root with CAP_SYS_PTRACE. The workload can change its environment, so that only
//! its own user may use it.
#![expect(clippy::disallowed_methods, reason = "reads what a boot left, and /proc")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::unistd::{Gid, Uid};
use zeroize::Zeroizing;

use super::account::Account;
use super::boot::environment_file;
use super::boot::environment_file::ENVIRONMENT;
use super::folder::Folder;
use super::microvm::in_first_namespace;
use super::supervise::{FETCH_NAME, MASK_NAME, NAME};

/// The default folder for files, in every session.
const FOLDER: &str = "/run/dropsafe";

pub(crate) type Variables = Vec<(OsString, Zeroizing<Vec<u8>>)>;

/// Why nothing can be entered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReceivedError {
    /// `boot` has not run, and this is no container.
    #[error("there are no secrets in {} and the first process is not a workload", .0.display())]
    Nothing(PathBuf),
    #[error("{}: {kind}", path.display())]
    Unreadable { path: PathBuf, kind: io::ErrorKind },
    #[error("{}: not as `dropsafe-agent boot` writes it", .0.display())]
    Damaged(PathBuf),
    /// The workload has not started yet, or has ended.
    #[error("the supervisor has no workload yet, or no more")]
    Gone,
    #[error(
        "the secrets are in the environment of a workload of user {0}, which that user can change: no other user may enter"
    )]
    OtherUser(Uid),
    /// Its environment is that of the user who started it, and it has the rights of another.
    #[error(
        "the workload is a program that became another user (setuid): nobody may enter with its environment"
    )]
    MixedUser,
}

impl ReceivedError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nothing(_) => Some("run `dropsafe-agent boot` first, or name its folder with --files-dir"),
            Self::Unreadable { .. } => {
                Some("enter as the user that the workload runs as (docker exec --user), or as root")
            }
            Self::Damaged(_) => Some("run `dropsafe-agent boot` again"),
            Self::Gone | Self::MixedUser => None,
            Self::OtherUser(_) => Some("leave out --user: `enter` becomes the workload's user"),
        }
    }
}

/// Where the secrets of this boot are.
pub(crate) enum ReceivedSource {
    /// The environment file of `boot`, which was read.
    Boot(Variables),
    /// The workload of a container.
    Workload(Workload),
}

/// A process. Once it has ended, reads through `folder` (its /proc/PID) fail, even if its number is used again.
pub(crate) struct Workload {
    pub(crate) pid: u32,
    folder: Folder,
}

/// Finds what this boot received. `folder` is where `boot` writes.
pub(crate) fn find(folder: &Path) -> Result<ReceivedSource, ReceivedError> {
    // The default folder too: a session has an XDG_RUNTIME_DIR of its own, and the machine's boot wrote to /run/dropsafe.
    for folder in [folder, Path::new(FOLDER)] {
        let path = folder.join(ENVIRONMENT);
        if let Some(text) = read_boot(folder, &path)? {
            let variables = environment_file::parse(&text).ok_or(ReceivedError::Damaged(path))?;
            let variables = variables.into_iter().map(|(name, value)| (name.into(), value));
            return Ok(ReceivedSource::Boot(variables.collect()));
        }
    }
    let supervised = comm(1).is_some_and(|comm| comm == NAME.to_bytes());
    // The first process of a machine is an init system and no workload, unless it is our supervisor. systemd in a container says
    // that it is an init system (sd_booted(3)).
    if !supervised && (in_first_namespace() || Path::new("/run/systemd/system").exists()) {
        return Err(ReceivedError::Nothing(folder.to_owned()));
    }
    let pid = if supervised { oldest_child(1)? } else { 1 };
    let folder = Folder::open(Path::new(&format!("/proc/{pid}"))).map_err(|_| ReceivedError::Gone)?;
    Ok(ReceivedSource::Workload(Workload { pid, folder }))
}

impl Workload {
    /// Its user and groups, and whether it can gain no privileges.
    pub(crate) fn read_account(&self) -> Result<(Account, bool), ReceivedError> {
        let status = self.folder.read("status".as_ref()).map_err(|_| ReceivedError::Gone)?;
        match parse_status(&status) {
            Some(WorkloadUser::Single(account, no_new_privs)) => Ok((account, no_new_privs)),
            Some(WorkloadUser::Mixed) => Err(ReceivedError::MixedUser),
            None => Err(ReceivedError::Gone),
        }
    }

    /// Its variables. Its own user may read them.
    pub(crate) fn read_variables(&self) -> Result<Variables, ReceivedError> {
        let environ = self.folder.read("environ".as_ref());
        let path = || format!("/proc/{}/environ", self.pid).into();
        match environ {
            Ok(text) => Ok(parse_environ(&text)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(ReceivedError::Unreadable { path: path(), kind: error.kind() })
            }
            Err(_) => Err(ReceivedError::Gone),
        }
    }
}

/// Reads proc_pid_status(5).
fn parse_status(status: &[u8]) -> Option<WorkloadUser> {
    let status = str::from_utf8(status).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::split_ascii_whitespace)
    };
    let number = |text: &str| text.parse::<u32>().ok();
    // Real, effective, saved and that of the file system. In a program that became another user (setuid), they differ, and its environment
    // is that of the user who started it.
    let single = |name: &str| {
        let mut ids = field(name)?.map(number);
        let first = ids.next()??;
        Some(ids.all(|id| id == Some(first)).then_some(first))
    };
    let (Some(uid), Some(gid)) = (single("Uid")?, single("Gid")?) else { return Some(WorkloadUser::Mixed) };
    let groups = field("Groups")?.map(number).chain([Some(gid)]).map(|gid| gid.map(Gid::from_raw));
    let account = Account {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid),
        groups: groups.collect::<Option<_>>()?,
        home: None,
    };
    let no_new_privs = field("NoNewPrivs").is_some_and(|mut value| value.next() == Some("1"));
    Some(WorkloadUser::Single(account, no_new_privs))
}

/// Whom a workload runs as.
#[derive(Debug)]
enum WorkloadUser {
    /// Its user and groups, and whether it can gain no privileges.
    Single(Account, bool),
    /// It is a program with the rights of several users.
    Mixed,
}

/// Reads what `boot` wrote. Returns `None` if it wrote nothing, or if other users can change the folder.
fn read_boot(folder: &Path, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ReceivedError> {
    let read = || {
        let folder = Folder::open(folder)?;
        // The variables decide what a program runs. A folder that other users can change is ignored, and so is another user's file.
        if folder.is_protected(None)? {
            folder.read_own(ENVIRONMENT.as_ref(), u64::MAX).map(Some)
        } else {
            Ok(None)
        }
    };
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::InvalidInput];
    match read() {
        Err(error) if absent.contains(&error.kind()) => Ok(None),
        Err(error) => Err(ReceivedError::Unreadable { path: path.to_owned(), kind: error.kind() }),
        read => Ok(read.unwrap_or_default()),
    }
}

fn comm(pid: u32) -> Option<Vec<u8>> {
    let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec())
}

/// The child of `parent` that was started first.
fn oldest_child(parent: u32) -> Result<u32, ReceivedError> {
    let entries = fs::read_dir("/proc").map_err(|_| ReceivedError::Gone)?;
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let children = processes.filter_map(|pid| {
        let (of, start) = parent_and_start(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
        (of == parent && comm(pid)? != MASK_NAME.to_bytes()).then_some((start, pid))
    });
    // By start time, since process ids are used again. Children that the supervisor adopted descend from the workload, and so are
    // younger than it.
    let oldest = children.min().map(|(_, pid)| pid).ok_or(ReceivedError::Gone)?;
    // Before execve(2), which changes the name, it is the agent and has its own environment and user.
    if comm(oldest).is_none_or(|comm| comm == FETCH_NAME.to_bytes()) {
        Err(ReceivedError::Gone)
    } else {
        Ok(oldest)
    }
}

/// Fields 4 and 22 of proc_pid_stat(5).
fn parent_and_start(stat: &[u8]) -> Option<(u32, u64)> {
    // Field 2 is the name in parentheses, which may itself contain parentheses and spaces.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> = str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Splits the content of /proc/PID/environ.
pub(crate) fn parse_environ(environ: &[u8]) -> Variables {
    let variable = |string: &[u8]| {
        // As for getenv(3), a string without `=` is no variable; the first byte belongs to the name even if it is `=`.
        let end = string.iter().skip(1).position(|byte| *byte == b'=')? + 1;
        Some((OsStr::from_bytes(&string[..end]).to_owned(), Zeroizing::new(string[end + 1..].to_vec())))
    };
    environ.split(|byte| *byte == 0).filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_whatever_it_is_called() {
        let stat = b"7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200";
        assert_eq!(parent_and_start(stat), Some((1, 4711)));
        assert_eq!(parent_and_start(b"7 (a) S 1"), None);
    }

    #[test]
    fn user_and_groups_of_a_process_are_read() {
        let status = b"Name:\tUid:\nUid:\t2\t2\t2\t2\nGid:\t6\t6\t6\t6\nGroups:\t9 10 \nNoNewPrivs:\t1\n";
        let Some(WorkloadUser::Single(account, no_new_privs)) = parse_status(status) else { panic!() };
        assert_eq!((account.uid, account.gid), (Uid::from_raw(2), Gid::from_raw(6)));
        assert_eq!(account.groups, [9, 10, 6].map(Gid::from_raw));
        assert!(no_new_privs);
        assert!(parse_status(b"Uid:\t1\n").is_none());
        assert!(parse_status(b"Uid:\t1\t1\nGid:\t1\t1\nGroups:\tx\n").is_none());
        // su(1) and its like, which a workload may have become: `enter` would be root with the workload's LD_PRELOAD.
        for mixed in ["Uid:\t1001\t0\t0\t0\nGid:\t1\t1\t1\t1\n", "Uid:\t1\t1\t1\t1\nGid:\t1\t1\t0\t1\n"] {
            let status = format!("{mixed}Groups:\t9\n");
            assert!(matches!(parse_status(status.as_bytes()), Some(WorkloadUser::Mixed)), "{mixed}");
        }
    }
}
