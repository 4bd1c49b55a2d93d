//! A stream with a lingering close: it ends its own side, and then reads for a moment what its peer still sends. The kernel resets a
//! socket that is closed with unread data, and the reset can overtake the response (RFC 9112 section 9.6): a client that sends too
//! large a body would never learn that it is too large.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use zeroize::Zeroize as _;

/// How long and how much to read after the end.
const TIME: Duration = Duration::from_secs(2);
const BYTES: usize = 8 * 1024 * 1024;

/// A stream that lingers when it is shut down.
pub(crate) struct LingeringStream<S> {
    stream: S,
    state: LingerState,
}

enum LingerState {
    Open,
    /// Our side has ended; the peer's data is read and dropped.
    Draining {
        remaining: usize,
        deadline: Pin<Box<Sleep>>,
    },
    Done,
}

impl<S> LingeringStream<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, state: LingerState::Open }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, state } = &mut *self;
        loop {
            match state {
                LingerState::Open => {
                    ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
                    let deadline = Box::pin(tokio::time::sleep(TIME));
                    *state = LingerState::Draining { remaining: BYTES, deadline };
                }
                LingerState::Draining { remaining, deadline } => {
                    // First, so that a peer which never stops sending cannot keep the connection.
                    if deadline.as_mut().poll(context).is_ready() {
                        *state = LingerState::Done;
                        continue;
                    }
                    let mut space = [0; 8192];
                    let mut buffer = ReadBuf::new(&mut space);
                    let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
                    // An error counts as the end: the response is sent, and nothing waits for this connection.
                    let read = read.map_or(0, |()| buffer.filled().len());
                    // The rest of a refused body may be a value, and nobody else wipes the stack.
                    space.zeroize();
                    *remaining = remaining.saturating_sub(read);
                    if read == 0 || *remaining == 0 {
                        *state = LingerState::Done;
                    }
                }
                LingerState::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}
