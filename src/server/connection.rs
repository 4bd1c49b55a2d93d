//! One connection: HTTP/1.1 or HTTP/2 with bounds on headers and time. A connection on which nothing happens is closed,
//! and one that shall stop finishes what it has begun.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
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

/// Headers of a request, in number.
const MAX_HEADERS: usize = 64;
/// Bytes that HTTP/1 reads ahead: more than the headers that the API accepts, so that it can say what is too large.
const READ_AHEAD: usize = 32 * 1024;
/// HTTP/2 requests at once on one connection.
const STREAMS: u32 = 128;

/// How long a peer is waited for.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// To finish the TLS handshake.
    pub handshake: Duration,
    /// To send the headers of an HTTP/1 request, from the end of the one before.
    pub headers: Duration,
    /// With no request under way.
    pub idle: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        // A machine that boots on a slow line needs a second or two for each. An idle connection is closed politely before
        // its next headers count as late, so that a client that asks once a minute sees an end and not an error.
        let (handshake, headers, idle) = (10, 30, 20);
        let seconds = Duration::from_secs;
        Self { handshake: seconds(handshake), headers: seconds(headers), idle: seconds(idle) }
    }
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
}

/// Serves one connection to its end.
pub(crate) async fn serve<S>(
    stream: S,
    protocol: Protocol,
    peer: Peer,
    over_tls: Option<OverTls>,
    router: Router,
    patience: ConnectionTimeouts,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(ConnectionActivity::new());
    let service = ConnectionService { router, peer, over_tls, activity: Arc::clone(&activity) };
    match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience.headers)
                .max_headers(MAX_HEADERS)
                .max_buf_size(READ_AHEAD)
                // An agent reports and execs: its end closes while the report is being recorded.
                .half_close(true)
                .serve_connection(TokioIo::new(LingeringStream::new(stream)), service);
            watched(connection, http1::Connection::graceful_shutdown, &activity, patience.idle, stop).await;
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(READ_AHEAD as u32)
                .max_send_buf_size(64 * 1024)
                .keep_alive_interval(Some(Duration::from_secs(30)))
                .keep_alive_timeout(Duration::from_secs(20))
                .serve_connection(TokioIo::new(stream), service);
            watched(connection, http2::Connection::graceful_shutdown, &activity, patience.idle, stop).await;
        }
    }
}

async fn watched<C, E>(
    connection: C,
    close: impl Fn(Pin<&mut C>),
    activity: &ConnectionActivity,
    patience: Duration,
    mut stop: watch::Receiver<bool>,
) where
    C: Future<Output = Result<(), E>>,
{
    let mut connection = pin!(connection);
    let mut closing = false;
    let mut look = tokio::time::interval(patience / 8);
    loop {
        tokio::select! {
            // How a connection ended is its peer's business: it went away, or was too slow.
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !closing => {
                closing = true;
                close(connection.as_mut());
            }
            _ = look.tick() => {
                let idle = activity.idle(Instant::now());
                if idle > patience && !closing {
                    closing = true;
                    close(connection.as_mut());
                } else if idle > patience * 2 {
                    // Asked to close, and its peer takes neither that nor the last answer.
                    return;
                }
            }
        }
    }
}

/// Requests under way on a connection.
struct ConnectionActivity(Mutex<(usize, Instant)>);

impl ConnectionActivity {
    fn new() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }

    fn begin(self: &Arc<Self>) -> RequestGuard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        RequestGuard(Arc::clone(self))
    }

    fn idle(&self, now: Instant) -> Duration {
        let (under_way, last) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way == 0 { now.saturating_duration_since(last) } else { Duration::ZERO }
    }
}

struct RequestGuard(Arc<ConnectionActivity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0.saturating_sub(1), Instant::now());
    }
}

/// The routes, for the requests of one connection.
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
        let under_way = self.activity.begin();
        request.extensions_mut().insert(self.peer);
        if let Some(over_tls) = self.over_tls {
            request.extensions_mut().insert(over_tls);
        }
        let answer = self.router.clone().oneshot(request.map(Body::new));
        Box::pin(async move {
            answer.await.map(|response| response.map(|body| TrackedBody { body, _under_way: under_way }))
        })
    }
}

/// A body that keeps its request under way until it was taken.
struct TrackedBody {
    body: Body,
    _under_way: RequestGuard,
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
