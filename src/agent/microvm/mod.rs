//! The agent as the first process that a kernel starts: `/init` of an initramfs, with nothing mounted and nobody else there. It
//! mounts what programs count on, brings the network up as the kernel's command line says, and when everything is over tells the
//! status on the console and powers the machine off. Anywhere else (a container, a namespace, a service) it does nothing at all.
//!
//! | file | what it does |
//! |---|---|
//! | [`mounts`] | `/proc`, `/sys`, `/dev`, `/run`, `/tmp`; the drivers that the image brings along |
//! | [`network`] | `ip=`, for kernels that do not read it themselves |
//! | [`netlink`] | the three requests to the kernel that this takes |
#![expect(clippy::disallowed_methods, reason = "reads /proc")]

pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod network;

use std::path::Path;
use std::{fs, io};

use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use nix::sys::termios::tcdrain;
use nix::unistd::{Pid, getpid, sync};

use super::log;

/// Every container runtime mounts it before the first process starts; no kernel does.
const PROC: &str = "/proc/self";
/// `PROC_PID_INIT_INO` of linux/proc_ns.h: the namespace that a kernel starts its first process in.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
/// How the machine ends: `dropsafe.end=restart` where there is nothing that could switch it off (Firecracker on x86).
const END: &str = "dropsafe.end=";

/// A machine that this process answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    end: RebootMode,
}

/// Sets the machine up, if a kernel has started this process; `None` anywhere else. What cannot be had is told on the console,
/// and the boot goes on: what is missing shows in what fails next, and the machine is to end with a status in any case.
pub(crate) fn begin() -> Option<Machine> {
    if getpid() != Pid::from_raw(1) || Path::new(PROC).exists() {
        return None;
    }
    // In a container without /proc this is refused, or shows whose first process this is.
    mounts::proc().ok()?;
    if !in_first_namespace() {
        return None;
    }
    for fault in mounts::all() {
        log::note(&fault);
    }
    // Ctrl-Alt-Del, which is how Firecracker asks a machine to end, becomes a SIGINT for this process.
    if let Err(errno) = set_cad_enabled(false) {
        log::note(&format_args!("Ctrl-Alt-Del restarts at once: {}", errno.desc()));
    }
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    for fault in network::bring_up(&line) {
        log::note(&fault);
    }
    Some(Machine { end: end_of(&line) })
}

impl Machine {
    /// Tells the status and powers off, if this is the process that the kernel started; any other goes on to its own end.
    pub(crate) fn end(self, status: u8) {
        if getpid() != Pid::from_raw(1) {
            return;
        }
        let how = if self.end == RebootMode::RB_AUTOBOOT { "restarting" } else { "powering off" };
        log::note(&format_args!("status {status}, {how}"));
        sync();
        // What is still on its way to the console would be lost.
        let _ = tcdrain(io::stderr());
        let Err(errno) = reboot(self.end);
        log::note(&format_args!("that is refused: {}", errno.desc()));
    }
}

/// Whether process 1 is one that a kernel started, and no container runtime.
pub(crate) fn in_first_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == FIRST_NAMESPACE)
}

/// A later word overrides an earlier one, as with the kernel's own.
fn end_of(line: &str) -> RebootMode {
    match words(line).filter_map(|word| word.strip_prefix(END)).next_back() {
        Some("restart") => RebootMode::RB_AUTOBOOT,
        _ => RebootMode::RB_POWER_OFF,
    }
}

/// The kernel's own words: what follows `--` is for this process.
fn words(line: &str) -> impl DoubleEndedIterator<Item = &str> {
    let kernels = line.find(" -- ").map_or(line, |end| &line[..end]);
    kernels.split_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_for_a_process_that_no_kernel_started() {
        assert_eq!(begin(), None);
        // It returns, and the machine goes on.
        Machine { end: RebootMode::RB_AUTOBOOT }.end(0);
    }

    #[test]
    fn a_machine_is_switched_off_unless_it_can_only_restart() {
        assert_eq!(end_of("quiet"), RebootMode::RB_POWER_OFF);
        assert_eq!(end_of("quiet dropsafe.end=restart reboot=k"), RebootMode::RB_AUTOBOOT);
        assert_eq!(end_of("dropsafe.end=restart dropsafe.end=off\n"), RebootMode::RB_POWER_OFF);
        assert_eq!(end_of("quiet -- exec /app dropsafe.end=restart"), RebootMode::RB_POWER_OFF);
    }
}
