//! The supervisor's life: waits for signals one at a time, passes them on, reaps whatever ends, and when the workload has ended
//! clears up after it. No handler runs here and no value was ever in this process.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid};

use super::kernel::Change;
use super::terminal::Terminal;
use super::{descendants, kernel};

/// Those that the kernel sends to a process for what that process itself did. Blocked, they would end it all the same.
const SYNCHRONOUS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP];
/// How often processes that ended unseen (they were no children of ours) are looked for.
const LOOK: Duration = Duration::from_millis(20);
/// How often what was killed is killed again: one that was just being forked may have been missed.
const KILLS: usize = 50;

/// Whom signals are for, and what is to be cleared up after it.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The workload, the leader of a process group of its own.
    pub(crate) workload: Pid,
    /// The process that masks its output, if there is one: it ends by itself when everybody who writes to it has ended.
    pub(crate) filter: Option<Pid>,
    /// Whether signals go to the whole group.
    pub(crate) group: bool,
    /// How long what the workload left behind may take to end.
    pub(crate) grace: Duration,
    /// The terminal that was lent to it.
    pub(crate) terminal: Option<Terminal>,
}

/// Every signal that is taken one at a time instead of doing what it does.
pub(crate) fn awaited() -> SigSet {
    let mut set = SigSet::all();
    SYNCHRONOUS.into_iter().for_each(|signal| set.remove(signal));
    set
}

/// Watches until the workload and all it left behind are gone. Gives the workload's status, as shells count.
///
/// # Errors
/// The kernel has no room for a descriptor; the workload runs on.
pub(crate) fn run(watch: &Watch) -> Result<u8, Errno> {
    let signals = SignalFd::with_flags(&awaited(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let status = loop {
        wait(&signals, None);
        // SIGCHLD stands for any number of children, so they are all asked at each turn; the others come one by one.
        while let Ok(Some(signal)) = signals.read_signal() {
            if let Ok(number) = libc::c_int::try_from(signal.ssi_signo)
                && number != libc::SIGCHLD
            {
                watch.pass_on(number);
            }
        }
        if let Some(status) = watch.reap() {
            break status;
        }
    };
    if let Some(terminal) = &watch.terminal {
        terminal.take_back();
    }
    watch.clear_up(&signals);
    Ok(status)
}

impl Watch {
    fn pass_on(&self, number: libc::c_int) {
        if number == libc::SIGCONT && self.terminal.is_some() {
            return self.go_on();
        }
        let to = if self.group { self.all() } else { self.workload };
        // It may have ended; that is told by the next SIGCHLD.
        let _ = kernel::send(to, number);
    }

    /// The workload's process group. Nobody else can have its number while the workload has not been reaped.
    fn all(&self) -> Pid {
        Pid::from_raw(-self.workload.as_raw())
    }

    /// Takes all news of children; the workload's status when it has ended.
    fn reap(&self) -> Option<u8> {
        let mut ended = None;
        while let Ok(Some((pid, change))) = kernel::news() {
            match change {
                Change::Ended(status) if pid == self.workload => ended = Some(status),
                Change::Stopped(number) if pid == self.workload && ended.is_none() => self.stopped(number),
                Change::Ended(_) | Change::Stopped(_) => {}
            }
        }
        ended
    }

    /// Stops with the workload, so that the shell that started this process gets its terminal back, and goes on with it. Without
    /// a terminal nobody would ever continue this process; whoever stopped the workload continues that.
    fn stopped(&self, number: libc::c_int) {
        let Some(terminal) = &self.terminal else { return };
        if ![libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&number) {
            return;
        }
        terminal.take_back();
        // Where no shell could continue us (an orphaned group, the first process of a container) the kernel drops it, and the
        // workload goes on at once, as it would have without a supervisor.
        let stop = SigSet::from(Signal::SIGTSTP);
        kernel::ignore(Signal::SIGTSTP, false);
        let _ = kernel::send(getpid(), libc::SIGTSTP);
        let _ = stop.thread_unblock();
        let _ = stop.thread_block();
        self.go_on();
    }

    fn go_on(&self) {
        if let Some(terminal) = &self.terminal
            && terminal.is_ours()
        {
            terminal.lend(self.workload);
        }
        let _ = kernel::send(self.all(), libc::SIGCONT);
    }

    /// TERM for all that is left, a grace, KILL. The filter is no part of it until everything else is gone.
    fn clear_up(&self, signals: &SignalFd) {
        if !self.anybody() {
            return self.await_filter(signals);
        }
        self.send_all(libc::SIGTERM);
        // One that is stopped takes no notice otherwise.
        self.send_all(libc::SIGCONT);
        let end = Instant::now() + self.grace;
        while self.anybody() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.look(signals, left);
        }
        for _ in 0..KILLS {
            if !self.anybody() {
                break;
            }
            self.send_all(libc::SIGKILL);
            self.look(signals, LOOK);
        }
        self.await_filter(signals);
    }

    /// It has to write what it was given last. Where its output leads nowhere it is not waited for longer than anybody else.
    fn await_filter(&self, signals: &SignalFd) {
        let Some(filter) = self.filter else { return };
        let end = Instant::now() + self.grace.max(Duration::from_secs(1));
        while kernel::send(filter, 0).is_ok() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let _ = kernel::send(filter, libc::SIGKILL);
                return;
            }
            self.look(signals, left);
        }
    }

    /// Waits for the next child to end, no longer than `limit`, and reaps. Signals to pass on have nobody to go to.
    fn look(&self, signals: &SignalFd, limit: Duration) {
        let waits = if self.filter.is_some() { limit.min(LOOK) } else { limit };
        wait(signals, Some(waits));
        while let Ok(Some(_)) = signals.read_signal() {}
        self.reap();
    }

    /// Whether a process is left. A living descendant has a living chain up to a child of ours, so without children there is none.
    fn anybody(&self) -> bool {
        loop {
            match kernel::news() {
                Err(_) => return false,
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        let below = || descendants::below(getpid(), self.filter);
        self.filter.is_none() || below().is_some_and(|found| !found.is_empty())
    }

    fn send_all(&self, number: libc::c_int) {
        let first = getpid() == Pid::from_raw(1);
        let everybody = Pid::from_raw(-1);
        if first && self.filter.is_none() {
            // One call, so that nobody can fork away from it.
            let _ = kernel::send(everybody, number);
            return;
        }
        match descendants::below(getpid(), self.filter) {
            Some(found) => {
                for pid in found {
                    let _ = kernel::send(pid, number);
                }
            }
            // What shares the workload's group is all that can be named.
            None => {
                let _ = kernel::send(self.all(), number);
            }
        }
    }
}

fn wait(signals: &SignalFd, limit: Option<Duration>) {
    // Rounded up: a poll that returns early would only be made again.
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
    });
    // Interrupted or not, what comes next is looking.
    let _ = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_awaited_but_those_that_a_process_brings_upon_itself() {
        let set = awaited();
        for signal in Signal::iterator() {
            assert_eq!(set.contains(signal), !SYNCHRONOUS.contains(&signal), "{signal}");
        }
    }
}
