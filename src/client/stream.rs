//! The bytes below HTTP: TLS, loopback TCP or a Unix socket behind one type, which knows when all that was written has
//! gone to the kernel.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connection of any kind.
pub(crate) struct StoreStream {
    inner: StreamKind,
    written: WriteProgress,
}

/// How many bytes were written, and how many of them were flushed. One task writes; another handle only reads.
#[derive(Clone, Default)]
pub(crate) struct WriteProgress(Arc<WriteCounts>);

#[derive(Default)]
struct WriteCounts {
    written: AtomicU64,
    flushed: AtomicU64,
}

impl WriteProgress {
    /// Bytes written so far.
    pub(crate) fn total(&self) -> u64 {
        self.0.written.load(Relaxed)
    }

    /// Whether more than `before` was written, and all of it has gone to the kernel.
    pub(crate) fn flushed_beyond(&self, before: u64) -> bool {
        let total = self.total();
        total > before && self.0.flushed.load(Relaxed) == total
    }
}

enum StreamKind {
    Tls(Box<TlsStream<TcpStream>>),
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl StoreStream {
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::new(StreamKind::Tls(Box::new(stream)))
    }

    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self::new(StreamKind::Tcp(stream))
    }

    pub(crate) fn unix(stream: UnixStream) -> Self {
        Self::new(StreamKind::Unix(stream))
    }

    fn new(inner: StreamKind) -> Self {
        Self { inner, written: WriteProgress::default() }
    }

    /// A handle that tells how far the writing is.
    pub(crate) fn written(&self) -> WriteProgress {
        self.written.clone()
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &result {
            self.written.0.written.fetch_add(*count as u64, Relaxed);
        }
        result
    }
}

macro_rules! inner {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.inner {
            StreamKind::Tls($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
            StreamKind::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            StreamKind::Unix($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for StoreStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for StoreStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = inner!(self, stream => stream.poll_write(cx, bytes));
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = inner!(self, stream => stream.poll_write_vectored(cx, slices));
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            StreamKind::Tls(stream) => stream.is_write_vectored(),
            StreamKind::Tcp(stream) => stream.is_write_vectored(),
            StreamKind::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = inner!(self, stream => stream.poll_flush(cx));
        if let Poll::Ready(Ok(())) = &result {
            self.written.0.flushed.store(self.written.total(), Relaxed);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_shutdown(cx))
    }
}
