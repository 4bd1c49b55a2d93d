//! What the kernel does for a supervisor and no crate offers safely: fork(2), a wait status as it is, any signal by its number,
//! and what the process was started with. The only file of the agent with `unsafe`. Nothing here decides anything.
#![expect(
    unsafe_code,
    reason = "fork, waitpid, kill, sigaction, environ and a passed descriptor; every use has its SAFETY comment"
)]

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, ptr};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{ForkResult, Pid};

/// Whether SIGPIPE was ignored when the kernel started this program. systemd does that to every service, and the workload is to
/// find it so; by the time of `main`, Rust's runtime has set it to ignored for everybody.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

// SAFETY: the section holds pointers to functions that the C library calls before `main`; this one is such a function, takes
// nothing, and only asks and stores.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = remember;

extern "C" fn remember() {
    PIPE_IGNORED.store(is_ignored(Signal::SIGPIPE), Ordering::Relaxed);
}

/// The signal mask and the ignored signals that the agent was started with, for the workload to find.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inherited {
    mask: SigSet,
    pipe_ignored: bool,
    child_ignored: bool,
}

impl Inherited {
    /// To be asked before anything is changed.
    pub(crate) fn read() -> Self {
        Self {
            // It fails for no argument that can be given here; then nothing is blocked.
            mask: SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty()),
            pipe_ignored: PIPE_IGNORED.load(Ordering::Relaxed),
            child_ignored: is_ignored(Signal::SIGCHLD),
        }
    }

    /// Makes it so again. Only these two can differ: handlers do not outlive execve(2), and other signals are left alone.
    pub(crate) fn restore(&self) {
        ignore(Signal::SIGPIPE, self.pipe_ignored);
        ignore(Signal::SIGCHLD, self.child_ignored);
        let _ = self.mask.thread_set_mask();
    }
}

/// Ignores a signal, or lets the kernel do what it does by default.
pub(crate) fn ignore(number: Signal, ignored: bool) {
    let handler = if ignored { SigHandler::SigIgn } else { SigHandler::SigDfl };
    // SAFETY: neither is a handler, so nothing of this process can run in a signal's context.
    let _ = unsafe { signal(number, handler) };
}

/// Whether a signal is ignored now.
pub(crate) fn is_ignored(number: Signal) -> bool {
    let mut action: libc::sigaction = {
        // SAFETY: integers, a set of bits and nullable pointers, for all of which zeros are a value.
        unsafe { std::mem::zeroed() }
    };
    // SAFETY: nothing is set (null), and the answer goes to a structure of the right type that outlives the call.
    let asked = unsafe { libc::sigaction(number as c_int, ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Ends this process with 128+n at each signal of `numbers` that is not ignored, as the kernel does with every process but the
/// first of a PID namespace. Lasts until execve(2).
pub(crate) fn end_on(numbers: &[Signal]) -> Result<(), io::Error> {
    for number in numbers.iter().copied().filter(|number| !is_ignored(*number)) {
        let always = std::sync::Arc::new(AtomicBool::new(true));
        let status = 128 + number as c_int;
        signal_hook::flag::register_conditional_shutdown(number as c_int, status, always)?;
    }
    Ok(())
}

/// fork(2), of a process that has one thread.
pub(crate) fn fork() -> Result<ForkResult, Errno> {
    // SAFETY: the agent starts no thread before this (there is no runtime yet), so no lock is held by a thread that the child
    // would lack.
    unsafe { nix::unistd::fork() }
}

/// What happened to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is gone, with this status as shells count: its own, or 128 and the number of the signal.
    Ended(u8),
    /// It was stopped by the signal of this number.
    Stopped(c_int),
}

/// The next child with news, without waiting; `None` when no child has any. ECHILD when there is no child.
pub(crate) fn news() -> Result<Option<(Pid, Change)>, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: the status goes to an integer that outlives the call.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED) };
        match Errno::result(pid) {
            Ok(0) => return Ok(None),
            Ok(pid) => {
                if let Some(change) = decode(status) {
                    return Ok(Some((Pid::from_raw(pid), change)));
                }
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// nix's own reading fails for real-time signals.
fn decode(status: c_int) -> Option<Change> {
    if libc::WIFEXITED(status) {
        u8::try_from(libc::WEXITSTATUS(status)).ok().map(Change::Ended)
    } else if libc::WIFSIGNALED(status) {
        u8::try_from(128 + libc::WTERMSIG(status)).ok().map(Change::Ended)
    } else if libc::WIFSTOPPED(status) {
        Some(Change::Stopped(libc::WSTOPSIG(status)))
    } else {
        None
    }
}

/// kill(2) with any number, real-time signals included. A negative process id means a group, -1 every process.
pub(crate) fn send(to: Pid, number: c_int) -> Result<(), Errno> {
    // SAFETY: takes two integers and touches no memory.
    Errno::result(unsafe { libc::kill(to.as_raw(), number) }).map(drop)
}

/// Overwrites the value of a variable where the kernel put it, so that /proc/PID/environ no longer shows it.
pub(crate) fn wipe_variable(name: &str) {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    // SAFETY: one thread, and nothing has changed the environment since the start: `environ` is the array that the kernel made,
    // of pointers to strings that end with NUL, itself ended by a null pointer. Only bytes before each NUL are written.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let length = CStr::from_ptr(*entry).count_bytes();
            let string = std::slice::from_raw_parts_mut((*entry).cast::<u8>(), length);
            if string.starts_with(name.as_bytes()) && string.get(name.len()) == Some(&b'=') {
                zeroize::Zeroize::zeroize(&mut string[name.len() + 1..]);
            }
            entry = entry.add(1);
        }
    }
}

/// The first descriptor that the service manager passed on (`SD_LISTEN_FDS_START`, sd_listen_fds(3)), if it is a Unix socket that
/// listens. To be called once, by whom LISTEN_PID names.
pub(crate) fn passed_listener() -> Option<UnixListener> {
    const FIRST: c_int = 3;
    // SAFETY: LISTEN_PID and LISTEN_FDS say that the descriptor was opened for this process, and nobody else here has taken it.
    let fd = unsafe { OwnedFd::from_raw_fd(FIRST) };
    let is_listening = getsockopt(&fd, sockopt::AcceptConn).unwrap_or(false);
    is_listening.then(|| UnixListener::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_as_shells_count() {
        for code in 0..=255_u8 {
            assert_eq!(decode(c_int::from(code) << 8), Some(Change::Ended(code)));
        }
        for number in (1..=64).filter(|number| *number != 0x7f) {
            assert_eq!(decode(number), Some(Change::Ended(128 + u8::try_from(number).unwrap())));
            assert_eq!(decode(number | 0x80), decode(number), "with a core dump");
        }
        assert_eq!(decode((libc::SIGTSTP << 8) | 0x7f), Some(Change::Stopped(libc::SIGTSTP)));
        assert_eq!(decode(0xffff), None, "continued");
    }

    #[test]
    fn what_is_ignored_is_seen() {
        assert!(!is_ignored(Signal::SIGUSR2));
        ignore(Signal::SIGUSR2, true);
        assert!(is_ignored(Signal::SIGUSR2));
        ignore(Signal::SIGUSR2, false);
        assert!(!is_ignored(Signal::SIGUSR2));
    }
}
