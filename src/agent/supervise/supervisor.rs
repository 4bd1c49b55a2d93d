//! The supervisor: waits for signals one at a time, forwards them, reaps processes, and cleans up after the workload has ended. No
//! signal handler runs here, and no value was ever in this process.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, dup, dup2_stderr, dup2_stdout, getpgid, getpid, getsid, read};

use super::syscalls::ChildEvent;
use super::terminal::ControllingTerminal;
use super::{descendants, syscalls};
use crate::agent::mask::MaskWriter;
use crate::agent::ticket_file::PendingDeletion;

/// How often to look for processes whose end sends no SIGCHLD here, since they are not our children.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long to repeat SIGKILL: a process that was being forked during the first round may have been missed.
const KILLING: Duration = Duration::from_secs(1);
/// The least time for the filter to write its last output.
const MIN_FILTER_GRACE: Duration = Duration::from_secs(1);
/// Without /proc: how long the filter may take to end by itself before everything is told to end.
const NO_PROC_GRACE: Duration = Duration::from_millis(200);
/// How many signals are read at once.
const BATCH: usize = 8;
/// The size of `struct signalfd_siginfo`, whose first field is the number (signalfd(2)).
const SIGNAL_INFO: usize = 128;

#[derive(Debug)]
pub(crate) struct Supervisor {
    /// Every signal that this process gets. All of them are blocked.
    pub(crate) signals: OwnedFd,
    /// The leader of a process group of its own.
    pub(crate) workload: Pid,
    /// Until the workload runs: its ticket file, which may have to be deleted then.
    pub(crate) ticket_file: Option<PendingDeletion>,
    pub(crate) filter: Option<OutputFilter>,
    /// Whether to send signals to the workload's whole process group.
    pub(crate) group: bool,
    /// How long the processes that the workload leaves behind may take to end.
    pub(crate) grace: Duration,
    /// The terminal that the workload has.
    pub(crate) terminal: Option<ControllingTerminal>,
    /// How many SIGTERMs have arrived.
    pub(crate) terminations: usize,
}

/// The process that masks the output. It ends by itself when no process can write to it any more.
#[derive(Debug)]
pub(crate) struct OutputFilter {
    pid: Pid,
    /// What this process was started with.
    output: OwnedFd,
    error: OwnedFd,
}

impl OutputFilter {
    /// Redirects this process's output to the filter.
    pub(crate) fn new(pid: Pid, writer: MaskWriter) -> Result<Self, Errno> {
        let filter = Self { pid, output: dup(io::stdout())?, error: dup(io::stderr())? };
        writer.redirect()?;
        Ok(filter)
    }

    /// Gives this process its own output back, so that it keeps the filter from ending no longer.
    fn detach(&self) {
        let _ = dup2_stdout(&self.output);
        let _ = dup2_stderr(&self.error);
    }
}

impl Supervisor {
    /// Supervises until the workload and everything that it left behind have ended. Returns the workload's status, as a shell
    /// counts.
    pub(crate) fn run(mut self) -> u8 {
        let status = loop {
            self.watch_start();
            for number in self.read_signals() {
                self.forward(number);
            }
            // One pending SIGCHLD stands for any number of children, so `reap` asks about all of them. Real-time signals queue.
            if let Some(status) = self.reap() {
                break status;
            }
        };
        if let Some(terminal) = &self.terminal {
            terminal.reclaim();
        }
        self.clean_up();
        status
    }

    /// Until the workload runs: waits for that or for a signal.
    fn watch_start(&mut self) {
        let Some(pending) = &self.ticket_file else { return };
        // poll(2) always reports that the other end is closed.
        let mut ready = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(pending.as_fd(), PollFlags::empty()),
        ];
        let polled = poll(&mut ready, PollTimeout::NONE);
        if polled.is_ok() && ready[1].any() == Some(true) {
            self.ticket_file.take().into_iter().for_each(PendingDeletion::workload_runs);
        }
    }

    /// Waits for signals.
    fn read_signals(&self) -> impl Iterator<Item = c_int> + use<> {
        let mut infos = [[0; SIGNAL_INFO]; BATCH];
        // Interrupted if this process was stopped and continued.
        let length = read(&self.signals, infos.as_flattened_mut()).unwrap_or(0);
        infos
            .into_iter()
            .take(length / SIGNAL_INFO)
            .map(|[a, b, c, d, ..]| c_int::from_ne_bytes([a, b, c, d]))
    }

    fn forward(&mut self, number: c_int) {
        match number {
            libc::SIGCHLD => {}
            libc::SIGCONT => self.resume(),
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU if is_job() => {
                // With a group, SIGSTOP, which nobody can handle: a job that is stopped in part is neither running nor stopped.
                self.send(if self.group { libc::SIGSTOP } else { number });
                self.stop(libc::SIGSTOP);
            }
            _ => {
                self.terminations += usize::from(number == libc::SIGTERM);
                self.send(number);
            }
        }
    }

    /// Sends a signal to the workload, or to its process group if that was asked for.
    fn send(&self, number: c_int) {
        let reached = self.group && self.send_to_group(number);
        if !reached {
            // If the workload has just ended, the next SIGCHLD says so.
            let _ = syscalls::send_signal(self.workload, number);
        }
    }

    /// Returns whether the workload was among those that the signal was sent to.
    fn send_to_group(&self, number: c_int) -> bool {
        // The workload may have joined another group since, and others may still be in its own.
        syscalls::send_signal(self.workload_group(), number).is_ok()
            && getpgid(Some(self.workload)) == Ok(self.workload)
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
                ChildEvent::Stopped(libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
                    if pid == self.workload && ended.is_none() =>
                {
                    self.stop_along();
                }
                ChildEvent::Ended(_) | ChildEvent::Stopped(_) => {}
            }
        }
        ended
    }

    /// Stops after the terminal has stopped the workload.
    fn stop_along(&self) {
        // Without a terminal nobody would continue this process; the process that stopped the workload also continues it.
        let Some(terminal) = &self.terminal else { return };
        // Not SIGSTOP: the kernel drops SIGTSTP where no shell could continue this process (an orphaned process group, the first
        // process of a container), and then the workload continues at once, as it would without a supervisor.
        self.stop(libc::SIGTSTP);
        // Without the foreground, it would only be stopped again. If a shell has continued this process, its SIGCONT is read next.
        if terminal.is_foreground() {
            self.resume();
        }
    }

    /// Stops this process together with the workload, so that the shell that started it sees its job stopped and has its terminal
    /// back.
    fn stop(&self, number: c_int) {
        if let Some(terminal) = &self.terminal {
            terminal.reclaim();
        }
        syscalls::stop(number);
    }

    /// Continues the workload after somebody has continued this process.
    fn resume(&self) {
        // A shell that continues a job sends SIGCONT to the job's process group, and the workload is in another one. All of it was
        // stopped if the terminal stopped it.
        if let Some(terminal) = &self.terminal {
            terminal.give_again(self.workload);
            if self.send_to_group(libc::SIGCONT) {
                return;
            }
        }
        self.send(libc::SIGCONT);
    }

    /// Ends everything that is left: SIGTERM, the grace period, SIGKILL.
    fn clean_up(&mut self) {
        if self.any_left() {
            self.signal_all(libc::SIGTERM);
            self.continue_stopped();
            let end = Instant::now() + self.grace;
            while self.any_left() && self.wait_and_reap(end) {}
        }
        let end = Instant::now() + KILLING;
        while self.any_left() && Instant::now() < end {
            self.kill_all();
            self.wait_and_reap(Instant::now() + POLL_INTERVAL);
        }
        self.wait_for_filter();
    }

    /// Kills everything that is left. Processes that fork are stopped first, or a child could be missed.
    fn kill_all(&self) {
        match &self.filter {
            Some(filter) if getpid() == Pid::from_raw(1) => {
                // All at once, the filter too, which goes on after the others are gone.
                let _ = syscalls::send_signal(Pid::from_raw(-1), libc::SIGSTOP);
                self.signal_all(libc::SIGKILL);
                let _ = syscalls::send_signal(filter.pid, libc::SIGCONT);
            }
            Some(_) | None => {
                self.signal_all(libc::SIGSTOP);
                self.signal_all(libc::SIGKILL);
            }
        }
    }

    /// Waits until the filter has written what the others printed before they ended. A reader may pause for as long as it likes, as it
    /// may with a workload that writes to it directly, unless somebody has asked this process to end.
    fn wait_for_filter(&mut self) {
        let Some(filter) = &self.filter else { return };
        let pid = filter.pid;
        filter.detach();
        let mut asked = None;
        // Without /proc, what still writes to the filter may be unknown, and nobody else would ever end it.
        let has_proc = descendants::find(getpid(), None).is_some();
        let started = Instant::now();
        while syscalls::send_signal(pid, 0).is_ok() {
            if !has_proc && self.terminations == 0 && started.elapsed() >= NO_PROC_GRACE {
                self.terminations = 1;
                self.signal_all(libc::SIGTERM);
            }
            if self.terminations > 0 {
                let since = *asked.get_or_insert_with(Instant::now);
                let grace = if self.terminations > 1 { Duration::ZERO } else { self.grace };
                if since.elapsed() >= grace.max(MIN_FILTER_GRACE) {
                    if !has_proc && getpid() == Pid::from_raw(1) {
                        let _ = syscalls::send_signal(Pid::from_raw(-1), libc::SIGKILL);
                    }
                    let _ = syscalls::send_signal(pid, libc::SIGKILL);
                    return;
                }
            }
            self.wait_and_reap(Instant::now() + POLL_INTERVAL);
        }
    }

    /// Waits until a child ends or a signal comes, at most until `end`, and reaps. Returns whether there is time left: a second
    /// SIGTERM ends it.
    fn wait_and_reap(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        // With a filter, the process table is searched, which also has processes whose end sends no SIGCHLD here.
        let limit = if self.filter.is_some() { left.min(POLL_INTERVAL) } else { left };
        if wait(&self.signals, limit) {
            for number in self.read_signals() {
                match number {
                    libc::SIGCHLD => {}
                    libc::SIGTERM if self.terminations > 0 => {
                        self.terminations += 1;
                        return false;
                    }
                    _ => {
                        self.terminations += usize::from(number == libc::SIGTERM);
                        self.signal_all(number);
                    }
                }
            }
        }
        self.reap();
        !left.is_zero()
    }

    fn filter_pid(&self) -> Option<Pid> {
        self.filter.as_ref().map(|filter| filter.pid)
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
        let left = || descendants::find(getpid(), self.filter_pid());
        self.filter.is_none() || left().is_some_and(|found| !found.is_empty())
    }

    fn continue_stopped(&self) {
        // A stopped process handles SIGTERM only after it continues. The others get no signal that nobody has sent.
        match descendants::find(getpid(), self.filter_pid()) {
            Some(found) => found.into_iter().filter(|pid| descendants::is_stopped(*pid)).for_each(|pid| {
                let _ = syscalls::send_signal(pid, libc::SIGCONT);
            }),
            None => self.signal_all(libc::SIGCONT),
        }
    }

    fn signal_all(&self, number: c_int) {
        let first = getpid() == Pid::from_raw(1);
        if first && self.filter.is_none() {
            // One call for every process but this one, so that no process can fork in between and escape.
            let _ = syscalls::send_signal(Pid::from_raw(-1), number);
            return;
        }
        match descendants::find(getpid(), self.filter_pid()) {
            Some(found) => {
                for pid in found {
                    let _ = syscalls::send_signal(pid, number);
                }
            }
            // Without /proc, the first process reaches all the same, the filter too, which blocks what can be blocked. Others find only
            // the workload's own group.
            None if first && !matches!(number, libc::SIGKILL | libc::SIGSTOP) => {
                let _ = syscalls::send_signal(Pid::from_raw(-1), number);
            }
            None => {
                let _ = syscalls::send_signal(self.workload_group(), number);
            }
        }
    }
}

/// Whether a shell may have started this process as a job. No shell has the leader of a session as its job, which services and the
/// first processes of containers are; and some programs have a use of their own for SIGTTIN and SIGTTOU.
fn is_job() -> bool {
    let own = getpid();
    own != Pid::from_raw(1) && getsid(None) != Ok(own)
}

/// Waits until there is a signal to read, for at most `limit`.
fn wait(signals: &OwnedFd, limit: Duration) -> bool {
    // Rounded up: poll(2) counts in milliseconds, and would return too early for the caller's clock.
    let limit = PollTimeout::try_from(limit.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
    poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], limit).is_ok_and(|ready| ready > 0)
}
