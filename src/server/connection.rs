//! One connection: HTTP/1.1 or HTTP/2, with limits on headers and time. An idle connection is closed, and a connection that is to
//! stop finishes the requests that it has begun.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{HeaderValue, header};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tower::ServiceExt as _;

use super::connection_table::ConnectionPlace;
use super::lingering_stream::LingeringStream;
use super::proxy_protocol::ProxySources;
use crate::api::{BodySecrecy, ConnectionProof, OverTls, Peer, TlsTerminated};
use crate::crypto::memory::wipe_stack_after_if;

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
    /// The load balancers that send a PROXY header.
    pub(crate) proxies: Arc<ProxySources>,
    /// Becomes true when the server stops.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What is known of a connection before its first request.
pub(crate) struct PeerConnection {
    pub(crate) peer: Peer,
    pub(crate) over_tls: Option<OverTls>,
    /// Of a connection from a load balancer that terminates TLS.
    pub(crate) terminated: Option<TlsTerminated>,
    pub(crate) place: ConnectionPlace,
}

/// Serves one connection to its end.
pub(crate) async fn serve<S>(stream: S, protocol: Protocol, peer: PeerConnection, config: ConnectionConfig)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ConnectionConfig { router, timeouts, stop, .. } = config;
    let PeerConnection { peer, over_tls, terminated, place: ConnectionPlace { activity, proof } } = peer;
    let close = Arc::new(Notify::new());
    let service = ConnectionService {
        router,
        peer,
        over_tls,
        terminated,
        activity: Arc::clone(&activity),
        proof,
        close: Arc::clone(&close),
        protocol,
    };
    let signals = DriveSignals { activity: &activity, idle_timeout: timeouts.idle, close: &close, stop };
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
            drive(connection, http1::Connection::graceful_shutdown, signals).await;
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
            drive(connection, http2::Connection::graceful_shutdown, signals).await;
        }
    }
}

/// When a connection has to end.
struct DriveSignals<'a> {
    activity: &'a ConnectionActivity,
    /// How long it may be idle.
    idle_timeout: Duration,
    /// Notified when a request has left a secret in its buffers. Then the connection may last for at most `idle_timeout`.
    close: &'a Notify,
    /// Becomes true when the server stops.
    stop: watch::Receiver<bool>,
}

/// Runs a connection until it ends, and closes it once one of the signals says so.
async fn drive<C, E>(connection: C, close: impl Fn(Pin<&mut C>), signals: DriveSignals<'_>)
where
    C: Future<Output = Result<(), E>>,
{
    let DriveSignals { activity, idle_timeout, close: close_now, mut stop } = signals;
    let mut connection = pin!(connection);
    let mut closing = false;
    let mut ends_at: Option<Instant> = None;
    // A coarse tick instead of a timer that every request would have to reset.
    let mut tick = tokio::time::interval(idle_timeout / 8);
    loop {
        tokio::select! {
            // An error here means that the peer has disconnected or was too slow, so there is nobody to report it to.
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !closing => {
                closing = true;
                close(connection.as_mut());
            }
            // The buffers of a connection are reused as long as it lives, and wiped when it ends.
            () = close_now.notified(), if ends_at.is_none() => {
                closing = true;
                ends_at = Some(Instant::now() + idle_timeout);
                close(connection.as_mut());
            }
            _ = tick.tick() => {
                let now = Instant::now();
                let idle = activity.idle_time(now);
                // A peer that does not read, or that keeps other requests open, must not keep the secret in memory.
                if ends_at.is_some_and(|ends_at| now > ends_at) {
                    return;
                }
                if idle > idle_timeout && !closing {
                    closing = true;
                    close(connection.as_mut());
                } else if idle > idle_timeout * 2 {
                    // The close was announced, and the peer reads neither that nor the last response.
                    return;
                }
            }
        }
    }
}

/// The requests in progress on a connection: how many, and when the last one ended.
pub(crate) struct ConnectionActivity(Mutex<(usize, Instant)>);

impl ConnectionActivity {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }

    pub(crate) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.lock().0 += 1;
        RequestGuard(Arc::clone(self))
    }

    pub(crate) fn idle_time(&self, now: Instant) -> Duration {
        let (in_progress, last_end) = *self.lock();
        if in_progress == 0 { now.saturating_duration_since(last_end) } else { Duration::ZERO }
    }

    fn lock(&self) -> MutexGuard<'_, (usize, Instant)> {
        // Two plain values: a panic elsewhere cannot leave them inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request as in progress until it is dropped.
pub(crate) struct RequestGuard(Arc<ConnectionActivity>);

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
    terminated: Option<TlsTerminated>,
    activity: Arc<ConnectionActivity>,
    proof: ConnectionProof,
    close: Arc<Notify>,
    protocol: Protocol,
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let guard = self.activity.begin_request();
        // The API reads the peer from here and never from a header, which any client can set.
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.proof.clone());
        if let Some(over_tls) = self.over_tls {
            request.extensions_mut().insert(over_tls);
        }
        if let Some(terminated) = self.terminated {
            request.extensions_mut().insert(terminated);
        }
        // No body, no secret.
        let secrecy = BodySecrecy::default();
        match request.body().is_end_stream() {
            true => secrecy.declare_public(),
            false => drop(request.extensions_mut().insert(secrecy.clone())),
        }
        let protocol = self.protocol;
        let aborted =
            AbortGuard { secrecy: secrecy.clone(), close: Arc::clone(&self.close), answered: false };
        let has_begun = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| Body::new(ObservedBody { body, has_begun: Arc::clone(&has_begun) }));
        let mut response = self.router.clone().oneshot(request);
        Box::pin(async move {
            let mut aborted = aborted;
            let poll = |context: &mut Context<'_>| {
                // Asked afterwards: the poll that reads a body may be the one that handles it and declares it public. The first poll
                // never has a body, because hyper reads one only after it was asked for.
                let may_hold_secret = || has_begun.load(Ordering::Relaxed) && !secrecy.is_public();
                wipe_stack_after_if(|| Pin::new(&mut response).poll(context), may_hold_secret)
            };
            let mut response = poll_fn(poll).await?;
            aborted.answered = true;
            if secrecy.may_hold_secret(response.status()) {
                // The client has to know before it sends the next request. HTTP/2 has no such header: it says so in a frame.
                if protocol == Protocol::Http1 {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                aborted.close.notify_one();
            }
            Ok(response.map(|body| TrackedBody { body, _guard: guard }))
        })
    }
}

/// Closes the connection if its request is aborted: with HTTP/2, a client can do that and keep the connection.
struct AbortGuard {
    secrecy: BodySecrecy,
    close: Arc<Notify>,
    answered: bool,
}

impl Drop for AbortGuard {
    fn drop(&mut self) {
        if !self.answered && !self.secrecy.is_public() {
            self.close.notify_one();
        }
    }
}

/// A request's body, which notes that a part of it has been read.
struct ObservedBody {
    body: Incoming,
    has_begun: Arc<AtomicBool>,
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            // Relaxed: the flag guards no other memory.
            self.has_begun.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
