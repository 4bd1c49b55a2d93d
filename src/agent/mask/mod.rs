//! `--mask`: the values of this boot are replaced in what the workload prints. A courtesy to whoever reads logs, not a boundary:
//! a program that means to print a value finds a form that is not looked for.
//!
//! It takes a process that knows the values, and that is neither the supervisor nor the workload: the filter is forked before
//! anything secret exists, is told the values by the process that fetched them, over a pipe of their own, and ends when nobody
//! can write to it any more.

pub(crate) mod patterns;
pub(crate) mod stream;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::stat::fstat;
use nix::unistd::{dup2_stderr, dup2_stdout, pipe2};
use zeroize::Zeroizing;

use self::stream::{Masker, Patterns};

/// As much as a pipe holds.
const PIECE: usize = 64 << 10;

/// Pipes between the process that fetches and the filter, before they part.
#[derive(Debug)]
pub(crate) struct Pipes {
    values: (OwnedFd, OwnedFd),
    output: (OwnedFd, OwnedFd),
    /// None when standard output and error are one and the same: then the order between them is kept.
    error: Option<(OwnedFd, OwnedFd)>,
}

/// The side of what becomes the workload.
#[derive(Debug)]
pub(crate) struct Masking {
    values: OwnedFd,
    output: OwnedFd,
    error: Option<OwnedFd>,
}

/// The side of the filter.
#[derive(Debug)]
pub(crate) struct Filter {
    values: OwnedFd,
    output: OwnedFd,
    error: Option<OwnedFd>,
}

impl Pipes {
    /// None of them outlives execve(2).
    ///
    /// # Errors
    /// The kernel has no room.
    pub(crate) fn new() -> Result<Self, Errno> {
        let pipe = || pipe2(OFlag::O_CLOEXEC);
        let error = if same(io::stdout().as_fd(), io::stderr().as_fd()) { None } else { Some(pipe()?) };
        Ok(Self { values: pipe()?, output: pipe()?, error })
    }

    /// What becomes the workload keeps the ends to write to.
    pub(crate) fn write_side(self) -> Masking {
        Masking { values: self.values.1, output: self.output.1, error: self.error.map(|(_, write)| write) }
    }

    /// The filter keeps the others.
    pub(crate) fn read_side(self) -> Filter {
        Filter { values: self.values.0, output: self.output.0, error: self.error.map(|(read, _)| read) }
    }
}

/// Whether both lead to the same pipe, socket, terminal or file.
fn same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    let place = |fd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
}

impl Masking {
    /// Tells the filter what to look for and puts it behind standard output and error.
    ///
    /// # Errors
    /// The filter is gone. Nothing would be printed then.
    pub(crate) fn begin<'a>(self, values: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut to = File::from(self.values);
        for value in values {
            let length = u32::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            to.write_all(&length.to_le_bytes())?;
            to.write_all(value)?;
        }
        drop(to);
        dup2_stdout(&self.output)?;
        dup2_stderr(self.error.as_ref().unwrap_or(&self.output))?;
        Ok(())
    }
}

impl Filter {
    /// Passes everything on until nobody can write any more.
    ///
    /// # Errors
    /// What was told cannot be read.
    pub(crate) fn run(self) -> io::Result<()> {
        let forms = told(&mut File::from(self.values))?;
        let patterns = Patterns::new(forms.iter().map(Vec::as_slice));
        drop(forms);
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let mut streams = vec![Stream::new(self.output, stdout.as_fd(), &patterns)];
        streams.extend(self.error.map(|error| Stream::new(error, stderr.as_fd(), &patterns)));
        let mut piece = Zeroizing::new(vec![0; PIECE]);
        // Against swap. Where the limit is too low for that, the values are no worse off than in the workload's own memory.
        let _ = mlockall(MlockAllFlags::MCL_CURRENT);
        while !streams.is_empty() {
            let mut asked: Vec<PollFd<'_>> =
                streams.iter().map(|stream| PollFd::new(stream.from.as_fd(), PollFlags::POLLIN)).collect();
            match poll(&mut asked, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                answered => answered?,
            };
            let ready: Vec<bool> = asked.iter().map(|fd| fd.any() != Some(false)).collect();
            let mut ready = ready.into_iter();
            // One that has ended is closed, so that whoever still writes to it is told.
            streams.retain_mut(|stream| !ready.next().unwrap_or(false) || stream.pass_on(&mut piece));
        }
        Ok(())
    }
}

/// Every form of every value. Their lengths come before them.
fn told(from: &mut impl Read) -> io::Result<BTreeSet<Vec<u8>>> {
    let mut forms = BTreeSet::new();
    loop {
        let mut length = [0; 4];
        match from.read(&mut length[..1])? {
            0 => return Ok(forms),
            _ => from.read_exact(&mut length[1..])?,
        }
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut value = Zeroizing::new(vec![0; length]);
        from.read_exact(&mut value)?;
        forms.extend(patterns::of(&value));
    }
}

struct Stream<'a> {
    from: File,
    to: BorrowedFd<'a>,
    masker: Masker<'a>,
}

impl<'a> Stream<'a> {
    fn new(from: OwnedFd, to: BorrowedFd<'a>, patterns: &'a Patterns) -> Self {
        Self { from: from.into(), to, masker: Masker::new(patterns) }
    }

    /// Whether there may be more.
    fn pass_on(&mut self, piece: &mut [u8]) -> bool {
        let mut out = Vec::new();
        let more = match self.from.read(piece) {
            Ok(0) => {
                self.masker.finish(&mut out);
                false
            }
            Ok(length) => {
                self.masker.push(&piece[..length], &mut out);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        };
        write_all(self.to, &out).is_ok() && more
    }
}

/// Whoever gave us the descriptor may have made it one that does not wait.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EAGAIN) => {
                poll(&mut [PollFd::new(to, PollFlags::POLLOUT)], PollTimeout::NONE)?;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_back_to_its_end() {
        let mut told_bytes = Vec::new();
        for value in ["hunter2", "", "second-value"] {
            told_bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
            told_bytes.extend(value.as_bytes());
        }
        let forms = told(&mut told_bytes.as_slice()).unwrap();
        assert!(forms.contains(&b"hunter2"[..]) && forms.contains(&b"second-value"[..]));
        assert!(told(&mut &told_bytes[..told_bytes.len() - 1]).is_err());
        assert!(told(&mut &[][..]).unwrap().is_empty());
    }
}
