//! Becomes the workload, which is the last thing that the agent does. Arguments are passed on unchanged, and nothing of the agent
//! remains except its process id. No shell is involved, except for a script that names no interpreter: /bin/sh runs it, as it does
//! for every other program that starts one (execvp(3), POSIX XCU 2.9.1.6). An image whose entrypoint is such a script then needs no
//! change, and the use of the ticket, which is spent by then, is not lost.
//!
//! The kernel closes the descriptors that the agent opened: each of them has `O_CLOEXEC`. The agent passes on the descriptors that it
//! was started with: socket activation (`LISTEN_FDS`), notification sockets and job servers are meant for the workload. The signal
//! mask and the ignored signals become those that the agent was started with.
#![expect(
    clippy::disallowed_methods,
    reason = "looks whether a file that the kernel does not execute is a script"
)]

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::unistd::execve;

use super::environment::EnvironmentStrings;
use super::plan_error::display_name;
use super::supervise::syscalls::InheritedSignals;
use crate::crypto::memory;

/// Runs scripts that name no interpreter.
const SHELL: &std::ffi::CStr = c"/bin/sh";
/// How much of a file decides whether it is a script, as for bash.
const SAMPLE: usize = 80;

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
            Errno::ENOEXEC => Some("it is neither a script nor a program for this machine's processor"),
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
    let refused = match execve(&path, &arguments, environment.as_slice()) {
        Err(Errno::ENOEXEC) if is_text(program) => {
            // `--` ends the shell's own flags. The shell gives the script its path as $0 whatever the first argument was.
            let shell = [SHELL.to_owned(), c"--".to_owned(), path];
            let arguments: Vec<CString> = shell.into_iter().chain(arguments.into_iter().skip(1)).collect();
            execve(SHELL, &arguments, environment.as_slice())
        }
        refused => refused,
    };
    refused.map_err(failed)
}

/// Whether a shell would take the file for a script: no NUL byte is in its first line. Other files would be run as nonsense.
fn is_text(program: &Path) -> bool {
    let mut start = [0; SAMPLE];
    let Ok(length) = File::open(program).and_then(|mut file| file.read(&mut start)) else { return false };
    let is_program = start.starts_with(b"\x7fELF");
    !is_program && !start.iter().take(length).take_while(|byte| **byte != b'\n').any(|byte| *byte == 0)
}

/// The limit on core dumps that the workload gets, soft and hard. Default: none are written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CoreLimit(Option<(rlim_t, rlim_t)>);

impl CoreLimit {
    /// The limit that this process was started with.
    pub(crate) fn read() -> Self {
        Self(getrlimit(Resource::RLIMIT_CORE).ok())
    }

    /// Turns core dumps off for this process, which holds more than the workload gets.
    pub(crate) fn suspend(self) -> Result<(), Errno> {
        match self.0 {
            // A hard limit that is lowered cannot be raised again (setrlimit(2)).
            Some((_, hard)) => setrlimit(Resource::RLIMIT_CORE, memory::NO_CORE.min(hard), hard),
            None => memory::forbid_core_dumps(),
        }
    }

    /// Sets the limit for the workload.
    pub(crate) fn restore(self) {
        if let Some((soft, hard)) = self.0 {
            // It has been this one before.
            let _ = setrlimit(Resource::RLIMIT_CORE, soft, hard);
        }
    }
}

/// The soft stack limit in bytes, which decides how much room arguments and environment have.
pub(crate) fn stack_limit() -> u64 {
    // getrlimit(2) cannot fail for a resource that exists. If it does, execve(2) itself refuses what is too large.
    getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_programs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, expected) in [
            (&b""[..], true),
            (b"echo a\n", true),
            (b"exec tail -n +2\n\0\0", true),
            (b"\x7fELF\x02\x01\x01\0\0", false),
            (b"MZ\0", false),
        ] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(is_text(file.path()), expected, "{content:?}");
        }
        assert!(!is_text(Path::new("/nonexistent")));
    }
}
