//! What every request passes through, outermost: its id and span, admission, the limits on headers and time, the
//! headers that all answers have, one log line and its metrics. Logs the matched route, never the path, the query, a
//! header or a body.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::Api;
use super::problem::ApiError;
use crate::wire::{Code, paths};

/// Where a request comes from; the server puts it into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The Unix socket: whoever may open it.
    Socket,
    /// The network.
    Network(IpAddr),
}

impl Peer {
    /// The address; none on the Unix socket.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Socket => None,
            Self::Network(address) => Some(address.to_canonical()),
        }
    }

    /// Of a request. One that the server did not mark is a stranger's.
    pub(crate) fn of(extensions: &http::Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::Network(IpAddr::from([0, 0, 0, 0])))
    }
}

/// Marks a request that came over TLS; the server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// The request's id: 16 hexadecimal digits, in the answer's `x-request-id`, in the log and in the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// The outermost layer.
pub(crate) async fn handle(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&api);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let peer = Peer::of(request.extensions());
    let span = tracing::info_span!(
        "request",
        %id, %method, route = route.unwrap_or("none"), source = Empty, actor = Empty,
    );
    match peer {
        Peer::Network(address) => span.record("source", tracing::field::display(address.to_canonical())),
        Peer::Socket => span.record("source", "socket"),
    };
    request.extensions_mut().insert(RequestId(id.clone()));

    let mut response = answer(&api, route, request, next).instrument(span.clone()).await;

    let took = started.elapsed();
    let status = response.status();
    let code = response.extensions_mut().remove::<Code>();
    dress(response.headers_mut(), &id);
    api.metrics().answered(route, &method, status, took);
    if code == Some(Code::Overloaded) {
        api.metrics().shed.fetch_add(1, Relaxed);
    }
    let (status, micros) = (status.as_u16(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let code = code.map_or("", Code::as_str);
    span.in_scope(|| match route {
        Some(paths::HEALTHZ | paths::READYZ | paths::METRICS) => {
            tracing::debug!(status, micros, code, "answered")
        }
        _ => tracing::info!(status, micros, code, "answered"),
    });
    response
}

async fn answer(api: &Api, route: Option<&str>, request: Request, next: Next) -> Response {
    // Whoever watches the server must see it above all when it is busy.
    let watching = matches!(route, Some(paths::HEALTHZ | paths::READYZ | paths::METRICS));
    let admitted = match route {
        Some(paths::BOOT | paths::BOOT_REPORT) => api.limits().admit_boot(),
        _ => api.limits().admit(),
    };
    let _permit = match admitted {
        Ok(permit) => Some(permit),
        Err(_) if watching => None,
        Err(refused) => return refused.into_response(),
    };
    let settings = api.limits().settings();
    if header_bytes(request.headers()) > settings.header_bytes {
        let detail = format!("the headers have more than {} bytes", settings.header_bytes);
        return ApiError::new(Code::HeadersTooLarge, detail).into_response();
    }
    // What these do takes as long as there are entries in the trail, or secrets in an organization.
    let limit = if matches!(route, Some(paths::AUDIT_VERIFY | paths::VAULT_ROTATE_ALL)) {
        Duration::MAX
    } else {
        settings.request_timeout
    };
    match tokio::time::timeout(limit, unwinding(next.run(request))).await {
        Ok(Ok(response)) => response,
        Ok(Err(Panicked)) => {
            tracing::error!("a request panicked");
            ApiError::new(Code::Internal, "the request could not be done; the server's log says more")
                .into_response()
        }
        Err(_) => ApiError::new(Code::Unavailable, "the request took too long").into_response(),
    }
}

struct Panicked;

/// Turns a panic into an answer. What it says is dropped here; the process's hook has said where it was.
async fn unwinding<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
            .map_or(std::task::Poll::Ready(Err(Panicked)), |poll| poll.map(Ok))
    })
    .await
}

fn request_id(api: &Api) -> String {
    let mut bytes = [0_u8; 8];
    api.fill_random(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The headers that every answer has, unless it says otherwise itself.
fn dress(headers: &mut HeaderMap, id: &str) {
    const FIXED: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    for (name, value) in FIXED {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}
