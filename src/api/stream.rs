//! Response bodies that are produced while they are sent, at the speed of the network. A stream that fails is cut off, so
//! that nobody takes it for a complete one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

/// Chunks produced ahead of the network; each is at most about 2 MiB.
const AHEAD: usize = 2;
/// The time without progress after which a stream is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The sending half of a body.
pub(crate) struct BodySender(mpsc::Sender<io::Result<Bytes>>);

/// The network takes no more.
pub(crate) struct StalledError;

impl BodySender {
    /// Sends the next chunk, or the failure that cuts the body off.
    pub(crate) async fn send(&self, chunk: io::Result<Bytes>) -> Result<(), StalledError> {
        // Without a timeout, a client that stops reading would hold the store's snapshot open.
        self.0.send_timeout(chunk, STALL_TIMEOUT).await.map_err(|_| StalledError)
    }
}

/// Creates a body and its sender.
pub(crate) fn channel() -> (BodySender, Body) {
    // Bounded, so that a slow client slows the producer down instead of filling memory.
    let (sender, receiver) = mpsc::channel(AHEAD);
    (BodySender(sender), Body::new(ChannelBody(receiver)))
}

struct ChannelBody(mpsc::Receiver<io::Result<Bytes>>);

impl HttpBody for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
