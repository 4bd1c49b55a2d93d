//! `exec --init`: one process stays, as the first of a container or as the reaper of what is below it, and another fetches and
//! becomes the workload. They part before anything secret exists, so the one that stays never holds a value.
//!
//! | file | what it does |
//! |---|---|
//! | [`kernel`] | the calls that need `unsafe` |
//! | [`watch`] | signals, reaping, the end |
//! | [`descendants`] | who is left |
//! | [`terminal`] | job control |

pub(crate) mod descendants;
pub(crate) mod kernel;
pub(crate) mod terminal;
pub(crate) mod watch;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid, getpid, setpgid};
use zeroize::Zeroize;

use self::kernel::Inherited;
use self::terminal::Terminal;
use self::watch::Watch;
use super::flags::Action;
use super::mask::{Masking, Pipes};

/// What the supervisor is asked to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Whether signals go to the workload's process group instead of to the workload alone.
    pub(crate) group: bool,
    /// How long what the workload left behind may take to end.
    pub(crate) grace: Duration,
    /// Whether values are replaced in what it prints.
    pub(crate) mask: bool,
}

/// Which process this is, afterwards.
#[derive(Debug)]
pub(crate) enum Side {
    /// The one that is to become the workload, and what it prints through.
    Workload(Inherited, Option<Masking>),
    /// One that stayed, and has nothing left to do: this is its status, the workload's for the supervisor.
    Ended(u8),
}

/// Why there is no supervisor. Nothing was fetched or started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a supervisor cannot be started: {}", .0.desc())]
pub(crate) struct SuperviseError(#[from] pub(crate) Errno);

/// The first thing that the agent does, whatever it is to do. `forget` wipes what a supervisor has no need of.
///
/// # Errors
/// There is no supervisor and one was asked for.
pub(crate) fn begin(action: &Action, forget: impl FnOnce()) -> Result<Side, SuperviseError> {
    match action {
        Action::Exec { start, .. } if start.init => {
            part(&Plan { group: start.group, grace: start.grace, mask: start.mask }, forget)
        }
        Action::Exec { .. } => {
            let inherited = Inherited::read();
            if getpid() == Pid::from_raw(1) {
                // The kernel spares the first process what it has not asked for: a container that is stopped while this
                // still fetches would have to be killed. That it cannot be had costs that time and nothing else.
                let _ = kernel::end_on(&ENDING);
            }
            Ok(Side::Workload(inherited, None))
        }
        _ => Ok(Side::Workload(Inherited::read(), None)),
    }
}

/// Signals with which people and runtimes end a process.
const ENDING: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
];

/// Wipes an environment.
pub(crate) fn forget(variables: &mut Vec<(OsString, OsString)>) {
    for (_, value) in variables.drain(..) {
        value.into_vec().zeroize();
    }
}

/// Parts in two. To be called before there is a thread, a runtime, or a secret. `forget` wipes what the supervisor has no need of.
///
/// # Errors
/// The kernel has no room for another process.
fn part(plan: &Plan, forget: impl FnOnce()) -> Result<Side, SuperviseError> {
    let inherited = Inherited::read();
    watch::awaited().thread_block()?;
    // Ignored, it would take away the statuses of children (wait(2)).
    kernel::ignore(Signal::SIGCHLD, false);
    if getpid() != Pid::from_raw(1) {
        prctl::set_child_subreaper(true)?;
    }
    let terminal = Terminal::ours();
    let pipes = plan.mask.then(Pipes::new).transpose()?;
    match kernel::fork()? {
        ForkResult::Child => {
            let own = getpid();
            settle(own, terminal.as_ref());
            // While it fetches, any signal ends it as it would end any program.
            SigSet::empty().thread_set_mask()?;
            Ok(Side::Workload(inherited, pipes.map(Pipes::write_side)))
        }
        ForkResult::Parent { child } => {
            settle(child, terminal.as_ref());
            forget();
            hide();
            let filter = match pipes.map(filter).transpose()? {
                Some(ForkResult::Child) => return Ok(Side::Ended(0)),
                Some(ForkResult::Parent { child }) => Some(child),
                None => None,
            };
            let watch = Watch { workload: child, filter, group: plan.group, grace: plan.grace, terminal };
            Ok(Side::Ended(watch::run(&watch)?))
        }
    }
}

/// Starts the process that masks; in that process, returns when it is done. Signals stay blocked there: it ends when its work
/// does, and its own group keeps the terminal's away from it.
fn filter(pipes: Pipes) -> Result<ForkResult, SuperviseError> {
    let forked = kernel::fork()?;
    if forked.is_child() {
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        let _ = prctl::set_dumpable(false);
        let _ = prctl::set_name(c"dropsafe-mask");
        // Nobody is left to tell: what it printed to is what it would tell.
        let _ = pipes.read_side().run();
    }
    Ok(forked)
}

/// Gives the workload a process group, and that the terminal. Both sides do it, since either may be the first to run; for the
/// second it is done already.
fn settle(workload: Pid, terminal: Option<&Terminal>) {
    let _ = setpgid(workload, workload);
    if let Some(terminal) = terminal {
        terminal.lend(workload);
    }
}

/// The workload may run as the same user: what this process was started with is none of its business. Best effort, as the
/// supervisor holds no value.
fn hide() {
    kernel::wipe_variable("DROPSAFE_TICKET");
    let _ = prctl::set_dumpable(false);
    // By this name `enter` knows a supervisor, whatever the file is called.
    let _ = prctl::set_name(NAME);
}

/// The supervisor's name in /proc/PID/comm.
pub(crate) const NAME: &std::ffi::CStr = c"dropsafe-agent";
