//! `--mask`: replaces the values of this boot in the workload's output. It is a convenience for people who read logs, and no security
//! boundary: a program that wants to print a value finds an encoding that is not looked for.
//!
//! The filter has to know the values, and so it can be neither the supervisor nor the workload. It is forked before anything secret
//! exists, receives the values over a pipe from the process that fetched them, and ends when no process can write to it any more.
//!
//! | file | holds |
//! |---|---|
//! | [`patterns`] | what is searched for |
//! | [`decoder`] | escape sequences of URLs and JSON |
//! | [`anchors`] | a fast search for where a pattern may start |
//! | [`reading`] | the comparison from there on |
//! | [`masker`] | one stream, in pieces |
//! | [`filter`] | the process: both streams, waiting |
//! | [`output`] | writing without waiting |

pub(crate) mod anchors;
pub(crate) mod decoder;
pub(crate) mod filter;
pub(crate) mod masker;
pub(crate) mod output;
pub(crate) mod patterns;
pub(crate) mod reading;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::unistd::{Gid, Uid, dup2_stderr, dup2_stdout, fchown, pipe2};
use tracing::warn;

use self::filter::MaskFilter;
use self::patterns::SHORTEST;

/// The most bytes of values. The filter takes at most 1 MiB plus four times their size.
const MAX_BYTES: usize = 4 << 20;
/// The most values: each takes some hundred bytes, however short it is.
const MAX_VALUES: usize = 1000;
/// Values up to this length, among which passwords and tokens are, come before longer ones.
const SHORT: usize = 4096;
/// How many values that are left out are named.
const MAX_NAMED: usize = 10;

/// The pipes between the process that fetches and the filter, before fork(2).
#[derive(Debug)]
pub(crate) struct MaskPipes {
    values: (OwnedFd, OwnedFd),
    output: (OwnedFd, OwnedFd),
    /// `None` if standard output and error are the same file: one pipe keeps the order between them.
    error: Option<(OwnedFd, OwnedFd)>,
}

/// The ends that the workload-to-be writes to.
#[derive(Debug)]
pub(crate) struct MaskWriter {
    values: OwnedFd,
    output: OwnedFd,
    error: Option<OwnedFd>,
}

impl MaskPipes {
    pub(crate) fn new() -> Result<Self, Errno> {
        // Closed by execve(2): the workload has copies of the write ends as its standard output and error.
        let pipe = || pipe2(OFlag::O_CLOEXEC);
        let error =
            if is_same_file(io::stdout().as_fd(), io::stderr().as_fd()) { None } else { Some(pipe()?) };
        Ok(Self { values: pipe()?, output: pipe()?, error })
    }

    /// All of them.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let pairs = [Some(&self.values), Some(&self.output), self.error.as_ref()].into_iter().flatten();
        pairs.flat_map(|(read, write)| [read.as_raw_fd(), write.as_raw_fd()])
    }

    pub(crate) fn into_writer(self) -> MaskWriter {
        MaskWriter { values: self.values.1, output: self.output.1, error: self.error.map(|(_, write)| write) }
    }

    pub(crate) fn into_filter(self) -> MaskFilter {
        MaskFilter { values: self.values.0, output: self.output.0, error: self.error.map(|(read, _)| read) }
    }
}

/// Whether both refer to the same pipe, socket, terminal or file.
fn is_same_file(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    let place = |fd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
}

impl MaskWriter {
    /// Makes the workload's user the owner of the pipes, which /dev/stdout and /proc/self/fd/1 open again (pipe(7)). The process must
    /// still be allowed to.
    pub(crate) fn change_owner(&self, user: Uid, group: Gid) {
        for pipe in [Some(&self.output), self.error.as_ref()].into_iter().flatten() {
            // A workload that does not open them again has no use for it.
            let _ = fchown(pipe, Some(user), Some(group));
        }
    }

    /// Sends the values, each with the name of its variable, to the filter, and redirects standard output and error to it.
    ///
    /// # Errors
    /// The filter has ended. Output would be lost.
    pub(crate) fn start(self, values: Vec<(String, &[u8])>) -> Result<(), io::ErrorKind> {
        let (values, left_out) = select(values);
        if let Some(names) = left_out {
            let mebibytes = MAX_BYTES >> 20;
            warn!(
                "--mask does not cover {names}, since it covers at most {MAX_VALUES} values of {mebibytes} MiB in all; \
                 exclude what the workload does not need"
            );
        }
        // The filter starts to read output when it has seen the end of the values.
        send(File::from(self.values), &values).map_err(|error| error.kind())?;
        redirect(&self.output, self.error.as_ref()).map_err(|errno| io::Error::from(errno).kind())
    }

    /// Redirects standard output and error to the filter, without any value.
    pub(crate) fn redirect(self) -> Result<(), Errno> {
        redirect(&self.output, self.error.as_ref())
    }
}

fn redirect(output: &OwnedFd, error: Option<&OwnedFd>) -> Result<(), Errno> {
    dup2_stdout(output)?;
    dup2_stderr(error.unwrap_or(output))
}

/// Sends the length of all values together, and then each with its length in front.
fn send(mut pipe: File, values: &[&[u8]]) -> io::Result<()> {
    let length = |length: usize| u32::try_from(length).map(u32::to_le_bytes).map_err(io::Error::other);
    pipe.write_all(&length(values.iter().map(|value| value.len()).sum())?)?;
    for value in values {
        pipe.write_all(&length(value.len())?)?;
        pipe.write_all(value)?;
    }
    Ok(())
}

/// The values that are masked, and the names of those that are not.
fn select(values: Vec<(String, &[u8])>) -> (Vec<&[u8]>, Option<String>) {
    let (short, long): (Vec<_>, Vec<_>) = values.into_iter().partition(|(_, value)| value.len() <= SHORT);
    let (mut selected, mut names, mut total) = (Vec::new(), Vec::new(), 0);
    for (name, value) in short.into_iter().chain(long).filter(|(_, value)| value.len() >= SHORTEST) {
        if selected.len() < MAX_VALUES && total + value.len() <= MAX_BYTES {
            total += value.len();
            selected.push(value);
        } else {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    (selected, (!names.is_empty()).then(|| names.join(", ")))
}
