//! Bodies of requests, in memory that is wiped. Serde's messages are not passed on, since they quote the input. Never reads
//! a body before the credential is checked: handlers take [`super::auth::Authenticated`] first. A body without a
//! credential is a stranger's, and has limits of its own.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::request::Parts;
use http::{Extensions, HeaderMap, header};
use http_body_util::BodyExt as _;
use serde_json::error::Category;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::Api;
use super::body_budget::{BodyOwner, BodyPermit};
use super::limits::RequestSlot;
use super::problem::ApiError;
use super::request_body::RequestBody;
use super::request_marks::{BodySecrecy, Peer};
use crate::crypto::memory::WipedBuffer;
use crate::domain::source::SourceNetwork;
use crate::wire::{Code, Object};

/// The size limit of bodies without a credential, in bytes: a token and the page to open after the login.
pub(crate) const STRANGER_BODY: usize = 8 * 1024;
/// The size limit of bodies without a value, in bytes.
pub(crate) const SMALL_BODY: usize = 64 * 1024;
/// The size limit of deposits, in bytes: a file of 1 MiB in base64 or sealed, and its attributes.
pub(crate) const LARGE_BODY: usize = 2 * 1024 * 1024;

/// A body that takes longer than this is slow. Its sender may have only a few of them.
const SLOW_AFTER: Duration = Duration::from_secs(2);
/// The time in which a body need not arrive at a minimum rate, for lines that lose packets.
const GRACE: Duration = Duration::from_secs(10);
/// The minimum rate after that, in bytes per second from the end of the grace on. A modem manages some thousand.
const MIN_RATE: f64 = 1024.0;
/// How often the rate is checked.
const RATE_INTERVAL: Duration = Duration::from_secs(2);

/// Extracts a JSON body of at most `LIMIT` bytes.
pub(crate) struct JsonBody<T, const LIMIT: usize = SMALL_BODY>(pub(crate) T);

impl<T: RequestBody, const LIMIT: usize> FromRequest<Api> for JsonBody<T, LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        // Both before the body is read: a refusal must not cost memory.
        check_length(&parts.headers, LIMIT)?;
        check_content_type(&parts.headers)?;
        let buffered = read_whole_body(api, &parts, body, LIMIT).await?;
        // `Object`, since serde would read a struct from a JSON array too.
        let Object(body) =
            serde_json::from_slice::<Object<T>>(&buffered.bytes).map_err(|error| json_error(&error))?;
        if let Some(secrecy) = parts.extensions.get::<BodySecrecy>()
            && !body.holds_secret()
        {
            secrecy.declare_public();
        }
        Ok(Self(body))
    }
}

/// A whole body, and its share of the memory for bodies.
pub(crate) struct BufferedBody {
    /// Wiped when dropped.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    _memory: BodyPermit,
}

impl BufferedBody {
    /// The bytes, without their share of the memory for bodies.
    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }
}

/// Refuses a body whose `Content-Length` is over `limit`.
pub(crate) fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    match declared_length(headers) {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// Reads a body of at most `limit` bytes, within the timeout and at the minimum rate for bodies of its owner.
pub(crate) async fn read_whole_body(
    api: &Api,
    parts: &Parts,
    body: Body,
    limit: usize,
) -> Result<BufferedBody, ApiError> {
    let declared = declared_length(&parts.headers);
    let owner = body_owner(&parts.extensions);
    // Reserved before the first byte is read, so that too many large bodies at once are refused and not buffered.
    // A body without a length may grow to the limit, so it reserves all of it.
    let mut memory = api.limits().reserve_body(owner, declared.unwrap_or(limit))?;
    let slot = parts.extensions.get::<RequestSlot>();
    // While the body arrives, the server has nothing to do for this request.
    if let Some(slot) = slot {
        slot.pause();
    }
    let settings = api.limits().settings();
    let timeout = match owner {
        BodyOwner::Stranger(_) => settings.stranger_timeout,
        _ => settings.body_timeout,
    };
    // tower-http's limit and timeout would leave the bytes in buffers that nobody wipes.
    let mut reader = BodyReader { body, limit, pace: BodyPace::start(timeout) };
    let bytes = reader.read(&mut memory, declared.unwrap_or(4096)).await?;
    if let Some(slot) = slot {
        slot.resume()?;
    }
    Ok(BufferedBody { bytes, _memory: memory })
}

/// Returns who sends a body: the authenticated caller, whom the extractor of the credential has named, or a stranger.
fn body_owner(extensions: &Extensions) -> BodyOwner {
    extensions.get().copied().unwrap_or_else(|| {
        let peer = Peer::from_extensions(extensions);
        BodyOwner::Stranger(SourceNetwork::from_address(peer.address()))
    })
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    // hyper has refused a length that is no number, or that contradicts another.
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let unsupported = |detail: &str| Err(ApiError::new(Code::UnsupportedMediaType, detail));
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return unsupported("the request has no Content-Type");
    };
    let essence = kind.split(';').next().unwrap_or("").trim();
    // A page of another site can send other types without a preflight (Fetch, "CORS-safelisted request-header").
    if !essence.eq_ignore_ascii_case("application/json") {
        return unsupported("the Content-Type is not application/json");
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return unsupported("compressed bodies are not accepted");
    }
    Ok(())
}

/// A body that is being read.
struct BodyReader {
    body: Body,
    limit: usize,
    pace: BodyPace,
}

impl BodyReader {
    async fn read(
        &mut self,
        memory: &mut BodyPermit,
        capacity: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let mut bytes = WipedBuffer::with_capacity(capacity);
        loop {
            let frame = tokio::select! {
                // In this order: a body that is there has arrived in time.
                biased;
                frame = self.body.frame() => frame,
                () = memory.evicted() => {
                    return Err(ApiError::new(Code::Overloaded, "the memory for this body is needed for others"));
                }
                () = sleep_until(self.pace.next_check) => {
                    self.pace.check(bytes.len(), memory)?;
                    continue;
                }
            };
            let Some(frame) = frame else { return Ok(bytes.into_inner()) };
            let frame = frame.map_err(|_| ApiError::new(Code::InvalidRequest, "the body ended too early"))?;
            // Trailers carry nothing that a route reads.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.limit {
                return Err(too_large(self.limit));
            }
            bytes.append(&data);
        }
    }
}

/// How fast a body has to arrive.
struct BodyPace {
    started: Instant,
    deadline: Instant,
    next_check: Instant,
    is_slow: bool,
}

impl BodyPace {
    fn start(timeout: Duration) -> Self {
        let started = Instant::now();
        let deadline = started + timeout;
        Self { started, deadline, next_check: deadline.min(started + SLOW_AFTER), is_slow: false }
    }

    /// Refuses a body of which only `received` bytes have arrived by now.
    fn check(&mut self, received: usize, memory: &BodyPermit) -> Result<(), ApiError> {
        let now = Instant::now();
        let late = |detail: &str| Err(ApiError::new(Code::RequestTimeout, detail));
        if now >= self.deadline {
            return late("the body did not arrive in time");
        }
        if !self.is_slow && !memory.become_slow() {
            return Err(ApiError::new(Code::Overloaded, "too many bodies of this sender arrive slowly"));
        }
        self.is_slow = true;
        let due = now.saturating_duration_since(self.started + GRACE).as_secs_f64() * MIN_RATE;
        if (received as f64) < due {
            return late("the body arrives too slowly");
        }
        self.next_check = self.deadline.min(now + RATE_INTERVAL);
        Ok(())
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(Code::PayloadTooLarge, format!("the body has more than {limit} bytes"))
}

fn json_error(error: &serde_json::Error) -> ApiError {
    // Line and column are all of the message that can be passed on: the rest may quote a value.
    let what = match error.classify() {
        Category::Syntax => "is not JSON",
        Category::Eof => "is JSON that ends too early",
        Category::Data | Category::Io => "has a field that is unknown, missing, or of the wrong type",
    };
    let (line, column) = (error.line(), error.column());
    ApiError::new(Code::InvalidRequest, format!("the body {what} (line {line}, column {column})"))
        .hint("GET /v1/openapi.json describes the fields")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_faults_do_not_quote_the_input() {
        for text in
            ["{\"canary", "canary", "{\"canary\":1}", "{\"role\":\"canary\"}", "\"canary\"", "{\"role\":{}}"]
        {
            let error = serde_json::from_str::<crate::wire::UpdateMemberRequest>(text).unwrap_err();
            let refused = json_error(&error);
            assert!(!format!("{refused:?}").contains("canary"), "{text}");
            assert_eq!(refused.code(), Code::InvalidRequest);
        }
    }
}
