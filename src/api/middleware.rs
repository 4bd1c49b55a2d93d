//! The layer around every request, outermost first: request id and span, admission, limits on headers and time, the
//! headers of every response, one log line, metrics. Logs the matched route, never the path, the query, a header or a
//! body.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::console::AUDIT_VERIFY as CONSOLE_VERIFY;
use super::limits::LONGEST_VERIFICATION;
use super::problem::ApiError;
use super::request_marks::{InnerStatus, Peer, RequestId};
use super::{Api, sealed, tls_terminated};
use crate::wire::{Code, paths};

/// Handles one request, from its headers to the response's headers.
pub(crate) async fn handle(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&api);
    let method = request.method().clone();
    // The route, not the path: a path holds names and ids, and sometimes a secret that was pasted into an address.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        %id, %method, route = route.unwrap_or("none"), source = Empty, actor = Empty,
    );
    match Peer::from_extensions(request.extensions()).address() {
        Some(address) => span.record("source", tracing::field::display(address)),
        None => span.record("source", "socket"),
    };
    request.extensions_mut().insert(RequestId(id.clone()));

    let mut response = respond(&api, route, request, next).instrument(span.clone()).await;

    let elapsed = started.elapsed();
    // That of a sealed response is in it, and the outer one says nothing.
    let inner = response.extensions_mut().remove::<InnerStatus>();
    let status = inner.map_or_else(|| response.status(), |InnerStatus(status)| status);
    let code = response.extensions_mut().remove::<Code>();
    // Here, so that refusals and panics have them too.
    add_headers(response.headers_mut(), &id);
    api.metrics().count_response(route, &method, status, elapsed);
    if code == Some(Code::Overloaded) {
        api.metrics().shed.inc();
    }
    let (status, micros) = (status.as_u16(), u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
    let code = code.map_or("", Code::as_str);
    span.in_scope(|| {
        // Probes come every few seconds, and would be most of the log.
        if is_probe(route) {
            tracing::debug!(status, micros, code, "answered");
        } else {
            tracing::info!(status, micros, code, "answered");
        }
    });
    response
}

fn is_probe(route: Option<&str>) -> bool {
    matches!(route, Some(paths::HEALTHZ | paths::READYZ | paths::METRICS))
}

async fn respond(api: &Api, route: Option<&str>, mut request: Request, next: Next) -> Response {
    let admitted = match route {
        Some(paths::BOOT | paths::EXPLAIN | paths::BOOT_REPORT) => api.limits().admit_boot(),
        _ => api.limits().admit(),
    };
    let slot = match admitted {
        Ok(slot) => Some(slot),
        // A busy server is what monitoring has to see, so probes pass.
        Err(_) if is_probe(route) => None,
        Err(error) => return error.into_response(),
    };
    if let Some(slot) = &slot {
        // What reads the body gives the slot up meanwhile. The one in this function outlives the request's.
        request.extensions_mut().insert(slot.clone());
    }
    // After admission, which is cheaper than counting headers.
    let settings = api.limits().settings();
    if header_bytes(request.headers()) > settings.header_bytes {
        let detail = format!("the headers have more than {} bytes", settings.header_bytes);
        return ApiError::new(Code::HeadersTooLarge, detail).into_response();
    }
    if let Err(error) = tls_terminated::check_request(route, &request) {
        return error.into_response();
    }
    // These take as long as there are audit entries, or secrets of an organization.
    let limit = match route {
        Some(paths::AUDIT_VERIFY | paths::AUDIT_CHECKPOINT | CONSOLE_VERIFY) => LONGEST_VERIFICATION,
        Some(paths::VAULT_ROTATE_ALL) => Duration::MAX,
        _ => settings.request_timeout,
    };
    // tower-http's timeout has one duration for all routes, and its response is no problem.
    let run = async {
        match sealed::body_limit(route, request.headers()) {
            // In a box, so that other requests do not have its size.
            Some(most) => Box::pin(sealed::respond(api, most, request, next)).await,
            None => next.run(request).await,
        }
    };
    match tokio::time::timeout(limit, run).await {
        Ok(response) => response,
        Err(_) => ApiError::new(Code::Unavailable, "the request took too long").into_response(),
    }
}

/// The response to a request whose handler panicked. The panic's message may hold a value, so it is dropped here; the
/// process's hook has logged where it was.
pub(crate) fn respond_to_panic(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request panicked");
    ApiError::internal().into_response()
}

fn request_id(api: &Api) -> String {
    let mut bytes = [0_u8; 8];
    api.fill_random(&mut bytes);
    // Never the client's own id: its text would end up in the log and in the audit log.
    data_encoding::HEXLOWER.encode(&bytes)
}

fn header_bytes(headers: &HeaderMap) -> usize {
    // Four bytes for `: ` and the line's end, as HTTP/1.1 has them.
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Adds the headers that every response has. A header that the route has set stays.
fn add_headers(headers: &mut HeaderMap, id: &str) {
    const DEFAULTS: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    // One loop instead of five of tower-http's layers: each layer would wrap the response's future once more.
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Hexadecimal digits are a valid header, so this cannot fail.
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}
