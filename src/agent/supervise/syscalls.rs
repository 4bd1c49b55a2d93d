//! System calls that no crate offers safely: fork(2), a raw wait status, signals by their numbers, and what the process was started
//! with. This is the only file of the agent with `unsafe`. It makes no decisions.
#![expect(
    unsafe_code,
    reason = "fork, waitpid, signals by number, environ, memory and descriptors that nobody owns; every use has its SAFETY comment"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{ForkResult, Pid};

/// Whether SIGPIPE was ignored when the kernel started this program. systemd ignores it for every service (systemd.exec(5),
/// IgnoreSIGPIPE=), and the workload must inherit that. By the time of `main`, Rust's runtime has set it to ignored in any case.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);
/// The signals that were blocked then. musl unblocks 33 and 34 when a program installs its first handler, and Rust's runtime does.
static INHERITED_MASK: AtomicU64 = AtomicU64::new(0);

// SAFETY: the section holds pointers to functions that the C library calls before `main`; this one is such a function, takes
// nothing, and makes system calls only.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    PIPE_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    // This fails for invalid arguments only. An empty mask is what most programs start with.
    INHERITED_MASK.store(signal_mask(None).unwrap_or(SignalSet::NONE).0, Ordering::Relaxed);
    for fd in 0..=2 {
        // SAFETY: asks for a flag of a descriptor, which may be closed.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1 {
            continue;
        }
        // A file that is opened later must not become standard output. Rust's runtime sees to that too, but ends the process where
        // there is no /dev/null. execve(2) closes these: the workload finds closed what the agent found closed.
        // SAFETY: opens the lowest free descriptor, which is this one and belongs to nobody.
        unsafe {
            if libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) == -1 {
                // Any file will do. Reading and writing fail on a folder, as on a closed descriptor.
                libc::open(c"/".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
            }
        }
    }
}

/// A set of signals as the kernel has it, one bit for each. Not nix's `SigSet`: musl removes 32 to 34 from the sets that it fills
/// and returns, and 34 is the first real-time signal of programs with glibc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignalSet(u64);

impl SignalSet {
    pub(crate) const ALL: Self = Self(u64::MAX);
    pub(crate) const NONE: Self = Self(0);
}

/// Sets the mask of blocked signals, or only asks for it. Returns the mask before. SIGKILL and SIGSTOP cannot be blocked. A fault of
/// this process's own instructions ends it even if its signal is blocked (signal(7)).
pub(crate) fn signal_mask(set: Option<SignalSet>) -> Result<SignalSet, Errno> {
    let mut before = SignalSet::NONE;
    let new = set.as_ref().map_or(ptr::null(), |set| ptr::from_ref(&set.0));
    // SAFETY: reads and writes one set of the kernel's size each; both outlive the call.
    let done = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, &mut before.0, size_of::<u64>())
    };
    Errno::result(done).map(|_| before)
}

/// A descriptor from which every signal can be read that is blocked (signalfd(2)).
pub(crate) fn open_signals() -> Result<OwnedFd, Errno> {
    let set = SignalSet::ALL;
    // SAFETY: reads one set of the kernel's size, which outlives the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const set.0, size_of::<u64>(), libc::SFD_CLOEXEC)
    };
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The signal mask and the ignored signals that the agent was started with, which the workload inherits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InheritedSignals {
    mask: SignalSet,
    pipe_ignored: bool,
    child_ignored: bool,
}

impl InheritedSignals {
    /// The caller reads them before it changes any.
    pub(crate) fn read() -> Self {
        Self {
            mask: SignalSet(INHERITED_MASK.load(Ordering::Relaxed)),
            pipe_ignored: PIPE_IGNORED.load(Ordering::Relaxed),
            child_ignored: is_ignored(libc::SIGCHLD),
        }
    }

    /// Restores them.
    pub(crate) fn restore(&self) {
        // Only these two can differ: execve(2) resets handlers, and the agent leaves other signals alone.
        set_ignored(libc::SIGPIPE, self.pipe_ignored);
        set_ignored(libc::SIGCHLD, self.child_ignored);
        let _ = signal_mask(Some(self.mask));
    }
}

/// Ignores a signal, or restores its default action.
pub(crate) fn set_ignored(number: c_int, ignored: bool) {
    let handler = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither is a handler, so nothing of this process can run in a signal's context.
    let _ = unsafe { libc::signal(number, handler) };
}

pub(crate) fn is_ignored(number: c_int) -> bool {
    let mut action: libc::sigaction = {
        // SAFETY: integers, a set of bits and nullable pointers, for all of which zeros are a value.
        unsafe { std::mem::zeroed() }
    };
    // SAFETY: nothing is set (null), and the answer goes to a structure of the right type that outlives the call.
    let asked = unsafe { libc::sigaction(number, ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Makes each signal of `numbers` that is not ignored end this process with status 128+n, until execve(2).
pub(crate) fn exit_on(numbers: &[c_int]) -> std::io::Result<()> {
    for number in numbers.iter().copied().filter(|number| !is_ignored(*number)) {
        let always = std::sync::Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(number, 128 + number, always)?;
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

/// Stops this process by SIGSTOP or SIGTSTP, until somebody continues it.
pub(crate) fn stop(number: c_int) {
    set_ignored(number, false);
    let _ = send_signal(nix::unistd::getpid(), number);
    // The signal is delivered, and stops this process, as soon as it is not blocked.
    if let Ok(before) = signal_mask(Some(SignalSet(!(1 << (number - 1))))) {
        let _ = signal_mask(Some(before));
    }
}

/// Overwrites the environment where the kernel put it, so that /proc/PID/environ shows nothing, and empties it for the C library.
pub(crate) fn wipe_environment() {
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    // SAFETY: one thread, and nothing has changed the environment since the start: `environ` is the array that the kernel made,
    // of pointers to strings that end with NUL, itself ended by a null pointer. Only bytes before each NUL are written.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let length = CStr::from_ptr(*entry).count_bytes();
            zeroize::Zeroize::zeroize(std::slice::from_raw_parts_mut((*entry).cast::<u8>(), length));
            *entry = ptr::null_mut();
            entry = entry.add(1);
        }
    }
}

/// Closes every descriptor from `first` to `last`. Nobody may own one of them.
pub(crate) fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    // SAFETY: touches no memory. That no owner of these descriptors is left is the caller's promise.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Gives memory back that this process needs no more: the stack below the caller, and the pages of the program's file, which the
/// kernel maps again when they are used.
pub(crate) fn release_memory() {
    /// Deeper than the stack has been; what is not mapped is passed over (madvise(2)).
    const STACK: usize = 256 << 10;
    const PAGE: usize = 4096;
    let here = 0_u8;
    // A page is left for the calls below.
    let top = ptr::from_ref(&here).addr() - 2 * PAGE;
    let top = top - top % PAGE;
    // SAFETY: nothing is stored on the stack below the current frames, and no signal handler uses it.
    unsafe { libc::madvise(ptr::without_provenance_mut::<c_void>(top - STACK), STACK, libc::MADV_DONTNEED) };
    // SAFETY: the callback has the right type, and is given no data.
    unsafe { libc::dl_iterate_phdr(Some(release_program), ptr::null_mut()) };
}

/// Releases the pages of one object's segments that cannot be written.
unsafe extern "C" fn release_program(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the C library passes a valid description, whose headers are in memory.
    let (base, headers) = unsafe {
        let object = &*object;
        (object.dlpi_addr as usize, std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    for header in
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0)
    {
        let start = base + header.p_vaddr as usize;
        let length = header.p_memsz as usize;
        // SAFETY: the mapping is private, of a file and never written: the kernel reads the same content again from the file.
        unsafe {
            libc::madvise(ptr::without_provenance_mut::<c_void>(start & !4095), length, libc::MADV_DONTNEED)
        };
    }
    // The program itself comes first. Other programs have the same pages of its libraries.
    1
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
        assert!(!is_ignored(libc::SIGUSR2));
        set_ignored(libc::SIGUSR2, true);
        assert!(is_ignored(libc::SIGUSR2));
        set_ignored(libc::SIGUSR2, false);
        assert!(!is_ignored(libc::SIGUSR2));
    }

    #[test]
    fn the_mask_has_every_bit_of_the_kernel() {
        // On a thread of its own, whose mask nobody else has.
        std::thread::spawn(|| {
            let before = signal_mask(Some(SignalSet::ALL)).unwrap();
            let kill_and_stop = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);
            assert_eq!(signal_mask(Some(before)), Ok(SignalSet(!kill_and_stop)));
            assert_eq!(signal_mask(None), Ok(before));
        })
        .join()
        .unwrap();
    }
}
