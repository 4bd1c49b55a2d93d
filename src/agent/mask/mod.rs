//! `--mask`: replaces the values of this boot in the workload's output. It is a convenience for people who read logs, and no security
//! boundary: a program that wants to print a value finds an encoding that is not looked for.
//!
//! The filter has to know the values, and so it can be neither the supervisor nor the workload. It is forked before anything secret
//! exists, receives the values over a pipe from the process that fetched them, and ends when no process can write to it any more.

pub(crate) mod encodings;
pub(crate) mod masker;

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

use self::masker::{Masker, PatternSet};

/// The capacity of a pipe (pipe(7)).
const PIECE: usize = 64 << 10;

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

/// The ends that the filter reads from.
#[derive(Debug)]
pub(crate) struct MaskFilter {
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
    /// Sends the values to the filter, and redirects standard output and error to it.
    ///
    /// # Errors
    /// The filter has ended. Output would be lost.
    pub(crate) fn start<'a>(self, values: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut pipe = File::from(self.values);
        for value in values {
            let length = u32::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            pipe.write_all(&length.to_le_bytes())?;
            pipe.write_all(value)?;
        }
        // The filter starts to read output when it has seen the end of the values.
        drop(pipe);
        dup2_stdout(&self.output)?;
        dup2_stderr(self.error.as_ref().unwrap_or(&self.output))?;
        Ok(())
    }
}

impl MaskFilter {
    /// Forwards the output until no process can write to it any more.
    pub(crate) fn run(self) -> io::Result<()> {
        let forms = read_forms(&mut File::from(self.values))?;
        let patterns = PatternSet::new(forms.iter().map(Vec::as_slice));
        drop(forms);
        // The values stay in the tree of patterns, byte by byte, until this process ends.
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let mut streams = vec![MaskedStream::new(self.output, stdout.as_fd(), &patterns)];
        streams.extend(self.error.map(|error| MaskedStream::new(error, stderr.as_fd(), &patterns)));
        let mut piece = Zeroizing::new(vec![0; PIECE]);
        // Against swap. If the limit is too low for that, the values are as safe here as in the workload's own memory.
        let _ = mlockall(MlockAllFlags::MCL_CURRENT);
        while !streams.is_empty() {
            let mut polled: Vec<PollFd<'_>> =
                streams.iter().map(|stream| PollFd::new(stream.from.as_fd(), PollFlags::POLLIN)).collect();
            match poll(&mut polled, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let ready: Vec<bool> = polled.iter().map(|fd| fd.any() != Some(false)).collect();
            let mut ready = ready.into_iter();
            // A stream that has ended is closed: if its output failed, its writers get SIGPIPE as they would without a filter.
            streams.retain_mut(|stream| !ready.next().unwrap_or(false) || stream.forward(&mut piece));
        }
        Ok(())
    }
}

/// Reads values, each with its length in front, and returns every form of each.
fn read_forms(from: &mut impl Read) -> io::Result<BTreeSet<Vec<u8>>> {
    let mut forms = BTreeSet::new();
    loop {
        let mut length = [0; 4];
        // The end of the pipe is only allowed between two values.
        match from.read(&mut length[..1])? {
            0 => return Ok(forms),
            _ => from.read_exact(&mut length[1..])?,
        }
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut value = Zeroizing::new(vec![0; length]);
        from.read_exact(&mut value)?;
        forms.extend(encodings::encode(&value));
    }
}

struct MaskedStream<'a> {
    from: File,
    to: BorrowedFd<'a>,
    masker: Masker<'a>,
}

impl<'a> MaskedStream<'a> {
    fn new(from: OwnedFd, to: BorrowedFd<'a>, patterns: &'a PatternSet) -> Self {
        Self { from: from.into(), to, masker: Masker::new(patterns) }
    }

    /// Forwards what can be read now. Returns whether there may be more.
    fn forward(&mut self, piece: &mut [u8]) -> bool {
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

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            // The descriptor is shared with the process that started this one, which may have made it non-blocking.
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
    fn values_are_read_to_their_end() {
        let mut bytes = Vec::new();
        for value in ["hunter2", "", "second-value"] {
            bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
            bytes.extend(value.as_bytes());
        }
        let forms = read_forms(&mut bytes.as_slice()).unwrap();
        assert!(forms.contains(&b"hunter2"[..]) && forms.contains(&b"second-value"[..]));
        assert!(read_forms(&mut &bytes[..bytes.len() - 1]).is_err());
        assert!(read_forms(&mut &[][..]).unwrap().is_empty());
    }
}
