//! A pipe from the process that becomes the workload to its supervisor. It is made before the fork. What is written stays in the pipe, and
//! execve(2) closes the writing end.

use std::io;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::OnceLock;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use zeroize::Zeroizing;

/// The writing end, in the process that becomes the workload. Elsewhere it is not open.
#[derive(Debug)]
pub(crate) struct SupervisorPipe(OnceLock<PipeWriter>);

impl SupervisorPipe {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.get().is_some()
    }

    /// Writes, if the pipe is open. A pipe holds more than all messages, so that this does not wait for a reader.
    pub(crate) fn send(&self, message: &[u8]) -> io::Result<()> {
        self.0.get().map_or(Ok(()), |mut pipe| pipe.write_all(message))
    }
}

/// Both ends, before the fork.
#[derive(Debug)]
pub(crate) struct PipeEnds {
    reader: PipeReader,
    writer: PipeWriter,
}

impl PipeEnds {
    /// Returns `None` if the kernel is out of descriptors.
    pub(crate) fn new() -> Option<Self> {
        let (reader, writer) = io::pipe().ok()?;
        Some(Self { reader, writer })
    }

    pub(crate) fn become_writer(self, pipe: &SupervisorPipe) {
        // Set once: only the child of the first fork calls this.
        let _ = pipe.0.set(self.writer);
    }

    pub(crate) fn become_reader(self) -> PipeReader {
        self.reader
    }
}

/// Reads what there is, `limit` bytes at most. Another process of the same user may have opened the writing end again through /proc, and
/// must not hold up this one.
pub(crate) fn read_now(pipe: PipeReader, limit: usize) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(limit));
    if fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok() {
        // What there is counts, even if the pipe is still open.
        let _ = pipe.take(limit as u64).read_to_end(&mut message);
    }
    message
}
