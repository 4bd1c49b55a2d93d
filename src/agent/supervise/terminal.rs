//! The controlling terminal. The supervisor gives it to the workload as a shell gives it to a job, only while it is in the foreground
//! itself, and takes it back when the workload stops or ends. It never reads from it or writes to it.
#![expect(clippy::disallowed_methods, reason = "opens /dev/tty")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// The terminal in whose foreground this process was started.
#[derive(Debug)]
pub(crate) struct ControllingTerminal(OwnedFd);

impl ControllingTerminal {
    /// Returns `None` if there is no terminal, or another process group is in its foreground.
    pub(crate) fn if_foreground() -> Option<Self> {
        // The caller has blocked SIGTTOU: the kernel would stop a background process that changes the foreground (tcsetpgrp(3)).
        let terminal = Self(controlling()?);
        terminal.is_foreground().then_some(terminal)
    }

    pub(crate) fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.0) == Ok(getpgrp())
    }

    /// Puts a process group in the foreground.
    pub(crate) fn set_foreground(&self, group: Pid) {
        // Group or terminal may be gone by now; then there is nothing to give.
        let _ = tcsetpgrp(&self.0, group);
    }

    /// Puts this process's own group in the foreground.
    pub(crate) fn reclaim(&self) {
        self.set_foreground(getpgrp());
    }
}

fn controlling() -> Option<OwnedFd> {
    // O_NOCTTY: opening a terminal must not make it the controlling one.
    let named = OpenOptions::new().read(true).custom_flags(OFlag::O_NOCTTY.bits()).open("/dev/tty");
    if let Ok(file) = named {
        return Some(file.into());
    }
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let standard = [input.as_fd(), output.as_fd(), error.as_fd()];
    // A container may have no /dev/tty and still have its terminal on one of these. tcgetpgrp(3) succeeds for the controlling
    // terminal only.
    standard.into_iter().find(|fd| tcgetpgrp(fd).is_ok())?.try_clone_to_owned().ok()
}
