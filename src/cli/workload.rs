//! The workload of `dev`: this very program under the agent's name, as a child whose signals and status are passed on.
//! The ticket reaches it in its environment, from which the agent removes it.
#![expect(clippy::disallowed_methods, reason = "the one place where the command line starts a process")]

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use zeroize::Zeroizing;

use super::environment::CliEnvironment;
use super::error::CliError;
use super::files::why;
use crate::process::Exit;

/// What ends a serving `dev`, and is passed on to a workload.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// `si_code` of a signal that the kernel itself sends, the terminal's above all (sigaction(2)).
const FROM_KERNEL: i32 = 0x80;

/// The signals that concern `dev`, taken one after another instead of interrupting.
pub(crate) struct Signals {
    arriving: SignalFd,
    taken: SigSet,
    before: SigSet,
}

impl Signals {
    /// Takes them over. To be called while this process has one thread: later ones inherit what is blocked.
    pub(crate) fn take() -> Result<Self, CliError> {
        let mut taken = SigSet::empty();
        taken.add(Signal::SIGCHLD);
        ENDING.into_iter().for_each(|signal| taken.add(signal));
        let failed = |errno: Errno| defect("signals cannot be taken", errno.desc());
        let before = taken.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
        let arriving = SignalFd::new(&taken).map_err(failed)?;
        Ok(Self { arriving, taken, before })
    }

    /// Does `start` with the mask of before: a child inherits it, and would otherwise never see these signals. One that
    /// arrives meanwhile, or has arrived and waits, ends this process as if it had not been taken.
    fn released<T>(&self, start: impl FnOnce() -> T) -> Result<T, CliError> {
        let failed = |errno: Errno| defect("signals cannot be passed on", errno.desc());
        self.before.thread_set_mask().map_err(failed)?;
        let started = start();
        self.taken.thread_block().map_err(failed)?;
        Ok(started)
    }

    /// The next one, and whether the kernel sent it.
    fn next(&self) -> Result<(Signal, bool), CliError> {
        loop {
            match self.arriving.read_signal() {
                Ok(Some(info)) => {
                    let signal =
                        i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
                    if let Some(signal) = signal {
                        return Ok((signal, info.ssi_code == FROM_KERNEL));
                    }
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(defect("signals cannot be read", errno.desc())),
            }
        }
    }

    /// Waits for one that ends a server.
    pub(crate) fn wait(&self) -> Result<(), CliError> {
        while self.next()?.0 == Signal::SIGCHLD {}
        Ok(())
    }
}

/// Starts the agent, which becomes `command`.
pub(crate) fn start(
    command: Vec<OsString>,
    ticket: &Zeroizing<String>,
    environment: &CliEnvironment,
    signals: &Signals,
) -> Result<Child, CliError> {
    // The link names this program even after its file was replaced or removed (proc_pid_exe(5)).
    let mut agent = Command::new("/proc/self/exe");
    agent.arg0("dropsafe-agent").arg("exec").arg("--").args(command);
    // What configures another store's client or another machine's agent has no say in this boot.
    for name in environment.own_names() {
        let kept = name == "DROPSAFE_CONFIG" || name == "DROPSAFE_LOG";
        if !kept {
            agent.env_remove(name);
        }
    }
    if environment.text("DROPSAFE_CONFIG").is_none() {
        agent.env("DROPSAFE_CONFIG", "/dev/null");
    }
    agent.env("DROPSAFE_TICKET", ticket.as_str());
    signals.released(|| agent.spawn())?.map_err(|error| defect("the agent cannot be started", &why(&error)))
}

/// Passes signals on until the child has ended, and tells how.
pub(crate) fn accompany(mut child: Child, signals: &Signals) -> Result<Exit, CliError> {
    let pid = Pid::from_raw(child.id().cast_signed());
    loop {
        if let Some(status) =
            child.try_wait().map_err(|error| defect("the workload is lost", &why(&error)))?
        {
            return Ok(Exit::Workload(code(status)));
        }
        match signals.next()? {
            (Signal::SIGCHLD, _) => {}
            // The terminal has already sent it to the whole foreground group, the workload included.
            (_, true) => {}
            (signal, false) => kill(pid, signal).unwrap_or(()),
        }
    }
}

/// As a shell tells it: 128+n for signal n.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn defect(what: &str, why: &str) -> CliError {
    CliError::new(Exit::Internal, format_args!("{what}: {why}"))
}
