//! Bodies of requests, in memory that is wiped, and parsed without passing on serde's messages, which quote what they
//! could not parse. Never reads a body before the credential is checked: handlers take
//! [`super::auth::Authenticated`] first.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Api;
use super::problem::ApiError;
use crate::crypto::memory::WipedBuffer;
use crate::wire::{Code, Object};

/// The size limit of bodies without a value, in bytes.
pub(crate) const SMALL_BODY: usize = 64 * 1024;
/// The size limit of deposits, in bytes: a file of 1 MiB in base64 or sealed, and its attributes.
pub(crate) const LARGE_BODY: usize = 2 * 1024 * 1024;

/// Extracts a JSON body of at most `LIMIT` bytes.
pub(crate) struct JsonBody<T, const LIMIT: usize = SMALL_BODY>(pub(crate) T);

impl<T: DeserializeOwned, const LIMIT: usize> FromRequest<Api> for JsonBody<T, LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_length(&parts.headers, LIMIT)?;
        check_content_type(&parts.headers)?;
        let buffered = read_whole_body(api, &parts.headers, body, LIMIT).await?;
        serde_json::from_slice(&buffered.bytes)
            .map(|Object(body)| Self(body))
            .map_err(|error| json_error(&error))
    }
}

/// A whole body, and its share of the memory for bodies.
pub(crate) struct BufferedBody {
    /// Wiped when dropped.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    _memory: OwnedSemaphorePermit,
}

/// Refuses a body whose `Content-Length` is over `limit`.
pub(crate) fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    match declared_length(headers) {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// Reads a body of at most `limit` bytes, within the timeout for bodies.
pub(crate) async fn read_whole_body(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<BufferedBody, ApiError> {
    let declared = declared_length(headers);
    // Reserved before the first byte is read, so that too many large bodies at once are refused and not buffered.
    let _memory = api.limits().reserve_body(declared.unwrap_or(limit))?;
    // tower-http's limit and timeout would leave the bytes in buffers that nobody wipes.
    let read = read_frames(body, limit, declared.unwrap_or(4096));
    match timeout(api.limits().settings().body_timeout, read).await {
        Ok(bytes) => Ok(BufferedBody { bytes: bytes?, _memory }),
        Err(_) => Err(ApiError::new(Code::RequestTimeout, "the body did not arrive in time")),
    }
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
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

async fn read_frames(mut body: Body, limit: usize, capacity: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let mut bytes = WipedBuffer::with_capacity(capacity);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::new(Code::InvalidRequest, "the body ended too early"))?;
        // Trailers carry nothing that a route reads.
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        bytes.append(&data);
    }
    Ok(bytes.into_inner())
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
    fn json_faults_are_told_in_our_words() {
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
