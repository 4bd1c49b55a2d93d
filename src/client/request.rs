//! The parts of a request: its headers, and a JSON body in memory that is wiped, since it may hold a passphrase or a value.
//!
//! Text that HTTP does not allow is an error, never altered.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::CallRefusal;
use crate::crypto::memory::WipedBuffer;

pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    /// Path and query, percent-encoded.
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub(crate) body: Option<Bytes>,
    /// The largest response body that is read, in bytes.
    pub(crate) limit: usize,
}

/// Builds the request for one connection, whose `Host` is `authority`.
pub(crate) fn build(
    call: &HttpRequest,
    authority: &HeaderValue,
) -> Result<Request<Full<Bytes>>, CallRefusal> {
    // A clone, which shares the bytes: a retry sends the same body again.
    let body = call.body.clone().unwrap_or_default();
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(call.path.as_str())
        .body(Full::new(body))
        .map_err(|_| CallRefusal::Request("the path"))?;
    let headers = request.headers_mut();
    // hyper's low-level client adds no header of its own.
    headers.insert(header::HOST, authority.clone());
    let agent = concat!("dropsafe/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    let accepted = "application/json, application/problem+json";
    headers.insert(header::ACCEPT, HeaderValue::from_static(accepted));
    if call.body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    } else if call.method == Method::POST {
        // Without it, some proxies wait for a body or answer 411 (RFC 9110, section 8.6).
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    for (name, value) in &call.headers {
        headers.insert(name.clone(), value.clone());
    }
    Ok(request)
}

/// The `Authorization` header of a credential or a token (RFC 6750, section 2.1).
pub(crate) fn bearer(text: &str) -> Result<(HeaderName, HeaderValue), CallRefusal> {
    Ok((header::AUTHORIZATION, sensitive("Bearer ", text)?))
}

/// The value of a header that holds a credential, marked so that no `Debug` output shows it.
pub(crate) fn sensitive(scheme: &str, text: &str) -> Result<HeaderValue, CallRefusal> {
    // Exact capacity: a vector that grows leaves a copy of the credential in freed memory.
    let mut value = Zeroizing::new(Vec::with_capacity(scheme.len() + text.len()));
    value.extend_from_slice(scheme.as_bytes());
    value.extend_from_slice(text.as_bytes());
    let mut value = HeaderValue::from_bytes(&value).map_err(|_| CallRefusal::Request("the credential"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A fresh `Idempotency-Key`: the store executes requests with the same key once.
pub(crate) fn idempotency_key() -> Result<(HeaderName, HeaderValue), CallRefusal> {
    // 128 random bits: two clients never pick the same key by accident.
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|_| CallRefusal::NoRandomness)?;
    let key = HeaderValue::try_from(HEXLOWER.encode(&key))
        .map_err(|_| CallRefusal::Request("the idempotency key"))?;
    Ok((HeaderName::from_static("idempotency-key"), key))
}

/// `If-Match` with a version as its entity tag (RFC 9110, section 13.1.1).
#[cfg(feature = "server")]
pub(crate) fn if_match(version: &str) -> Result<(HeaderName, HeaderValue), CallRefusal> {
    // A quote would end the tag, and the rest would be read as another one.
    let tag = Some(version).filter(|version| version.bytes().all(|b| b.is_ascii_graphic() && b != b'"'));
    let tag = tag.and_then(|version| HeaderValue::try_from(format!("\"{version}\"")).ok());
    Ok((header::IF_MATCH, tag.ok_or(CallRefusal::Request("the version"))?))
}

/// Serializes `value` as JSON, in memory that is wiped on drop.
pub(crate) fn json(value: &impl Serialize) -> Result<Bytes, CallRefusal> {
    // Most requests fit. Serializing twice, once for the length, costs more than the rare growth, which wipes as well.
    let mut buffer = WipedBuffer::with_capacity(1024);
    serde_json::to_writer(&mut buffer, value).map_err(|_| CallRefusal::Request("the body"))?;
    Ok(Bytes::from_owner(buffer.into_inner()))
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_version_cannot_add_a_header_or_tag() {
        assert_eq!(if_match("ver_a").unwrap().1, "\"ver_a\"");
        for version in ["a\"", "a\r\nx: y", "a b", "\u{e9}", "\0"] {
            assert_eq!(if_match(version), Err(CallRefusal::Request("the version")));
        }
    }

    #[test]
    fn json_equals_that_of_serde_json() {
        let body = json(&["a\"\n", "\u{e9}"]).unwrap();
        assert_eq!(body, serde_json::to_vec(&["a\"\n", "\u{e9}"]).unwrap());
    }
}
