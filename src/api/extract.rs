//! Path parameters and headers of requests. Axum's messages are not passed on, since they quote the input.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema, Type};

use super::problem::{ApiError, FieldErrors};
use crate::domain::id::VersionId;
use crate::wire::Code;

/// The header of [`IdempotencyKey`].
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Extracts the one parameter of the path.
pub(crate) struct PathParam<T>(pub(crate) T);

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for PathParam<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let unreadable = || ApiError::new(Code::InvalidRequest, "the path is not percent-encoded UTF-8");
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unreadable())?;
        // Every route that uses this has one parameter.
        let (name, text) = params.iter().next().ok_or_else(unreadable)?;
        let mut errors = FieldErrors::default();
        let parsed = errors.check(name, text.parse());
        errors.into_result()?;
        parsed.map(Self).ok_or_else(unreadable)
    }
}

/// Extracts `If-Match`: the version that the caller has seen, or `None` if it is absent or `*`.
pub(crate) struct IfMatch(pub(crate) Option<VersionId>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(text) = single_value(&parts.headers, &header::IF_MATCH)? else { return Ok(Self(None)) };
        // `*` matches any version (RFC 9110 section 13.1.1).
        if text == "*" {
            return Ok(Self(None));
        }
        // A weak tag is parsed to be refused with the right error below.
        let tag = text.strip_prefix("W/").unwrap_or(text);
        let Some(opaque) = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) else {
            let detail = "If-Match: expected one entity tag in quotes, or *";
            return Err(ApiError::new(Code::InvalidRequest, detail));
        };
        // A weak tag, or one that is no version, is valid and matches nothing (RFC 9110 section 13.1.1).
        match opaque.parse() {
            Ok(version) if tag == text => Ok(Self(Some(version))),
            _ => Err(ApiError::new(Code::VersionMismatch, "If-Match names no version of a secret")),
        }
    }
}

impl utoipa::IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let version = format!("^\"{}[a-z2-7]{{25}}[aeimquy4]\"$", VersionId::PREFIX);
        let any = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["*"]));
        let one = ObjectBuilder::new().schema_type(Type::String).pattern(Some(version));
        let schema = AnyOfBuilder::new().item(any).item(one);
        let description = "The version that the caller has seen, in quotes, or `*`. If the secret has another version, \
            the request fails with `version_mismatch`.";
        vec![header_parameter("If-Match", description, schema)]
    }
}

/// Extracts `Idempotency-Key`: 1 to 128 visible ASCII characters, or `None` if it is absent.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(text) = single_value(&parts.headers, &IDEMPOTENCY_KEY)? else { return Ok(Self(None)) };
        if !(1..=128).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = "Idempotency-Key: expected 1 to 128 visible ASCII characters";
            return Err(ApiError::new(Code::InvalidRequest, detail));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

impl utoipa::IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "A request with the key and body of an earlier one within 24 hours is not executed again: the \
            response is that of the earlier request. If that response showed a credential, the request fails with \
            `conflict`.";
        vec![idempotency_parameter(description)]
    }
}

/// Describes `Idempotency-Key`, with a meaning that depends on the route.
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

/// The value of a header that has at most one line, without blanks around it.
pub(crate) fn single_value<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    // Two lines would be a list, of which only one item can be meant.
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
}
