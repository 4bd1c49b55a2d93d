//! The agent as the first process that a kernel starts: `/init` of an initramfs, with nothing mounted and no other process. It mounts
//! what programs rely on, and brings the network up as the kernel's command line says. When the workload has ended, it prints the
//! status on the console and powers the machine off. Anywhere else (in a container, a namespace, a service) it does nothing.
//!
//! | file | holds |
//! |---|---|
//! | [`mounts`] | mounting `/proc`, `/sys`, `/dev`, `/run` and `/tmp`; loading the drivers of the image |
//! | [`network`] | `ip=`, for kernels that do not implement it |
//! | [`netlink`] | the three requests to the kernel that `ip=` needs |

pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod network;

use std::path::Path;
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use nix::sys::termios::tcdrain;
use nix::unistd::{Pid, getpgid, getpid, getppid, getsid, sync};

use super::log;
use super::machine::{Files, RealFiles};

/// Container runtimes mount /proc before the first process starts; the kernel does not.
const PROC: &str = "/proc/self";
/// `PROC_PID_INIT_INO` of linux/proc_ns.h: the PID namespace in which the kernel starts its first process.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
/// No kernel has a longer command line (`COMMAND_LINE_SIZE`: 2 KiB on most architectures).
const MAX_LINE: usize = 64 << 10;
/// How the machine ends: `dropsafe.end=restart` where nothing can power it off (Firecracker on x86).
const END: &str = "dropsafe.end=";

/// A machine whose first process this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MicroVm {
    end: RebootMode,
}

/// Sets the machine up, if the kernel has started this process. Returns `None` anywhere else.
pub(crate) fn set_up() -> Option<MicroVm> {
    if getpid() != Pid::from_raw(1) || Path::new(PROC).exists() || !is_started_by_kernel() {
        return None;
    }
    mounts::mount_proc().ok()?;
    if !in_first_namespace() {
        mounts::unmount_proc();
        return None;
    }
    // Faults are printed and the boot goes on: what is missing shows in a later step, and the machine must end with a status.
    for fault in mounts::mount_all() {
        log::print_line(&fault);
    }
    // Firecracker asks a machine to end by Ctrl-Alt-Del. This makes it a SIGINT for this process instead of a reset (reboot(2)).
    if let Err(errno) = set_cad_enabled(false) {
        log::print_line(&format_args!("Ctrl-Alt-Del resets the machine: {}", errno.desc()));
    }
    // It may hold the ticket, and this process stays: no copy is left in its memory.
    let line = RealFiles.text(Path::new("/proc/cmdline"), MAX_LINE).map(|line| line.text).unwrap_or_default();
    for fault in network::bring_up(&line) {
        log::print_line(&fault);
    }
    Some(MicroVm { end: parse_end(&line) })
}

impl MicroVm {
    /// Prints the status and powers off, if this is the process that the kernel started.
    pub(crate) fn shut_down(self, status: u8) {
        // The workload's side of the fork comes here too when it could not be started.
        if getpid() != Pid::from_raw(1) {
            return;
        }
        let how = if self.end == RebootMode::RB_AUTOBOOT { "restarting" } else { "powering off" };
        log::print_line(&format_args!("status {status}, {how}"));
        sync();
        // Power-off does not wait for a serial line, and the end of the message would be lost.
        let _ = tcdrain(io::stderr());
        let Err(errno) = reboot(self.end);
        log::print_line(&format_args!("the kernel refuses: {}", errno.desc()));
    }
}

/// Whether the kernel started this process, which is known without `/proc`: it also starts kthreadd, always as process 2, and kernel
/// threads are in process group and session 0. A container without `/proc` has no such process, and nothing may be mounted in it.
fn is_started_by_kernel() -> bool {
    let kthreadd = Pid::from_raw(2);
    let is_zero = |id: Result<Pid, Errno>| id == Ok(Pid::from_raw(0));
    is_zero(Ok(getppid())) && is_zero(getpgid(Some(kthreadd))) && is_zero(getsid(Some(kthreadd)))
}

/// Whether the kernel, and no container runtime, started process 1.
pub(crate) fn in_first_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == FIRST_NAMESPACE)
}

fn parse_end(line: &str) -> RebootMode {
    // The last one counts, as for most of the kernel's own words.
    match kernel_words(line).filter_map(|word| word.strip_prefix(END)).next_back() {
        Some("restart") => RebootMode::RB_AUTOBOOT,
        _ => RebootMode::RB_POWER_OFF,
    }
}

/// The words of the kernel's command line without those after `--`, which are this process's arguments.
fn kernel_words(line: &str) -> impl DoubleEndedIterator<Item = &str> {
    let kernels = line.find(" -- ").map_or(line, |end| &line[..end]);
    kernels.split_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_for_a_process_that_no_kernel_started() {
        assert_eq!(set_up(), None);
        // It returns, and the machine goes on.
        MicroVm { end: RebootMode::RB_AUTOBOOT }.shut_down(0);
    }

    #[test]
    fn a_machine_is_switched_off_unless_it_can_only_restart() {
        assert_eq!(parse_end("quiet"), RebootMode::RB_POWER_OFF);
        assert_eq!(parse_end("quiet dropsafe.end=restart reboot=k"), RebootMode::RB_AUTOBOOT);
        assert_eq!(parse_end("dropsafe.end=restart dropsafe.end=off\n"), RebootMode::RB_POWER_OFF);
        assert_eq!(parse_end("quiet -- exec /app dropsafe.end=restart"), RebootMode::RB_POWER_OFF);
    }
}
