//! System calls that no crate offers safely: fork(2), a raw wait status, any signal by its number, and what the process was started
//! with. This is the only file of the agent with `unsafe`. It makes no decisions.
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

/// Whether SIGPIPE was ignored when the kernel started this program. systemd ignores it for every service (systemd.exec(5),
/// IgnoreSIGPIPE=), and the workload must inherit that. By the time of `main`, Rust's runtime has set it to ignored in any case.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

// SAFETY: the section holds pointers to functions that the C library calls before `main`; this one is such a function, takes
// nothing, and only asks and stores.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = record_sigpipe;

extern "C" fn record_sigpipe() {
    PIPE_IGNORED.store(is_ignored(Signal::SIGPIPE), Ordering::Relaxed);
}

/// The signal mask and the ignored signals that the agent was started with, which the workload inherits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InheritedSignals {
    mask: SigSet,
    pipe_ignored: bool,
    child_ignored: bool,
}

impl InheritedSignals {
    /// The caller reads them before it changes any.
    pub(crate) fn read() -> Self {
        Self {
            // pthread_sigmask(3) fails for invalid arguments only. An empty mask is what most programs start with.
            mask: SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty()),
            pipe_ignored: PIPE_IGNORED.load(Ordering::Relaxed),
            child_ignored: is_ignored(Signal::SIGCHLD),
        }
    }

    /// Restores them.
    pub(crate) fn restore(&self) {
        // Only these two can differ: execve(2) resets handlers, and the agent leaves other signals alone.
        ignore(Signal::SIGPIPE, self.pipe_ignored);
        ignore(Signal::SIGCHLD, self.child_ignored);
        let _ = self.mask.thread_set_mask();
    }
}

/// Ignores a signal, or restores its default action.
pub(crate) fn ignore(number: Signal, ignored: bool) {
    let handler = if ignored { SigHandler::SigIgn } else { SigHandler::SigDfl };
    // SAFETY: neither is a handler, so nothing of this process can run in a signal's context.
    let _ = unsafe { signal(number, handler) };
}

pub(crate) fn is_ignored(number: Signal) -> bool {
    let mut action: libc::sigaction = {
        // SAFETY: integers, a set of bits and nullable pointers, for all of which zeros are a value.
        unsafe { std::mem::zeroed() }
    };
    // SAFETY: nothing is set (null), and the answer goes to a structure of the right type that outlives the call.
    let asked = unsafe { libc::sigaction(number as c_int, ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Makes each signal of `numbers` that is not ignored end this process with status 128+n, until execve(2).
pub(crate) fn exit_on(numbers: &[Signal]) -> Result<(), io::Error> {
    for number in numbers.iter().copied().filter(|number| !is_ignored(*number)) {
        let always = std::sync::Arc::new(AtomicBool::new(true));
        let status = 128 + number as c_int;
        signal_hook::flag::register_conditional_shutdown(number as c_int, status, always)?;
    }
    Ok(())
}

/// fork(2). The process must have one thread.
pub(crate) fn fork() -> Result<ForkResult, Errno> {
    // SAFETY: the agent starts no thread before this (there is no runtime yet), so no lock is held by a thread that the child
    // would lack.
    unsafe { nix::unistd::fork() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildEvent {
    /// It ended with this status as a shell counts: its own, or 128+n for signal n.
    Ended(u8),
    /// The signal of this number stopped it.
    Stopped(c_int),
}

/// The next event of a child, without waiting.
///
/// # Errors
/// ECHILD if there is no child.
pub(crate) fn next_child_event() -> Result<Option<(Pid, ChildEvent)>, Errno> {
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

fn decode(status: c_int) -> Option<ChildEvent> {
    // Not nix's WaitStatus, which is an error for a death by a real-time signal.
    if libc::WIFEXITED(status) {
        u8::try_from(libc::WEXITSTATUS(status)).ok().map(ChildEvent::Ended)
    } else if libc::WIFSIGNALED(status) {
        u8::try_from(128 + libc::WTERMSIG(status)).ok().map(ChildEvent::Ended)
    } else if libc::WIFSTOPPED(status) {
        Some(ChildEvent::Stopped(libc::WSTOPSIG(status)))
    } else {
        None
    }
}

/// kill(2) with any number, real-time signals included. A negative process id names a group, and -1 every process.
pub(crate) fn send_signal(to: Pid, number: c_int) -> Result<(), Errno> {
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

/// The first descriptor that the service manager passed on (`SD_LISTEN_FDS_START`, sd_listen_fds(3)), if it is a listening Unix
/// socket. Only the process that LISTEN_PID names may call this, and only once.
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
            assert_eq!(decode(c_int::from(code) << 8), Some(ChildEvent::Ended(code)));
        }
        for number in (1..=64).filter(|number| *number != 0x7f) {
            assert_eq!(decode(number), Some(ChildEvent::Ended(128 + u8::try_from(number).unwrap())));
            assert_eq!(decode(number | 0x80), decode(number), "with a core dump");
        }
        assert_eq!(decode((libc::SIGTSTP << 8) | 0x7f), Some(ChildEvent::Stopped(libc::SIGTSTP)));
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
