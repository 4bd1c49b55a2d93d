//! Writes to a standard stream without waiting for its reader.
#![expect(clippy::disallowed_methods, reason = "opens its own standard streams once more")]

use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::write;

/// What fits where poll(2) says that a pipe can be written to, if nobody else writes (PIPE_BUF, pipe(7)).
const ATOMIC: usize = 4096;

pub(crate) struct MaskOutput<'a> {
    stream: BorrowedFd<'a>,
    /// The same pipe or terminal through an open file description of its own.
    own: Option<OwnedFd>,
    kind: SFlag,
}

impl<'a> MaskOutput<'a> {
    pub(crate) fn new(stream: BorrowedFd<'a>) -> Self {
        let kind = fstat(stream)
            .map_or(SFlag::empty(), |stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT);
        let waits = kind == SFlag::S_IFIFO || kind == SFlag::S_IFCHR;
        // O_NONBLOCK belongs to the open file description (fcntl(2)), which this process shares with the one that started it. So the
        // flag is not set there.
        let own = waits.then(|| reopen(stream)).flatten();
        Self { stream, own, kind }
    }

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// EAGAIN if that would have to wait. Anything else is final.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if self.kind == SFlag::S_IFSOCK {
            return send(self.stream.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
        // Another user's terminal or pipe cannot be opened, and there may be no /proc.
        let waits = self.own.is_none() && self.kind != SFlag::S_IFREG;
        let limit = if waits { bytes.len().min(ATOMIC) } else { bytes.len() };
        write(self.as_fd(), &bytes[..limit])
    }
}

impl AsFd for MaskOutput<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_ref().map_or(self.stream, |own| own.as_fd())
    }
}

fn reopen(stream: BorrowedFd<'_>) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    // O_NOCTTY: opening a terminal must not make it the controlling one.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().write(true).custom_flags(flags.bits()).open(path).ok().map(OwnedFd::from)
}
