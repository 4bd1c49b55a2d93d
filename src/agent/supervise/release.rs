//! What the supervisor gives up after the fork: the folder that it was started in, standard input, and the descriptors that are meant
//! for the workload. Otherwise nobody could unmount that folder, and the reader of a pipe that the workload has closed would wait for the
//! supervisor. No descriptor that a Rust value owns is closed.
#![expect(clippy::disallowed_methods, reason = "opens /dev/null and reads /proc/self/fd")]

use std::fs;
use std::fs::File;
use std::os::fd::RawFd;

use nix::unistd::{chdir, close, dup2_stdin};

use super::syscalls;

/// The first descriptor after standard input, output and error.
const FIRST: RawFd = 3;

/// Leaves the working folder, and closes every descriptor except `owned` and standard output and error.
pub(crate) fn descriptors_except(owned: &[RawFd]) {
    // None of these steps is worth stopping a boot for.
    let _ = chdir("/");
    if let Ok(null) = File::open("/dev/null") {
        let _ = dup2_stdin(null);
    }
    let mut first = FIRST;
    while first < RawFd::MAX {
        let next = owned.iter().copied().filter(|fd| *fd >= first).min().unwrap_or(RawFd::MAX);
        if next > first && syscalls::close_range(first, next - 1).is_err() {
            return close_listed(owned);
        }
        first = next.saturating_add(1);
    }
}

/// The same for kernels before 5.9 and container runtimes that refuse close_range(2).
fn close_listed(owned: &[RawFd]) {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    // Collected first: the folder that is being read has a descriptor too, which is closed by then.
    for fd in open.collect::<Vec<_>>().into_iter().filter(|fd| *fd >= FIRST && !owned.contains(fd)) {
        let _ = close(fd);
    }
}
