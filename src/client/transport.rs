//! HTTP/1.1 exchanges, one at a time over one connection. The caller's future drives the connection: there is no task, pool
//! or thread.
//!
//! It never follows a redirect, never reads more of a response than the request allows, and collects bodies in memory that
//! is wiped. (It cannot wipe the buffers inside rustls and hyper.)

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::connect::ConnectTarget;
use super::error::{CallError, CallOutage, CallRefusal, CallStage, ResponseFault};
use super::request;
use super::request::HttpRequest;
use super::stream::{StoreStream, WriteProgress};
use crate::crypto::memory::WipedBuffer;

/// The largest buffer for headers or unread body.
const MAX_BUFFER: usize = 64 * 1024;
/// The most headers: more than a store and its proxies send.
const MAX_HEADERS: usize = 64;
/// The buffer's first size for a body of unknown length.
const FIRST_CAPACITY: usize = 16 * 1024;

/// A future in a box, so that the agent has its code once and not in each of its callers: it has to be small.
type CallFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + 'a>>;

/// A response of any status.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// A connection. The other side may close it at any time.
pub(crate) struct Connection {
    address: String,
    authority: HeaderValue,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: ConnectionDriver,
    progress: WriteProgress,
}

impl Connection {
    pub(crate) fn open(target: &ConnectTarget, limit: Duration) -> CallFuture<'_, Self> {
        Box::pin(Self::open_unboxed(target, limit))
    }

    async fn open_unboxed(target: &ConnectTarget, limit: Duration) -> Result<Self, CallError> {
        let stream = target.connect(limit).await?;
        let progress = stream.progress();
        let authority = HeaderValue::try_from(target.endpoint.authority())
            .map_err(|_| CallRefusal::Request("the address"))?;
        let address = target.address.clone();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_headers(MAX_HEADERS)
            // It does no input or output yet, so it needs no time limit.
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| CallOutage::Broken { address: address.clone(), during: CallStage::Sending })?;
        Ok(Self { address, authority, sender, driver: ConnectionDriver(Some(connection)), progress })
    }

    /// Whether the connection can carry another exchange.
    #[cfg(feature = "server")]
    pub(crate) async fn is_open(&mut self) -> bool {
        let Self { sender, driver, .. } = self;
        // The runtime checks the socket only between polls; after that, one poll of the driver sees whether the other side
        // has closed.
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            driver.poll(cx);
            Poll::Ready(matches!(sender.poll_ready(cx), Poll::Ready(Ok(()))))
        })
        .await
    }

    /// Sends `call` and collects the response within `limit`.
    pub(crate) fn exchange<'a>(
        &'a mut self,
        call: &'a HttpRequest,
        limit: Duration,
    ) -> CallFuture<'a, HttpResponse> {
        self.exchange_unless_silent(call, limit, limit)
    }

    /// The same. It also fails when the other side sends nothing for `silence`: no response, or no more of its body.
    pub(crate) fn exchange_unless_silent<'a>(
        &'a mut self,
        call: &'a HttpRequest,
        limit: Duration,
        silence: Duration,
    ) -> CallFuture<'a, HttpResponse> {
        Box::pin(self.exchange_unboxed(call, limit, silence))
    }

    async fn exchange_unboxed(
        &mut self,
        call: &HttpRequest,
        limit: Duration,
        silence: Duration,
    ) -> Result<HttpResponse, CallError> {
        let before = self.progress.total();
        let started = Instant::now();
        let left = || silence.min(limit.saturating_sub(started.elapsed()));
        let timed = tokio::time::timeout(left(), self.respond(call)).await;
        let response = timed.unwrap_or_else(|_| Err(self.late(self.stage_since(before))))?;
        self.collect(response, call.limit, left).await
    }

    /// Sends `call` and passes the body of a successful response to `sink` as it arrives. `limit` applies to the headers and
    /// to each chunk. The body of any other response is collected.
    #[cfg(feature = "server")]
    pub(crate) async fn stream(
        &mut self,
        call: &HttpRequest,
        limit: Duration,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<HttpResponse, CallError> {
        let before = self.progress.total();
        let timed = tokio::time::timeout(limit, self.respond(call)).await;
        let response = timed.unwrap_or_else(|_| Err(self.late(self.stage_since(before))))?;
        if !response.status().is_success() {
            let started = Instant::now();
            return self.collect(response, call.limit, || limit.saturating_sub(started.elapsed())).await;
        }
        let (head, body) = response.into_parts();
        self.refuse_unbounded(&head.headers, &body)?;
        let mut body = pin!(body);
        // No limit for the whole: a backup's size is not known, and a stream that advances is healthy.
        loop {
            let timed = tokio::time::timeout(limit, self.drive(body.frame())).await;
            let Some(frame) = timed.map_err(|_| self.late(CallStage::Reading))?? else { break };
            let frame = frame.map_err(|error| self.classify(&error, CallStage::Reading))?;
            if let Some(data) = frame.data_ref() {
                sink(data).map_err(|error| CallRefusal::Sink(error.kind()))?;
            }
        }
        Ok(HttpResponse { status: head.status, headers: head.headers, body: Zeroizing::new(Vec::new()) })
    }

    /// Sends `call` without waiting for the response: returns when the kernel has the whole request, or after `limit`.
    pub(crate) async fn send_nowait(self, call: &HttpRequest, limit: Duration) {
        // Nobody can act on the error.
        let Ok(request) = request::build(call, &self.authority) else { return };
        let before = self.progress.total();
        let Self { mut sender, mut driver, progress, .. } = self;
        let mut response = pin!(sender.send_request(request));
        let sent = poll_fn(|cx| {
            driver.poll(cx);
            // Ready only with a response, which a server may send before it has read the whole request.
            let answered = response.as_mut().poll(cx).is_ready();
            if answered || driver.0.is_none() || progress.flushed_beyond(before) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::time::timeout(limit, sent).await.ok();
        // Reads what has arrived by now: if a socket is closed with unread bytes, the kernel sends a reset, which can make the
        // other side drop the request (RFC 9112, section 9.6).
        poll_fn(|cx| {
            driver.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    async fn respond(&mut self, call: &HttpRequest) -> Result<Response<Incoming>, CallError> {
        let request = request::build(call, &self.authority)?;
        let before = self.progress.total();
        let response = self.sender.send_request(request);
        self.drive(response).await?.map_err(|error| self.classify(&error, self.stage_since(before)))
    }

    async fn collect(
        &mut self,
        response: Response<Incoming>,
        limit: usize,
        left: impl Fn() -> Duration + Send,
    ) -> Result<HttpResponse, CallError> {
        let (head, body) = response.into_parts();
        self.refuse_unbounded(&head.headers, &body)?;
        // Refused before it is read: a length is a promise that costs the server nothing.
        let expected = body.size_hint().exact();
        if expected.is_some_and(|length| length > limit as u64) {
            return Err(self.bad(ResponseFault::TooLarge));
        }
        let capacity =
            expected.and_then(|length| usize::try_from(length).ok()).unwrap_or(FIRST_CAPACITY.min(limit));
        // With a known length, the buffer never grows.
        let mut collected = WipedBuffer::with_capacity(capacity);
        let mut body = pin!(body);
        loop {
            let timed = tokio::time::timeout(left(), self.drive(body.frame())).await;
            let Some(frame) = timed.map_err(|_| self.late(CallStage::Reading))?? else { break };
            let frame = frame.map_err(|error| self.classify(&error, CallStage::Reading))?;
            // Trailers are not used.
            let Some(data) = frame.data_ref() else { continue };
            // A chunked body has no length that could be checked before.
            if collected.len() + data.len() > limit {
                return Err(self.bad(ResponseFault::TooLarge));
            }
            collected.append(data);
        }
        Ok(HttpResponse { status: head.status, headers: head.headers, body: collected.into_inner() })
    }

    /// Refuses a body that ends with the connection: anybody in between could truncate it unnoticed.
    fn refuse_unbounded(&self, headers: &HeaderMap, body: &Incoming) -> Result<(), CallError> {
        // hyper reads it until the connection closes (RFC 9112, section 6.3, rule 8).
        let bounded = body.size_hint().exact().is_some() || headers.contains_key(header::TRANSFER_ENCODING);
        if bounded { Ok(()) } else { Err(self.bad(ResponseFault::Unbounded)) }
    }

    /// Runs `future`, which waits for this connection, and drives the connection's input and output meanwhile.
    async fn drive<F: Future>(&mut self, future: F) -> Result<F::Output, CallError> {
        let mut future = pin!(future);
        let driver = &mut self.driver;
        let output = poll_fn(|cx| {
            driver.poll(cx);
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                // hyper wakes the future before it ends the connection, so this only prevents a hang.
                Poll::Pending if driver.0.is_none() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        output.ok_or_else(|| {
            CallOutage::Broken { address: self.address.clone(), during: CallStage::Waiting }.into()
        })
    }

    fn stage_since(&self, before: u64) -> CallStage {
        if self.progress.total() > before { CallStage::Waiting } else { CallStage::Sending }
    }

    fn late(&self, during: CallStage) -> CallError {
        CallOutage::Late { address: self.address.clone(), during }.into()
    }

    fn classify(&self, error: &hyper::Error, during: CallStage) -> CallError {
        // A refusal: what speaks another protocol at this address will do so the next time.
        if error.is_parse() {
            return self.bad(ResponseFault::NotHttp);
        }
        CallOutage::Broken { address: self.address.clone(), during }.into()
    }

    fn bad(&self, why: ResponseFault) -> CallError {
        CallRefusal::BadResponse { address: self.address.clone(), why }.into()
    }
}

/// The half of hyper's connection that does its input and output. `None` after the connection has ended.
struct ConnectionDriver(Option<http1::Connection<TokioIo<StoreStream>, Full<Bytes>>>);

impl ConnectionDriver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        let ended = self.0.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_ready());
        // A future must not be polled after its end.
        if ended {
            self.0 = None;
        }
    }
}
