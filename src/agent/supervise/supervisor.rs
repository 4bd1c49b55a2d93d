//! The supervisor: waits for signals one at a time, forwards them, reaps processes, and cleans up after the workload has ended. No
//! signal handler runs here, and no value was ever in this process.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid};

use super::syscalls::ChildEvent;
use super::terminal::ControllingTerminal;
use super::{descendants, syscalls};

/// Signals that the kernel sends to a process because of its own instructions. It kills a process that blocks them (signal(7)).
const SYNCHRONOUS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP];
/// How often to look for processes whose end sends no SIGCHLD here, since they are not our children.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often to repeat SIGKILL: a process that was being forked during the first round may have been missed.
const MAX_KILLS: usize = 50;
/// The least time for the filter to write its last output.
const MIN_FILTER_GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Supervisor {
    /// The leader of a process group of its own.
    pub(crate) workload: Pid,
    /// The process that masks the output, if there is one. It ends by itself when every process that writes to it has ended.
    pub(crate) filter: Option<Pid>,
    /// Whether to send signals to the workload's whole process group.
    pub(crate) group: bool,
    /// How long the processes that the workload leaves behind may take to end.
    pub(crate) grace: Duration,
    /// The terminal that the workload has.
    pub(crate) terminal: Option<ControllingTerminal>,
}

/// Every signal that the supervisor reads instead of being interrupted or ended by it.
pub(crate) fn handled_signals() -> SigSet {
    let mut set = SigSet::all();
    SYNCHRONOUS.into_iter().for_each(|signal| set.remove(signal));
    set
}

impl Supervisor {
    /// Supervises until the workload and everything that it left behind have ended. Returns the workload's status, as a shell
    /// counts.
    ///
    /// # Errors
    /// The kernel is out of descriptors. The workload keeps running.
    pub(crate) fn run(&self) -> Result<u8, Errno> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&handled_signals(), flags)?;
        let status = loop {
            wait(&signals, None);
            // One pending SIGCHLD stands for any number of children, so `reap` asks about all of them. Real-time signals queue.
            while let Ok(Some(signal)) = signals.read_signal() {
                if let Ok(number) = libc::c_int::try_from(signal.ssi_signo)
                    && number != libc::SIGCHLD
                {
                    self.forward(number);
                }
            }
            if let Some(status) = self.reap() {
                break status;
            }
        };
        if let Some(terminal) = &self.terminal {
            terminal.reclaim();
        }
        self.clean_up(&signals);
        Ok(status)
    }

    fn forward(&self, number: libc::c_int) {
        // A shell that continues a job sends SIGCONT to the job's process group, and the workload is in another one.
        if number == libc::SIGCONT && self.terminal.is_some() {
            return self.resume();
        }
        let to = if self.group { self.workload_group() } else { self.workload };
        // If the workload has just ended, the next SIGCHLD says so.
        let _ = syscalls::send_signal(to, number);
    }

    fn workload_group(&self) -> Pid {
        // No other process can have this number while the workload has not been reaped.
        Pid::from_raw(-self.workload.as_raw())
    }

    /// Handles all events of children. Returns the workload's status if it has ended.
    fn reap(&self) -> Option<u8> {
        let mut ended = None;
        while let Ok(Some((pid, event))) = syscalls::next_child_event() {
            match event {
                ChildEvent::Ended(status) if pid == self.workload => ended = Some(status),
                ChildEvent::Stopped(number) if pid == self.workload && ended.is_none() => {
                    self.stop_along(number);
                }
                ChildEvent::Ended(_) | ChildEvent::Stopped(_) => {}
            }
        }
        ended
    }

    /// Stops together with the workload, so that the shell that started this process gets its terminal back.
    fn stop_along(&self, number: libc::c_int) {
        // Without a terminal nobody would continue this process; whoever stopped the workload continues the workload.
        let Some(terminal) = &self.terminal else { return };
        if ![libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&number) {
            return;
        }
        terminal.reclaim();
        // Not SIGSTOP: the kernel drops SIGTSTP where no shell could continue this process (an orphaned process group, the first
        // process of a container), and then the workload continues at once, as it would without a supervisor.
        let stop = SigSet::from(Signal::SIGTSTP);
        syscalls::ignore(Signal::SIGTSTP, false);
        let _ = syscalls::send_signal(getpid(), libc::SIGTSTP);
        // The signal is delivered, and stops this process, as soon as it is not blocked.
        let _ = stop.thread_unblock();
        let _ = stop.thread_block();
        self.resume();
    }

    fn resume(&self) {
        // `bg` continues a job without giving it the terminal.
        if let Some(terminal) = &self.terminal
            && terminal.is_foreground()
        {
            terminal.set_foreground(self.workload);
        }
        let _ = syscalls::send_signal(self.workload_group(), libc::SIGCONT);
    }

    /// Ends everything that is left: SIGTERM, the grace period, SIGKILL.
    fn clean_up(&self, signals: &SignalFd) {
        if !self.any_left() {
            return self.wait_for_filter(signals);
        }
        self.signal_all(libc::SIGTERM);
        // A stopped process handles SIGTERM only after it continues.
        self.signal_all(libc::SIGCONT);
        let end = Instant::now() + self.grace;
        while self.any_left() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait_and_reap(signals, left);
        }
        for _ in 0..MAX_KILLS {
            if !self.any_left() {
                break;
            }
            self.signal_all(libc::SIGKILL);
            self.wait_and_reap(signals, POLL_INTERVAL);
        }
        self.wait_for_filter(signals);
    }

    fn wait_for_filter(&self, signals: &SignalFd) {
        // Last, since it writes what the others printed before they ended. If its own output is stuck, it is killed like the others.
        let Some(filter) = self.filter else { return };
        let end = Instant::now() + self.grace.max(MIN_FILTER_GRACE);
        while syscalls::send_signal(filter, 0).is_ok() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let _ = syscalls::send_signal(filter, libc::SIGKILL);
                return;
            }
            self.wait_and_reap(signals, left);
        }
    }

    /// Waits until a child ends, for at most `limit`, and reaps.
    fn wait_and_reap(&self, signals: &SignalFd, limit: Duration) {
        let waits = if self.filter.is_some() { limit.min(POLL_INTERVAL) } else { limit };
        wait(signals, Some(waits));
        // There is no workload any more that they could be forwarded to.
        while let Ok(Some(_)) = signals.read_signal() {}
        self.reap();
    }

    fn any_left(&self) -> bool {
        loop {
            match syscalls::next_child_event() {
                // Without children there are no descendants: each of those would have been adopted when its parent ended.
                Err(_) => return false,
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        // With a filter there is always a child, so that the process table has to be searched.
        let left = || descendants::find(getpid(), self.filter);
        self.filter.is_none() || left().is_some_and(|found| !found.is_empty())
    }

    fn signal_all(&self, number: libc::c_int) {
        let first = getpid() == Pid::from_raw(1);
        if first && self.filter.is_none() {
            // One call for every process but this one, so that no process can fork in between and escape.
            let _ = syscalls::send_signal(Pid::from_raw(-1), number);
            return;
        }
        match descendants::find(getpid(), self.filter) {
            Some(found) => {
                for pid in found {
                    let _ = syscalls::send_signal(pid, number);
                }
            }
            // Without /proc, only the workload's own group can be found.
            None => {
                let _ = syscalls::send_signal(self.workload_group(), number);
            }
        }
    }
}

fn wait(signals: &SignalFd, limit: Option<Duration>) {
    // Rounded up: poll(2) counts in milliseconds, and would return too early for the caller's clock.
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
    });
    // An interruption needs no handling: the caller reads the signals in any case.
    let _ = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_handled_except_synchronous_ones() {
        let set = handled_signals();
        for signal in Signal::iterator() {
            assert_eq!(set.contains(signal), !SYNCHRONOUS.contains(&signal), "{signal}");
        }
    }
}
