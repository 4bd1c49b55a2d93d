//! The process that masks: it copies each stream through a masker, and waits for whatever can be read or written next. While a reader
//! pauses, its stream is not read, so that the workload blocks as it would on a pipe of its own.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MlockAllFlags, mlockall};
use zeroize::Zeroizing;

use super::anchors::Anchors;
use super::masker::{MASK, Masker, WINDOW};
use super::output::MaskOutput;
use super::patterns::PatternSet;

/// How long bytes that may become a match are held: too short for a person at a prompt to notice, and long enough for a program that
/// writes a value in pieces.
const HOLD: Duration = Duration::from_millis(50);

/// The ends of the pipes that the filter reads from.
#[derive(Debug)]
pub(crate) struct MaskFilter {
    pub(super) values: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) error: Option<OwnedFd>,
}

impl MaskFilter {
    /// Forwards the output until no process can write to it any more.
    pub(crate) fn run(self) -> io::Result<()> {
        let set = read_values(&mut File::from(self.values))?;
        let anchors = Anchors::new(&set);
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let stream = |from, to| MaskedStream::new(from, to, Masker::new(&set, &anchors));
        let mut streams = vec![stream(self.output, MaskOutput::new(stdout.as_fd()))];
        streams.extend(self.error.map(|error| stream(error, MaskOutput::new(stderr.as_fd()))));
        lock_memory();
        while !streams.is_empty() {
            let mut polled: Vec<PollFd<'_>> = streams.iter().map(MaskedStream::interest).collect();
            let limit = streams.iter().filter_map(|stream| stream.deadline).min();
            match poll(&mut polled, timeout(limit)) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let ready: Vec<bool> = polled.iter().map(|fd| fd.any() != Some(false)).collect();
            let (mut ready, now) = (ready.into_iter(), Instant::now());
            // A stream whose output fails is closed: its writers then get SIGPIPE as they would without a filter.
            streams.retain_mut(|stream| stream.advance(ready.next().unwrap_or(false), now));
        }
        Ok(())
    }
}

/// Locks the memory against swap.
fn lock_memory() {
    // Only what is in use: otherwise the kernel would read the whole program, which holds no secret. If the limit is too low, the
    // values are as safe here as in the workload's own memory.
    let _ = mlockall(MlockAllFlags::from_bits_retain(libc::MCL_CURRENT | libc::MCL_ONFAULT));
}

fn timeout(end: Option<Instant>) -> PollTimeout {
    let Some(end) = end else { return PollTimeout::NONE };
    // Rounded up: poll(2) counts in milliseconds.
    let left = end.saturating_duration_since(Instant::now()).as_millis() + 1;
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

/// Reads the values: the length of all together, and then each with its length in front.
fn read_values(from: &mut impl Read) -> io::Result<PatternSet> {
    let mut values = Zeroizing::new(Vec::new());
    let mut spans = Vec::new();
    if let Some(total) = read_length(from)? {
        // At once: a vector that grows leaves unwiped memory behind.
        values.reserve_exact(total);
        while let Some(length) = read_length(from)? {
            let start = values.len();
            values.resize(start + length, 0);
            from.read_exact(&mut values[start..])?;
            spans.push(start..start + length);
        }
    }
    Ok(PatternSet::new(values, &spans))
}

/// Returns `None` at the end.
fn read_length(from: &mut impl Read) -> io::Result<Option<usize>> {
    let mut length = [0; 4];
    // The end is only allowed between two values.
    match from.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut length[1..])?,
    }
    Ok(Some(usize::try_from(u32::from_le_bytes(length)).map_err(|_| io::ErrorKind::InvalidData)?))
}

struct MaskedStream<'a> {
    /// `None` at the end.
    from: Option<File>,
    to: MaskOutput<'a>,
    masker: Masker<'a>,
    /// What is to be written. Until it is, nothing more is read.
    out: Zeroizing<Vec<u8>>,
    /// How much of `out` was written.
    written: usize,
    /// When to release what the masker holds.
    deadline: Option<Instant>,
}

impl<'a> MaskedStream<'a> {
    fn new(from: OwnedFd, to: MaskOutput<'a>, masker: Masker<'a>) -> Self {
        // The workload may open the pipe to read from it too, and take what was there.
        let _ = fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        // A replacement is shorter than what it replaces, except after a release.
        let out = Zeroizing::new(Vec::with_capacity(WINDOW + MASK.len()));
        Self { from: Some(from.into()), to, masker, out, written: 0, deadline: None }
    }

    /// What it waits for.
    fn interest(&self) -> PollFd<'_> {
        match &self.from {
            Some(from) if self.out.is_empty() => PollFd::new(from.as_fd(), PollFlags::POLLIN),
            _ => PollFd::new(self.to.as_fd(), PollFlags::POLLOUT),
        }
    }

    /// Reads or writes what is possible now. Returns whether there may be more.
    fn advance(&mut self, ready: bool, now: Instant) -> bool {
        if !self.out.is_empty() {
            if ready && self.write() == Err(Errno::EPIPE) {
                return false;
            }
        } else if ready {
            self.read();
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.masker.release(&mut self.out);
        }
        // Time counts only while there is nothing to read: a paused reader or a busy machine must not uncover the beginning of a value.
        let holds = self.out.is_empty() && self.masker.is_holding();
        self.deadline = holds.then(|| self.deadline.unwrap_or(now + HOLD));
        self.from.is_some() || !self.out.is_empty()
    }

    fn read(&mut self) {
        self.deadline = None;
        let Some(from) = &mut self.from else { return };
        match from.read(self.masker.space()) {
            Ok(0) => {
                self.masker.finish(&mut self.out);
                self.from = None;
            }
            Ok(count) => self.masker.push(count, &mut self.out),
            // Somebody else has read it; poll(2) waits again.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.from = None,
        }
    }

    fn write(&mut self) -> Result<(), Errno> {
        match self.to.write(&self.out[self.written..]) {
            Ok(count) => self.written += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(Errno::EPIPE) => return Err(Errno::EPIPE),
            // A full disk, for example. The piece is lost as it is to a program that goes on after such an error, and the workload is
            // not ended by it.
            Err(_) => self.written = self.out.len(),
        }
        if self.written == self.out.len() {
            self.out.fill(0);
            self.out.clear();
            self.written = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_to_their_end() {
        let length = |count: usize| u32::try_from(count).unwrap().to_le_bytes();
        let mut bytes = length(19).to_vec();
        for value in ["hunter2", "", "second-value"] {
            bytes.extend(length(value.len()));
            bytes.extend(value.as_bytes());
        }
        assert!(read_values(&mut bytes.as_slice()).unwrap().len() > 10);
        assert!(read_values(&mut &bytes[..bytes.len() - 1]).is_err());
        assert!(read_values(&mut &bytes[..3]).is_err());
        assert_eq!(read_values(&mut &[][..]).unwrap().len(), 0);
    }
}
