//! Bodies, path parameters and headers of requests, parsed by our own words: none of axum's or serde's messages is
//! passed on or logged, because they quote what they could not parse. Never reads a body before the credential is
//! known: handlers take [`super::auth::Authenticated`] first.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema, Type};
use zeroize::Zeroizing;

use super::Api;
use super::problem::ApiError;
use crate::crypto::memory::WipedBuffer;
use crate::domain::id::VersionId;
use crate::wire::{Code, Object};

/// Bodies that hold no value.
pub const SMALL_BODY: usize = 64 * 1024;
/// Bodies of deposits: a file of 1 MiB in base64, or sealed, and what goes with it.
pub const LARGE_BODY: usize = 2 * 1024 * 1024;

/// A JSON body of at most `LIMIT` bytes. The bytes it was read from are wiped.
pub struct JsonBody<T, const LIMIT: usize = SMALL_BODY>(pub T);

impl<T: DeserializeOwned, const LIMIT: usize> FromRequest<Api> for JsonBody<T, LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        is_within(&parts.headers, LIMIT)?;
        is_json(&parts.headers)?;
        let whole = read_whole_body(api, &parts.headers, body, LIMIT).await?;
        serde_json::from_slice(&whole.bytes)
            .map(|Object(body)| Self(body))
            .map_err(|error| unreadable(&error))
    }
}

/// A body that was read whole, and its share of the memory that bodies may take.
pub(crate) struct BufferedBody {
    /// Wiped when dropped.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    _memory: tokio::sync::OwnedSemaphorePermit,
}

/// Refuses a body that says that it is longer.
pub(crate) fn is_within(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    match declared_length(headers) {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// Reads a body of at most `limit` bytes, in time.
pub(crate) async fn read_whole_body(
    api: &Api,
    headers: &HeaderMap,
    body: axum::body::Body,
    limit: usize,
) -> Result<BufferedBody, ApiError> {
    let declared = declared_length(headers);
    // Reserved before the first byte is read, so that many large bodies at once are refused and not gathered.
    let _memory = api.limits().reserve_body(declared.unwrap_or(limit))?;
    let read = read_body(body, limit, declared.unwrap_or(4096));
    match tokio::time::timeout(api.limits().settings().body_timeout, read).await {
        Ok(read) => Ok(BufferedBody { bytes: read?, _memory }),
        Err(_) => Err(ApiError::new(Code::RequestTimeout, "the body did not arrive in time")),
    }
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let unsupported = |detail: &str| Err(ApiError::new(Code::UnsupportedMediaType, detail));
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return unsupported("the request has no Content-Type");
    };
    let essence = kind.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return unsupported("the Content-Type is not application/json");
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return unsupported("compressed bodies are not accepted");
    }
    Ok(())
}

async fn read_body(
    mut body: axum::body::Body,
    limit: usize,
    capacity: usize,
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let mut bytes = WipedBuffer::with_capacity(capacity);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::new(Code::InvalidRequest, "the body broke off"))?;
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

fn unreadable(error: &serde_json::Error) -> ApiError {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Syntax => "is not JSON",
        Category::Eof => "is JSON that ends too early",
        Category::Data | Category::Io => {
            "is not what this route takes: a field is unknown, missing, or of another type"
        }
    };
    let (line, column) = (error.line(), error.column());
    ApiError::new(Code::InvalidRequest, format!("the body {what} (line {line}, column {column})"))
        .hint("GET /v1/openapi.json describes the fields")
}

/// The path's one parameter, parsed.
pub struct PathParam<T>(pub T);

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for PathParam<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let unreadable = || ApiError::new(Code::InvalidRequest, "the path is not percent-encoded UTF-8");
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unreadable())?;
        let (name, text) = params.iter().next().ok_or_else(unreadable)?;
        let mut errors = super::problem::FieldErrors::default();
        let read = errors.check(name, text.parse());
        errors.into_result()?;
        read.map(Self).ok_or_else(unreadable)
    }
}

impl utoipa::IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let version = format!("^\"{}[a-z2-7]{{25}}[aeimquy4]\"$", VersionId::PREFIX);
        let any = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["*"]));
        let one = ObjectBuilder::new().schema_type(Type::String).pattern(Some(version));
        let schema = AnyOfBuilder::new().item(any).item(one);
        vec![header_parameter("If-Match", "The version that the caller saw, in quotes, or `*`.", schema)]
    }
}

impl utoipa::IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "With the same key and body within 24 hours the work is not done again: the first answer is \
            repeated, or, where it showed a credential, the request is a conflict.";
        vec![idempotency_parameter(description)]
    }
}

/// `Idempotency-Key` as described.
pub(crate) fn idempotency_parameter(description: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]+$"));
    header_parameter("Idempotency-Key", description, schema.min_length(Some(1)).max_length(Some(128)))
}

fn header_parameter(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// `If-Match`: the version that the caller saw; none when it is absent or `*`.
pub struct IfMatch(pub Option<VersionId>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(text) = only_one(&parts.headers, &header::IF_MATCH)? else { return Ok(Self(None)) };
        if text == "*" {
            return Ok(Self(None));
        }
        let tag = text.strip_prefix("W/").unwrap_or(text);
        let Some(opaque) = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) else {
            return Err(ApiError::new(
                Code::InvalidRequest,
                "If-Match: expected one entity tag in quotes, or *",
            ));
        };
        // A tag that is weak or none of ours matches nothing (RFC 9110 section 13.1.1).
        match opaque.parse() {
            Ok(version) if tag == text => Ok(Self(Some(version))),
            _ => Err(ApiError::new(Code::VersionMismatch, "If-Match names no version of a secret")),
        }
    }
}

/// `Idempotency-Key`, when there is one: 1 to 128 visible ASCII characters.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let name = HeaderName::from_static("idempotency-key");
        let Some(text) = only_one(&parts.headers, &name)? else { return Ok(Self(None)) };
        if !(1..=128).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = "Idempotency-Key: expected 1 to 128 visible ASCII characters";
            return Err(ApiError::new(Code::InvalidRequest, detail));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

fn only_one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    match (first.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(ApiError::new(Code::InvalidRequest, format!("the header {name} is not one line of ASCII"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn if_match(text: &str) -> Result<Option<VersionId>, Code> {
        let request = http::Request::builder().header("if-match", text).body(()).unwrap();
        let mut parts = request.into_parts().0;
        IfMatch::from_request_parts(&mut parts, &())
            .await
            .map(|found| found.0)
            .map_err(|refused| refused.code())
    }

    #[tokio::test]
    async fn an_entity_tag_is_a_version_or_matches_nothing() {
        let version = VersionId::from_bytes([7; 16]);
        assert_eq!(if_match(&format!("\"{version}\"")).await, Ok(Some(version)));
        assert_eq!(if_match("*").await, Ok(None));
        assert_eq!(if_match(&format!("W/\"{version}\"")).await, Err(Code::VersionMismatch));
        assert_eq!(if_match("\"abc\"").await, Err(Code::VersionMismatch));
        assert_eq!(if_match("abc").await, Err(Code::InvalidRequest));
    }

    #[test]
    fn json_faults_are_told_in_our_words() {
        for text in
            ["{\"canary", "canary", "{\"canary\":1}", "{\"role\":\"canary\"}", "\"canary\"", "{\"role\":{}}"]
        {
            let error = serde_json::from_str::<crate::wire::UpdateMemberRequest>(text).unwrap_err();
            let refused = unreadable(&error);
            assert!(!format!("{refused:?}").contains("canary"), "{text}");
            assert_eq!(refused.code(), Code::InvalidRequest);
        }
    }
}
