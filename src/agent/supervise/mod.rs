//! `exec --init`: one process stays, as the first of a container or as the reaper of everything below it, and another fetches and
//! becomes the workload. They fork before anything secret exists, so that the one that stays never holds a value.
//!
//! | file | holds |
//! |---|---|
//! | [`syscalls`] | the system calls that need `unsafe` |
//! | [`supervisor`] | forwarding signals, reaping, cleaning up |
//! | [`descendants`] | the processes that are left |
//! | [`terminal`] | job control |

pub(crate) mod descendants;
pub(crate) mod supervisor;
pub(crate) mod syscalls;
pub(crate) mod terminal;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid, getpid, setpgid};
use zeroize::Zeroize;

use self::supervisor::Supervisor;
use self::syscalls::InheritedSignals;
use self::terminal::ControllingTerminal;
use super::arguments::{AgentCommand, SupervisorArgs};
use super::mask::{MaskPipes, MaskWriter};

/// The supervisor's name in /proc/PID/comm, by which `enter` recognizes it whatever the file is called.
pub(crate) const NAME: &std::ffi::CStr = c"dropsafe-agent";
/// Signals with which people and container runtimes end a process.
const TERMINATION_SIGNALS: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
];

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
/// secret. In the supervisor, `wipe` wipes what it does not need.
pub(crate) fn start(command: &AgentCommand, wipe: impl FnOnce()) -> Result<ForkSide, SuperviseError> {
    match command {
        AgentCommand::Exec { start, .. } if start.init => fork_workload(start, wipe),
        AgentCommand::Exec { .. } => {
            let inherited = InheritedSignals::read();
            if getpid() == Pid::from_raw(1) {
                // The kernel drops signals for which the first process of a namespace has no handler (pid_namespaces(7)), and a
                // container that is stopped during the fetch would have to be killed. Without the handlers, only that time is lost.
                let _ = syscalls::exit_on(&TERMINATION_SIGNALS);
            }
            Ok(ForkSide::Workload(inherited, None))
        }
        _ => Ok(ForkSide::Workload(InheritedSignals::read(), None)),
    }
}

pub(crate) fn wipe_environment(variables: &mut Vec<(OsString, OsString)>) {
    for (_, value) in variables.drain(..) {
        value.into_vec().zeroize();
    }
}

fn fork_workload(options: &SupervisorArgs, wipe: impl FnOnce()) -> Result<ForkSide, SuperviseError> {
    let inherited = InheritedSignals::read();
    // Before fork(2), so that no signal that arrives between it and signalfd(2) is lost.
    supervisor::handled_signals().thread_block()?;
    // While it is ignored, the kernel reaps children itself and their statuses are lost (wait(2)).
    syscalls::ignore(Signal::SIGCHLD, false);
    // The first process of a PID namespace adopts orphans anyway; any other has to ask for them.
    if getpid() != Pid::from_raw(1) {
        prctl::set_child_subreaper(true)?;
    }
    let terminal = ControllingTerminal::if_foreground();
    let pipes = options.mask.then(MaskPipes::new).transpose()?;
    match syscalls::fork()? {
        ForkResult::Child => {
            give_process_group(getpid(), terminal.as_ref());
            // During the fetch, a signal ends this process as it ends any program.
            SigSet::empty().thread_set_mask()?;
            Ok(ForkSide::Workload(inherited, pipes.map(MaskPipes::into_writer)))
        }
        ForkResult::Parent { child } => {
            give_process_group(child, terminal.as_ref());
            wipe();
            hide_supervisor();
            // Forked by the supervisor and not by the workload, whose children it would be among.
            let filter = match pipes.map(fork_filter).transpose()? {
                Some(ForkResult::Child) => return Ok(ForkSide::Ended(0)),
                Some(ForkResult::Parent { child }) => Some(child),
                None => None,
            };
            let (group, grace) = (options.group, options.grace);
            let supervisor = Supervisor { workload: child, filter, group, grace, terminal };
            Ok(ForkSide::Ended(supervisor.run()?))
        }
    }
}

/// Starts the process that masks the output. In that process, returns when it has done its work.
fn fork_filter(pipes: MaskPipes) -> Result<ForkResult, SuperviseError> {
    let forked = syscalls::fork()?;
    if forked.is_child() {
        // Signals stay blocked here: the filter ends when nobody can write to it any more, and its own process group keeps the
        // terminal's signals away.
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        let _ = prctl::set_dumpable(false);
        let _ = prctl::set_name(c"dropsafe-mask");
        // If this fails, so does the output that a message would go to.
        let _ = pipes.into_filter().run();
    }
    Ok(forked)
}

/// Gives the workload a process group, and the terminal to that group.
fn give_process_group(workload: Pid, terminal: Option<&ControllingTerminal>) {
    // Parent and child both do this, as job-control shells do, since either may run first. The second call changes nothing.
    let _ = setpgid(workload, workload);
    if let Some(terminal) = terminal {
        terminal.set_foreground(workload);
    }
}

/// Hides what the supervisor was started with from a workload of the same user.
fn hide_supervisor() {
    // Best effort: the supervisor holds no value, and the ticket may be spent already.
    syscalls::wipe_variable("DROPSAFE_TICKET");
    let _ = prctl::set_dumpable(false);
    let _ = prctl::set_name(NAME);
}
