//! Becomes the workload: the last thing that the agent does. Arguments go as they came, no shell is involved, and of the agent
//! nothing stays but its process id.
//!
//! Descriptors that the agent opened are closed by the kernel (every one is opened with `O_CLOEXEC`). Those that it was started
//! with are passed on untouched: socket activation (`LISTEN_FDS`), notification sockets and job servers mean the workload.
//! The signal mask and the ignored signals are what the agent was started with.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::execve;

use super::environment::Strings;
use super::obstacle::shown;
use super::supervise::kernel::Inherited;

/// Why the kernel would not start the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", shown(path.as_os_str()), why(*errno))]
pub(crate) struct BecomeError {
    /// The program.
    pub(crate) path: PathBuf,
    /// What the kernel says.
    pub(crate) errno: Errno,
}

impl BecomeError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self.errno {
            Errno::ENOENT => Some("the program is there: its interpreter or dynamic loader is missing"),
            Errno::ENOEXEC => Some("a script must begin with #! and its interpreter; no shell is tried"),
            Errno::E2BIG => Some("deliver large values as files, or leave some out with `exclude`"),
            _ => None,
        }
    }
}

fn why(errno: Errno) -> &'static str {
    errno.desc()
}

/// Becomes `program`; returns only when that fails.
///
/// # Errors
/// What the kernel says.
pub(crate) fn workload(
    program: &Path,
    arguments: Vec<OsString>,
    environment: &Strings,
    inherited: &Inherited,
) -> Result<Infallible, BecomeError> {
    let failed = |errno| BecomeError { path: program.to_owned(), errno };
    // A NUL cannot come from a command line.
    let string = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| failed(Errno::EINVAL));
    let path = string(program.as_os_str().as_bytes().to_vec())?;
    let arguments =
        arguments.into_iter().map(|argument| string(argument.into_vec())).collect::<Result<Vec<_>, _>>()?;
    inherited.restore();
    execve(&path, &arguments, environment.as_slice()).map_err(failed)
}

/// The soft stack limit, on which the room for arguments and environment depends.
pub(crate) fn stack_limit() -> u64 {
    // It cannot fail for a resource that exists; if it does, the kernel's own answer decides.
    getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft)
}
