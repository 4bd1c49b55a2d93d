//! One HTTP/1.1 exchange at a time over one connection, driven by the caller: no task, no pool, no thread.
//!
//! It never follows a redirect, never reads more of an answer than the call allows, and keeps every body it collects in
//! memory that is wiped. (The buffers inside rustls and hyper are not in its power; they go with the process.)

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use zeroize::Zeroizing;

use super::connect::ConnectTarget;
use super::error::{CallError, CallOutage, CallRefusal, CallStage, ResponseFault};
use super::stream::{StoreStream, WriteProgress};
use crate::crypto::memory::WipedBuffer;

/// The most that the buffers of one connection hold of a head or of unread body.
const BUFFER: usize = 64 * 1024;
/// More headers than any store, with any proxy before it, sends.
const HEADERS: usize = 64;
/// What a body starts with when its length is not told.
const FIRST_CAPACITY: usize = 16 * 1024;

/// A request.
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    /// Path and query, of characters that need no escaping any more.
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub(crate) body: Option<Bytes>,
    /// The longest answer taken, in bytes.
    pub(crate) limit: usize,
}

/// An answer, whatever its status.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// A connection that is open or was so a moment ago.
pub(crate) struct Connection {
    to: String,
    authority: HeaderValue,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: ConnectionDriver,
    written: WriteProgress,
}

impl Connection {
    /// Opens a connection within `limit`.
    pub(crate) async fn open(target: &ConnectTarget, limit: Duration) -> Result<Self, CallError> {
        let stream = target.connect(limit).await?;
        let written = stream.written();
        let authority = HeaderValue::try_from(target.endpoint.authority())
            .map_err(|_| CallRefusal::Request("the address"))?;
        let to = target.to.clone();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .max_headers(HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| CallOutage::Broken { to: to.clone(), during: CallStage::Sending })?;
        Ok(Self { to, authority, sender, driver: ConnectionDriver(Some(connection)), written })
    }

    /// Whether another exchange can be tried on it.
    #[cfg(feature = "server")]
    pub(crate) async fn is_open(&mut self) -> bool {
        let Self { sender, driver, .. } = self;
        // The runtime looks at the socket, then one turn of the driver notices that the other side has closed.
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            driver.turn(cx);
            Poll::Ready(matches!(sender.poll_ready(cx), Poll::Ready(Ok(()))))
        })
        .await
    }

    /// Sends `call` and collects its answer within `limit`.
    pub(crate) async fn exchange(
        &mut self,
        call: &HttpRequest,
        limit: Duration,
    ) -> Result<HttpResponse, CallError> {
        let before = self.written.total();
        let mut reading = false;
        let timed = tokio::time::timeout(limit, async {
            let response = self.respond(call).await?;
            reading = true;
            self.collect(response, call.limit).await
        })
        .await;
        timed.unwrap_or_else(|_| {
            Err(self.late(if reading { CallStage::Reading } else { self.sent_beyond(before) }))
        })
    }

    /// Sends `call` and gives the body of a successful answer to `sink` as it comes. `limit` is for the head and for each
    /// piece, as the whole may be long. The body of any other answer is collected.
    #[cfg(feature = "server")]
    pub(crate) async fn stream(
        &mut self,
        call: &HttpRequest,
        limit: Duration,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<HttpResponse, CallError> {
        let before = self.written.total();
        let timed = tokio::time::timeout(limit, self.respond(call)).await;
        let response = timed.unwrap_or_else(|_| Err(self.late(self.sent_beyond(before))))?;
        if !response.status().is_success() {
            let timed = tokio::time::timeout(limit, self.collect(response, call.limit)).await;
            return timed.unwrap_or_else(|_| Err(self.late(CallStage::Reading)));
        }
        let (head, body) = response.into_parts();
        self.refuse_unbounded(&head.headers, &body)?;
        let mut body = pin!(body);
        loop {
            let timed = tokio::time::timeout(limit, self.drive(body.frame())).await;
            let Some(frame) = timed.map_err(|_| self.late(CallStage::Reading))?? else { break };
            let frame = frame.map_err(|error| self.judge(&error, CallStage::Reading))?;
            if let Some(data) = frame.data_ref() {
                sink(data).map_err(|error| CallRefusal::Sink(error.kind()))?;
            }
        }
        Ok(HttpResponse { status: head.status, headers: head.headers, body: Zeroizing::new(Vec::new()) })
    }

    /// Sends `call` and does not wait for its answer: returns when all of it has gone to the kernel, or at `limit`. What has
    /// come in by then is read, since the kernel answers a close with unread bytes by a reset, which can destroy what was
    /// just sent.
    pub(crate) async fn send_nowait(self, call: &HttpRequest, limit: Duration) {
        let Ok(request) = self.request(call) else { return };
        let before = self.written.total();
        let Self { mut sender, mut driver, written, .. } = self;
        let mut response = pin!(sender.send_request(request));
        let sent = poll_fn(|cx| {
            driver.turn(cx);
            // Never ready before the answer is there, which means that the request was sent as well.
            let answered = response.as_mut().poll(cx).is_ready();
            if answered || driver.0.is_none() || written.flushed_beyond(before) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::time::timeout(limit, sent).await.ok();
        poll_fn(|cx| {
            driver.turn(cx);
            Poll::Ready(())
        })
        .await;
    }

    async fn respond(&mut self, call: &HttpRequest) -> Result<Response<Incoming>, CallError> {
        let request = self.request(call)?;
        let before = self.written.total();
        let response = self.sender.send_request(request);
        self.drive(response).await?.map_err(|error| self.judge(&error, self.sent_beyond(before)))
    }

    fn request(&self, call: &HttpRequest) -> Result<Request<Full<Bytes>>, CallRefusal> {
        let body = call.body.clone().unwrap_or_default();
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.path.as_str())
            .body(Full::new(body))
            .map_err(|_| CallRefusal::Request("the path"))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.authority.clone());
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("dropsafe/", env!("CARGO_PKG_VERSION"))),
        );
        headers
            .insert(header::ACCEPT, HeaderValue::from_static("application/json, application/problem+json"));
        if call.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        } else if call.method == Method::POST {
            // Some proxies wait for a body, or refuse, without it (RFC 9110, section 8.6); hyper leaves it out.
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        for (name, value) in &call.headers {
            headers.insert(name.clone(), value.clone());
        }
        Ok(request)
    }

    async fn collect(
        &mut self,
        response: Response<Incoming>,
        limit: usize,
    ) -> Result<HttpResponse, CallError> {
        let (head, body) = response.into_parts();
        self.refuse_unbounded(&head.headers, &body)?;
        let expected = body.size_hint().exact();
        if expected.is_some_and(|length| length > limit as u64) {
            return Err(self.bad(ResponseFault::TooLarge));
        }
        let capacity =
            expected.and_then(|length| usize::try_from(length).ok()).unwrap_or(FIRST_CAPACITY.min(limit));
        let mut collected = WipedBuffer::with_capacity(capacity);
        let mut body = pin!(body);
        while let Some(frame) = self.drive(body.frame()).await? {
            let frame = frame.map_err(|error| self.judge(&error, CallStage::Reading))?;
            let Some(data) = frame.data_ref() else { continue };
            if collected.len() + data.len() > limit {
                return Err(self.bad(ResponseFault::TooLarge));
            }
            collected.append(data);
        }
        Ok(HttpResponse { status: head.status, headers: head.headers, body: collected.into_inner() })
    }

    /// A body that ends where the connection ends could be cut short by anyone unnoticed.
    fn refuse_unbounded(&self, headers: &HeaderMap, body: &Incoming) -> Result<(), CallError> {
        let bounded = body.size_hint().exact().is_some() || headers.contains_key(header::TRANSFER_ENCODING);
        if bounded { Ok(()) } else { Err(self.bad(ResponseFault::Unbounded)) }
    }

    /// Runs `future`, which waits for something of this connection, and moves the connection's bytes meanwhile.
    async fn drive<F: Future>(&mut self, future: F) -> Result<F::Output, CallError> {
        let mut future = pin!(future);
        let driver = &mut self.driver;
        let output = poll_fn(|cx| {
            driver.turn(cx);
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                // Nothing more can come. hyper tells the future before it ends, so this only bars a hang.
                Poll::Pending if driver.0.is_none() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        output.ok_or_else(|| CallOutage::Broken { to: self.to.clone(), during: CallStage::Waiting }.into())
    }

    fn sent_beyond(&self, before: u64) -> CallStage {
        if self.written.total() > before { CallStage::Waiting } else { CallStage::Sending }
    }

    fn late(&self, during: CallStage) -> CallError {
        CallOutage::Late { to: self.to.clone(), during }.into()
    }

    fn judge(&self, error: &hyper::Error, during: CallStage) -> CallError {
        if error.is_parse() {
            return self.bad(ResponseFault::NotHttp);
        }
        CallOutage::Broken { to: self.to.clone(), during }.into()
    }

    fn bad(&self, why: ResponseFault) -> CallError {
        CallRefusal::BadResponse { to: self.to.clone(), why }.into()
    }
}

/// hyper's half that moves the bytes; none when it has ended.
struct ConnectionDriver(Option<http1::Connection<TokioIo<StoreStream>, Full<Bytes>>>);

impl ConnectionDriver {
    fn turn(&mut self, cx: &mut Context<'_>) {
        let ended = self.0.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_ready());
        if ended {
            self.0 = None;
        }
    }
}
