//! Bodies that are made while they are sent, no faster than the network takes them. One that fails breaks off, so that
//! nobody takes it for a whole one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use tokio::sync::mpsc;

/// BodySender made ahead of the network; each is at most some 2 MiB.
const AHEAD: usize = 2;
/// How long the network may take no piece before the stream is given up.
const STALLED: Duration = Duration::from_secs(60);

type Piece = Result<Bytes, io::Error>;

/// Where pieces are put in.
pub(crate) struct BodySender(mpsc::Sender<Piece>);

/// The network takes no more.
pub(crate) struct StalledError;

impl BodySender {
    /// Gives the next piece.
    pub(crate) async fn give(&self, piece: Piece) -> Result<(), StalledError> {
        self.0.send_timeout(piece, STALLED).await.map_err(|_| StalledError)
    }
}

/// A body, and where it comes from.
pub(crate) fn channel() -> (BodySender, Body) {
    let (pieces, taken) = mpsc::channel(AHEAD);
    (BodySender(pieces), Body::new(ChannelBody(taken)))
}

struct ChannelBody(mpsc::Receiver<Result<Bytes, io::Error>>);

impl HttpBody for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(hyper::body::Frame::data)))
    }
}
