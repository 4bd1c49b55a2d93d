//! The workload of `dev`: this program under the agent's name, as a child process. Its signals are forwarded and its exit code is
//! returned. The ticket reaches it in the environment, and the agent removes it from there.
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
use super::files::describe_io_error;
use crate::process::Exit;

/// The signals that end a serving `dev`. They are forwarded to a workload.
const FORWARDED: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// `si_code` of a signal that the kernel sent, above all for the terminal (sigaction(2)).
const SI_KERNEL: i32 = 0x80;

/// The signals of this process, read one after the other from a descriptor instead of interrupting it.
pub(crate) struct Signals {
    descriptor: SignalFd,
    blocked: SigSet,
    original: SigSet,
}

impl Signals {
    /// Blocks the signals. Call this while the process has one thread: later threads inherit the mask.
    pub(crate) fn block() -> Result<Self, CliError> {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGCHLD);
        FORWARDED.into_iter().for_each(|signal| blocked.add(signal));
        let failed = |errno: Errno| internal_error("signals cannot be blocked", errno.desc());
        let original = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
        let descriptor = SignalFd::new(&blocked).map_err(failed)?;
        Ok(Self { descriptor, blocked, original })
    }

    /// Runs `start` under the original mask, which a child inherits. Under this one it would never receive the signals.
    fn with_original_mask<T>(&self, start: impl FnOnce() -> T) -> Result<T, CliError> {
        let failed = |errno: Errno| internal_error("the signal mask cannot be changed", errno.desc());
        // A signal that is pending, or arrives meanwhile, ends this process now: as it would without `dev`.
        self.original.thread_set_mask().map_err(failed)?;
        let started = start();
        self.blocked.thread_block().map_err(failed)?;
        Ok(started)
    }

    /// Waits for the next signal. Returns it, and whether the kernel sent it.
    fn next(&self) -> Result<(Signal, bool), CliError> {
        loop {
            match self.descriptor.read_signal() {
                Ok(Some(info)) => {
                    let signal =
                        i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
                    if let Some(signal) = signal {
                        return Ok((signal, info.ssi_code == SI_KERNEL));
                    }
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(internal_error("signals cannot be read", errno.desc())),
            }
        }
    }

    /// Waits for a signal that ends a server.
    pub(crate) fn wait_for_termination(&self) -> Result<(), CliError> {
        while self.next()?.0 == Signal::SIGCHLD {}
        Ok(())
    }
}

/// Starts the agent, which executes `command`.
pub(crate) fn start(
    command: Vec<OsString>,
    ticket: &Zeroizing<String>,
    environment: &CliEnvironment,
    signals: &Signals,
) -> Result<Child, CliError> {
    // This link opens the running program even after its file was replaced or removed (proc_pid_exe(5)).
    let mut agent = Command::new("/proc/self/exe");
    agent.arg0("dropsafe-agent").arg("exec").arg("--").args(command);
    // Variables that configure a client of another store, or the agent of another machine, must not affect this boot.
    for name in environment.dropsafe_variables() {
        if name != "DROPSAFE_CONFIG" && name != "DROPSAFE_LOG" {
            agent.env_remove(name);
        }
    }
    if environment.text("DROPSAFE_CONFIG").is_none() {
        // The agent's default file belongs to this machine's own boots. An empty file turns it off.
        agent.env("DROPSAFE_CONFIG", "/dev/null");
    }
    agent.env("DROPSAFE_TICKET", ticket.as_str());
    signals
        .with_original_mask(|| agent.spawn())?
        .map_err(|error| internal_error("the agent cannot be started", &describe_io_error(&error)))
}

/// Forwards signals until the child has ended. Returns how it ended.
pub(crate) fn supervise(mut child: Child, signals: &Signals) -> Result<Exit, CliError> {
    let pid = Pid::from_raw(child.id().cast_signed());
    loop {
        // Before every wait: a child that has ended already sends no further SIGCHLD.
        let ended = child.try_wait().map_err(|error| {
            internal_error("the workload cannot be waited for", &describe_io_error(&error))
        })?;
        if let Some(status) = ended {
            return Ok(Exit::Workload(exit_code(status)));
        }
        match signals.next()? {
            (Signal::SIGCHLD, _) => {}
            // The terminal sent it to the whole foreground group, which includes the workload: it must not get it twice.
            (_, true) => {}
            // The child may have ended in between; the next turn of the loop finds out.
            (signal, false) => kill(pid, signal).unwrap_or(()),
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    // 128+n for signal n, as shells report it.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn internal_error(what: &str, why: &str) -> CliError {
    CliError::new(Exit::Internal, format_args!("{what}: {why}"))
}
