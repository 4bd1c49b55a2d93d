//! The controlling terminal, lent to the workload as a shell lends it to a job: only while it is ours to lend, and taken back
//! when the workload stops or ends. It never reads or writes there.
#![expect(clippy::disallowed_methods, reason = "opens /dev/tty")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// The terminal in whose foreground this process was started.
#[derive(Debug)]
pub(crate) struct Terminal(OwnedFd);

impl Terminal {
    /// `None` when there is none, or when somebody else is in its foreground. SIGTTOU must be blocked from here on: the kernel
    /// would stop whoever reaches for the terminal from the background.
    pub(crate) fn ours() -> Option<Self> {
        let terminal = Self(controlling()?);
        terminal.is_ours().then_some(terminal)
    }

    /// Whether this process's group is in the foreground.
    pub(crate) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.0) == Ok(getpgrp())
    }

    /// Puts a process group in the foreground. That it is gone by now, or the terminal is, matters to nobody.
    pub(crate) fn lend(&self, group: Pid) {
        let _ = tcsetpgrp(&self.0, group);
    }

    /// Puts this process's own group there.
    pub(crate) fn take_back(&self) {
        self.lend(getpgrp());
    }
}

/// A container without /dev/tty has it on one of these, if at all.
fn controlling() -> Option<OwnedFd> {
    let named = OpenOptions::new().read(true).custom_flags(OFlag::O_NOCTTY.bits()).open("/dev/tty");
    if let Ok(file) = named {
        return Some(file.into());
    }
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let standard = [input.as_fd(), output.as_fd(), error.as_fd()];
    // tcgetpgrp(3) answers for the controlling terminal alone.
    standard.into_iter().find(|fd| tcgetpgrp(fd).is_ok())?.try_clone_to_owned().ok()
}
