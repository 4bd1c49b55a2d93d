//! `exec --init`: one process stays, as the first of a container or as the reaper of everything below it, and another fetches and
//! becomes the workload. They fork before anything secret exists, so that the one that stays never holds a value.
//!
//! | file | holds |
//! |---|---|
//! | [`syscalls`] | the system calls that need `unsafe` |
//! | [`supervisor`] | forwarding signals, reaping, cleaning up |
//! | [`descendants`] | the processes that are left |
//! | [`release`] | giving up what only the workload needs |
//! | [`terminal`] | job control |

pub(crate) mod descendants;
pub(crate) mod release;
pub(crate) mod supervisor;
pub(crate) mod syscalls;
pub(crate) mod terminal;

use std::ffi::{OsString, c_int};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::unistd::{ForkResult, Pid, getpid, setpgid};
use zeroize::Zeroize;

use self::supervisor::{OutputFilter, Supervisor};
use self::syscalls::{InheritedSignals, SignalSet};
use self::terminal::ControllingTerminal;
use super::arguments::{AgentCommand, SupervisorArgs};
use super::boot_end;
use super::boot_end::EndPipe;
use super::mask::{MaskPipes, MaskWriter};
use super::ticket_file::TicketFilePipe;
use crate::crypto::memory;

/// The supervisor's name in /proc/PID/comm, by which `enter` recognizes it whatever the file is called.
pub(crate) const NAME: &std::ffi::CStr = c"dropsafe-agent";
/// The name of the process that fetches, until it becomes the workload.
pub(crate) const FETCH_NAME: &std::ffi::CStr = c"dropsafe-fetch";
/// The name of the process that masks the output.
pub(crate) const MASK_NAME: &std::ffi::CStr = c"dropsafe-mask";
/// Signals with which people and container runtimes end a process.
const TERMINATION_SIGNALS: [c_int; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGTERM];
/// Variables by which systemd tells a process that it is meant and no other: sd_listen_fds(3), sd_watchdog_enabled(3) and
/// systemd.exec(5).
const PID_VARIABLES: [&str; 3] = ["LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];
/// Says the same of the process that LISTEN_PID names, by the inode of its pidfd. It may be absent.
const PIDFD_VARIABLE: &str = "LISTEN_PIDFDID";

/// The process's environment, which Rust has copied from where the kernel put it.
type InheritedVariables = Vec<(OsString, OsString)>;

/// Which of the processes this one is.
#[derive(Debug)]
pub(crate) enum ForkSide {
    /// The one that becomes the workload, and what its output passes through.
    Workload(InheritedSignals, Option<MaskWriter>),
    /// A process that stayed and has done its work. The supervisor's status is the workload's.
    Ended(u8),
}

/// There is no supervisor. Nothing was fetched or started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot start a supervisor: {}", .0.desc())]
pub(crate) struct SuperviseError(#[from] pub(crate) Errno);

/// Forks a supervisor if `command` asks for one. The caller calls this first of all: before there is a thread, a runtime or a
/// secret. In the supervisor, `variables` are wiped; in the workload's process, they name that process.
pub(crate) fn start(
    command: &AgentCommand,
    variables: &mut InheritedVariables,
) -> Result<ForkSide, SuperviseError> {
    let AgentCommand::Exec { start, .. } = command else {
        return Ok(ForkSide::Workload(InheritedSignals::read(), None));
    };
    // Rust's runtime has a handler for these that detects stack overflows. It would swallow the first one that somebody sends.
    for number in [libc::SIGSEGV, libc::SIGBUS].into_iter().filter(|number| !syscalls::is_ignored(*number)) {
        syscalls::set_ignored(number, false);
    }
    if start.init {
        return fork_workload(start, variables);
    }
    let inherited = InheritedSignals::read();
    if getpid() == Pid::from_raw(1) {
        // The kernel drops signals for which the first process of a namespace has no handler (pid_namespaces(7)), and a
        // container that is stopped during the fetch would have to be killed. Without the handlers, only that time is lost.
        let _ = syscalls::exit_on(&TERMINATION_SIGNALS);
    }
    Ok(ForkSide::Workload(inherited, None))
}

/// What both processes have after the fork, of which each keeps its part.
struct ForkParts {
    signals: OwnedFd,
    terminal: Option<ControllingTerminal>,
    pipes: Option<MaskPipes>,
    end: Option<EndPipe>,
    ticket_file: Option<TicketFilePipe>,
    /// Whether others of this process's user could look into it.
    is_dumpable: bool,
}

fn fork_workload(
    options: &SupervisorArgs,
    variables: &mut InheritedVariables,
) -> Result<ForkSide, SuperviseError> {
    let inherited = InheritedSignals::read();
    // Before fork(2), like everything that can fail: no signal that arrives after it is lost, and no failure leaves a workload
    // without its supervisor.
    syscalls::signal_mask(Some(SignalSet::ALL))?;
    let signals = syscalls::open_signals()?;
    // While it is ignored, the kernel reaps children itself and their statuses are lost (wait(2)).
    syscalls::set_ignored(libc::SIGCHLD, false);
    // The first process of a PID namespace adopts orphans anyway; any other has to ask for them.
    if getpid() != Pid::from_raw(1) {
        prctl::set_child_subreaper(true)?;
    }
    let parts = ForkParts {
        signals,
        terminal: ControllingTerminal::open(),
        pipes: options.mask.then(MaskPipes::new).transpose()?,
        end: EndPipe::new(),
        ticket_file: TicketFilePipe::new(),
        is_dumpable: hide_environment()?,
    };
    let own = getpid();
    match syscalls::fork()? {
        ForkResult::Child => {
            identify_workload(variables, own, parts.terminal.as_ref());
            // During the fetch, a signal ends this process as it ends any program.
            syscalls::signal_mask(Some(SignalSet::NONE))?;
            parts.end.into_iter().for_each(EndPipe::become_writer);
            parts.ticket_file.into_iter().for_each(TicketFilePipe::become_writer);
            Ok(ForkSide::Workload(inherited, parts.pipes.map(MaskPipes::into_writer)))
        }
        ForkResult::Parent { child } => {
            wipe(variables);
            parts.supervise(child, options)
        }
    }
}

impl ForkParts {
    /// In the process that stays.
    fn supervise(self, workload: Pid, options: &SupervisorArgs) -> Result<ForkSide, SuperviseError> {
        let Self { signals, terminal, pipes, end, ticket_file, is_dumpable } = self;
        give_process_group(workload, terminal.as_ref());
        // A core dump of the supervisor would hold no value, but docs/agent.md says that the agent never writes one.
        let _ = memory::forbid_core_dumps();
        // Before the next fork: the filter must not inherit the writing ends, or nobody would see that they are closed.
        let end = end.map(EndPipe::become_reader);
        let ticket_file = ticket_file.map(TicketFilePipe::become_reader);
        let own = pipes.iter().flat_map(MaskPipes::descriptors).chain([signals.as_raw_fd()]);
        let own = own.chain(terminal.iter().map(AsRawFd::as_raw_fd));
        let own = own.chain(end.iter().map(AsRawFd::as_raw_fd));
        let own = own.chain(ticket_file.iter().map(AsRawFd::as_raw_fd));
        release::descriptors_except(&own.collect::<Vec<_>>());
        // Forked by the supervisor and not by the workload, whose children it would be among.
        let filter = match pipes.map(fork_filter).transpose() {
            Ok(Some(None)) => return Ok(ForkSide::Ended(0)),
            Ok(filter) => filter.flatten(),
            Err(errno) => {
                // Otherwise the workload would go on without a supervisor.
                let _ = syscalls::send_signal(workload, libc::SIGKILL);
                return Err(errno.into());
            }
        };
        let _ = prctl::set_name(NAME);
        // Docker's default capabilities include no right to look into other processes (CAP_SYS_PTRACE), and cron jobs write to
        // /proc/1/fd/1. A workload of the same user may look too: all it can gain is the credential that ends this boot.
        let _ = prctl::set_dumpable(is_dumpable);
        syscalls::release_memory();
        let (group, grace) = (options.group, options.grace);
        let supervisor =
            Supervisor { signals, workload, ticket_file, filter, group, grace, terminal, terminations: 0 };
        Ok(ForkSide::Ended(boot_end::report_after(supervisor.run(), end)))
    }
}

/// Wipes the environment where the kernel put it, and closes this process to others of its user. Returns whether it was open to them.
fn hide_environment() -> Result<bool, Errno> {
    let is_dumpable = prctl::get_dumpable()?;
    // The supervisor may be looked into only when Rust's copy is wiped as well, and nobody knows which of the two processes goes on
    // first after fork(2). For the workload's process, execve(2) reverses this.
    prctl::set_dumpable(false)?;
    syscalls::wipe_environment();
    Ok(is_dumpable)
}

/// Starts the process that masks the output, and lets the supervisor's own output pass through it: what others write to /proc/1/fd/1
/// is masked like the workload's. In that process, returns `None` when it has done its work.
fn fork_filter(pipes: MaskPipes) -> Result<Option<OutputFilter>, Errno> {
    match syscalls::fork()? {
        ForkResult::Child => {
            // Signals stay blocked here: the filter ends when nobody can write to it any more, and its own process group keeps the
            // terminal's signals away.
            let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            let _ = prctl::set_dumpable(false);
            let _ = prctl::set_name(MASK_NAME);
            // If this fails, so does the output that a message would go to.
            let _ = pipes.into_filter().run();
            Ok(None)
        }
        ForkResult::Parent { child } => OutputFilter::new(child, pipes.into_writer()).map(Some),
    }
}

/// In the process that becomes the workload: gives it a group, a name and the variables that are about it. `old` is the process that
/// they were about.
fn identify_workload(variables: &mut InheritedVariables, old: Pid, terminal: Option<&ControllingTerminal>) {
    give_process_group(getpid(), terminal);
    update_pid_variables(variables, old);
    // `enter` must not take it for the workload. execve(2) changes the name.
    let _ = prctl::set_name(FETCH_NAME);
}

/// Gives the workload a process group, and the terminal to that group.
fn give_process_group(workload: Pid, terminal: Option<&ControllingTerminal>) {
    // Parent and child both do this, as job-control shells do, since either may run first. The second call changes nothing.
    let _ = setpgid(workload, workload);
    if let Some(terminal) = terminal {
        terminal.give(workload);
    }
}

/// Replaces the process id `old` by this process's in the variables that hold it.
fn update_pid_variables(variables: &mut InheritedVariables, old: Pid) {
    let (old, new) = (old.to_string(), getpid().to_string());
    let names_old =
        |variable: &(OsString, OsString), name: &str| variable.0 == name && variable.1 == old.as_str();
    if variables.iter().any(|variable| names_old(variable, PID_VARIABLES[0])) {
        variables.retain(|(name, _)| name != PIDFD_VARIABLE);
    }
    for variable in variables {
        if PID_VARIABLES.iter().any(|name| names_old(variable, name)) {
            variable.1 = new.as_str().into();
        }
    }
}

fn wipe(variables: &mut InheritedVariables) {
    for (_, value) in variables.drain(..) {
        value.into_vec().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_that_name_the_old_process_name_the_new_one() {
        let renamed = |pairs: &[(&str, &str)]| {
            let mut variables: InheritedVariables =
                pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
            update_pid_variables(&mut variables, Pid::from_raw(1));
            variables
        };
        let own = getpid().to_string();
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        assert_eq!(
            renamed(&[("LISTEN_PID", "1"), ("LISTEN_PIDFDID", "77"), ("WATCHDOG_PID", "1"), ("N", "1")]),
            [pair("LISTEN_PID", &own), pair("WATCHDOG_PID", &own), pair("N", "1")]
        );
        // Left over from another process, which the workload must not take for itself.
        let foreign = [("LISTEN_PID", "11"), ("LISTEN_PIDFDID", "77"), ("SYSTEMD_EXEC_PID", "")];
        assert_eq!(renamed(&foreign), foreign.map(|(name, value)| pair(name, value)));
    }
}
