//! The controlling terminal. The supervisor gives it to the workload as a shell gives it to a job, only while it is in the foreground
//! itself, and takes it back when the workload stops or ends. It never reads from it or writes to it.
#![expect(clippy::disallowed_methods, reason = "opens /dev/tty")]

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// The terminal that this process and the workload share with the shell that started this process.
#[derive(Debug)]
pub(crate) struct ControllingTerminal {
    file: OwnedFd,
    /// Whether the workload has the foreground that belongs to this process.
    given: Cell<bool>,
}

impl ControllingTerminal {
    /// Returns `None` if there is no terminal.
    pub(crate) fn open() -> Option<Self> {
        let terminal = Self { file: controlling()?, given: Cell::new(false) };
        // Before fork(2): afterwards, parent and child both give the terminal away, and the second sees it in other hands.
        terminal.given.set(terminal.is_foreground());
        Some(terminal)
    }

    pub(crate) fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.file) == Ok(getpgrp())
    }

    /// Puts the workload's process group in the foreground, if this process was started there.
    pub(crate) fn give(&self, group: Pid) {
        if self.given.get() {
            // Group or terminal may be gone by now; then there is nothing to give. The caller has blocked SIGTTOU: the kernel would
            // stop a background process that changes the foreground (tcsetpgrp(3)).
            let _ = tcsetpgrp(&self.file, group);
        }
    }

    /// Puts this process's own group in the foreground again, if the workload had it.
    pub(crate) fn reclaim(&self) {
        if self.given.replace(false) {
            let _ = tcsetpgrp(&self.file, getpgrp());
        }
    }

    /// Gives the terminal to the workload after a shell has continued this process.
    pub(crate) fn give_again(&self, group: Pid) {
        // `bg` continues a job without giving it the terminal.
        if self.is_foreground() {
            self.given.set(true);
            self.give(group);
        }
    }
}

impl AsRawFd for ControllingTerminal {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
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
