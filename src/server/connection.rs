//! One connection: HTTP/1.1 or HTTP/2, with limits on headers and time. An idle connection is closed, and a connection that is to
//! stop finishes the requests that it has begun.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::lingering_stream::LingeringStream;
use crate::api::{OverTls, Peer};

/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// How many bytes HTTP/1 reads ahead: more than the headers that the API accepts, so that it can say what is too large.
const READ_AHEAD: usize = 32 * 1024;
/// The most requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 128;

/// How long to wait for a peer.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the headers of an HTTP/1 request, from the end of the request before.
    pub headers: Duration,
    /// Without any request.
    pub idle: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        // A machine that boots on a slow line needs a second or two for each. An idle connection is closed politely before
        // its next headers count as late, so that a client which calls once a minute sees an end and not an error.
        let (handshake, headers, idle) = (10, 30, 20);
        let seconds = Duration::from_secs;
        Self { handshake: seconds(handshake), headers: seconds(headers), idle: seconds(idle) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What all connections of a listener share.
#[derive(Clone)]
pub(crate) struct ConnectionConfig {
    pub(crate) router: Router,
    pub(crate) timeouts: ConnectionTimeouts,
    /// Becomes true when the server stops.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Serves one connection to its end.
pub(crate) async fn serve<S>(
    stream: S,
    protocol: Protocol,
    peer: Peer,
    over_tls: Option<OverTls>,
    config: ConnectionConfig,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ConnectionConfig { router, timeouts, stop } = config;
    let activity = Arc::new(ConnectionActivity::new());
    let service = ConnectionService { router, peer, over_tls, activity: Arc::clone(&activity) };
    match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(timeouts.headers)
                .max_headers(MAX_HEADERS)
                .max_buf_size(READ_AHEAD)
                // An agent reports its boot and then execs: its side closes while the report is still being recorded.
                .half_close(true)
                .serve_connection(TokioIo::new(LingeringStream::new(stream)), service);
            drive(connection, http1::Connection::graceful_shutdown, &activity, timeouts.idle, stop).await;
        }
        Protocol::Http2 => {
            // Without lingering: HTTP/2 tells its peer about an early response in the protocol itself (RFC 9113 section 8.1).
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(READ_AHEAD as u32)
                .max_send_buf_size(64 * 1024)
                // Finds peers that vanished while a request is in progress, when the idle timeout does not count.
                .keep_alive_interval(Some(Duration::from_secs(30)))
                .keep_alive_timeout(Duration::from_secs(20))
                .serve_connection(TokioIo::new(stream), service);
            drive(connection, http2::Connection::graceful_shutdown, &activity, timeouts.idle, stop).await;
        }
    }
}

/// Runs a connection until it ends, and closes it once it is idle or the server stops.
async fn drive<C, E>(
    connection: C,
    close: impl Fn(Pin<&mut C>),
    activity: &ConnectionActivity,
    idle_timeout: Duration,
    mut stop: watch::Receiver<bool>,
) where
    C: Future<Output = Result<(), E>>,
{
    let mut connection = pin!(connection);
    let mut closing = false;
    // A coarse tick instead of a timer that every request would have to reset.
    let mut tick = tokio::time::interval(idle_timeout / 8);
    loop {
        tokio::select! {
            // An error here is the peer's doing: it went away, or was too slow. There is nobody to report it to.
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !closing => {
                closing = true;
                close(connection.as_mut());
            }
            _ = tick.tick() => {
                let idle = activity.idle_time(Instant::now());
                if idle > idle_timeout && !closing {
                    closing = true;
                    close(connection.as_mut());
                } else if idle > idle_timeout * 2 {
                    // It was asked to close, and its peer reads neither that nor the last response.
                    return;
                }
            }
        }
    }
}

/// The requests in progress on a connection: how many, and when the last one ended.
struct ConnectionActivity(Mutex<(usize, Instant)>);

impl ConnectionActivity {
    fn new() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }

    fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.lock().0 += 1;
        RequestGuard(Arc::clone(self))
    }

    fn idle_time(&self, now: Instant) -> Duration {
        let (in_progress, last_end) = *self.lock();
        if in_progress == 0 { now.saturating_duration_since(last_end) } else { Duration::ZERO }
    }

    fn lock(&self) -> MutexGuard<'_, (usize, Instant)> {
        // Two plain values: a panic elsewhere cannot leave them inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request as in progress until it is dropped.
struct RequestGuard(Arc<ConnectionActivity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut activity = self.0.lock();
        *activity = (activity.0.saturating_sub(1), Instant::now());
    }
}

/// The API's routes for the requests of one connection.
struct ConnectionService {
    router: Router,
    peer: Peer,
    over_tls: Option<OverTls>,
    activity: Arc<ConnectionActivity>,
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let guard = self.activity.begin_request();
        // The API reads the peer from here and never from a header, which any client can set.
        request.extensions_mut().insert(self.peer);
        if let Some(over_tls) = self.over_tls {
            request.extensions_mut().insert(over_tls);
        }
        let response = self.router.clone().oneshot(request.map(Body::new));
        Box::pin(async move {
            response.await.map(|response| response.map(|body| TrackedBody { body, _guard: guard }))
        })
    }
}

/// A response body. Its request is in progress until the body has been sent.
struct TrackedBody {
    body: Body,
    _guard: RequestGuard,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
