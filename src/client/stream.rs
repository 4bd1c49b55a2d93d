//! The byte stream below HTTP: TLS, loopback TCP or a Unix socket as one type. It knows when everything written has been
//! handed to the kernel.

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

/// A byte stream to a store.
pub(crate) struct StoreStream {
    inner: StreamKind,
    progress: WriteProgress,
}

/// Counts the bytes written and flushed. The stream writes the counts; other handles only read them.
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

    /// Whether more than `before` was written and all of it was flushed.
    pub(crate) fn flushed_beyond(&self, before: u64) -> bool {
        // Relaxed is enough: stream and reader run on one task, one after the other.
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
        Self { inner, progress: WriteProgress::default() }
    }

    /// A handle to the counts.
    pub(crate) fn progress(&self) -> WriteProgress {
        self.progress.clone()
    }

    fn count_written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        // A write may accept less than it was given.
        if let Poll::Ready(Ok(count)) = &result {
            self.progress.0.written.fetch_add(*count as u64, Relaxed);
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
        self.count_written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = inner!(self, stream => stream.poll_write_vectored(cx, slices));
        self.count_written(result)
    }

    fn is_write_vectored(&self) -> bool {
        // Without it, hyper copies headers and body into one buffer before it writes.
        match &self.inner {
            StreamKind::Tls(stream) => stream.is_write_vectored(),
            StreamKind::Tcp(stream) => stream.is_write_vectored(),
            StreamKind::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = inner!(self, stream => stream.poll_flush(cx));
        if let Poll::Ready(Ok(())) = &result {
            // TLS buffers records, so only a flush proves that the kernel has them.
            self.progress.0.flushed.store(self.progress.total(), Relaxed);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_shutdown(cx))
    }
}
