//! Becomes the workload, which is the last thing that the agent does. Arguments are passed on unchanged, no shell is involved, and
//! nothing of the agent remains except its process id.
//!
//! The kernel closes the descriptors that the agent opened: each of them has `O_CLOEXEC`. The agent passes on the descriptors that it
//! was started with: socket activation (`LISTEN_FDS`), notification sockets and job servers are meant for the workload. The signal
//! mask and the ignored signals become those that the agent was started with.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::execve;

use super::environment::EnvironmentStrings;
use super::plan_error::display_name;
use super::supervise::syscalls::InheritedSignals;

/// The kernel did not execute the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", display_name(path.as_os_str()), errno.desc())]
pub(crate) struct ExecveError {
    pub(crate) path: PathBuf,
    pub(crate) errno: Errno,
}

impl ExecveError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self.errno {
            // The program itself was found a moment ago; execve(2) says ENOENT for its interpreter as well.
            Errno::ENOENT => Some("the program exists; its interpreter or dynamic loader does not"),
            Errno::ENOEXEC => Some("a script must start with #! and its interpreter; no shell is tried"),
            Errno::E2BIG => Some("deliver large values as files, or exclude some with `exclude`"),
            _ => None,
        }
    }
}

/// Replaces this process by `program`; returns only if that fails.
pub(crate) fn replace_process(
    program: &Path,
    arguments: Vec<OsString>,
    environment: &EnvironmentStrings,
    inherited: &InheritedSignals,
) -> Result<Infallible, ExecveError> {
    let failed = |errno| ExecveError { path: program.to_owned(), errno };
    // An argument cannot contain a NUL, since it came from a command line.
    let string = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| failed(Errno::EINVAL));
    let path = string(program.as_os_str().as_bytes().to_vec())?;
    let arguments =
        arguments.into_iter().map(|argument| string(argument.into_vec())).collect::<Result<Vec<_>, _>>()?;
    // As late as possible: while SIGPIPE is ignored, a connection that closes is an error and does not kill the agent.
    inherited.restore();
    execve(&path, &arguments, environment.as_slice()).map_err(failed)
}

/// The soft stack limit in bytes, which decides how much room arguments and environment have.
pub(crate) fn stack_limit() -> u64 {
    // getrlimit(2) cannot fail for a resource that exists. If it does, execve(2) itself refuses what is too large.
    getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft)
}
