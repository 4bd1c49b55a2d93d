//! The parts of a request: its credential, its keys, and a JSON body in memory that is wiped, since a passphrase or a
//! plain setting's value may stand in it. What HTTP cannot say is refused, never changed.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::CallRefusal;
use crate::crypto::memory::WipedBuffer;
use crate::domain::credential::Credential;

/// The `Authorization` header of a credential (RFC 6750, section 2.1), marked so that nothing prints it.
pub(crate) fn bearer(credential: &Credential) -> Result<(HeaderName, HeaderValue), CallRefusal> {
    let text = credential.to_text();
    let mut header = Zeroizing::new(Vec::with_capacity("Bearer ".len() + text.len()));
    header.extend_from_slice(b"Bearer ");
    header.extend_from_slice(text.as_bytes());
    let mut header = HeaderValue::from_bytes(&header).map_err(|_| CallRefusal::Request("the credential"))?;
    header.set_sensitive(true);
    Ok((header::AUTHORIZATION, header))
}

/// A fresh `Idempotency-Key`: what is sent again with it is done once.
pub(crate) fn idempotency_key() -> Result<(HeaderName, HeaderValue), CallRefusal> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|_| CallRefusal::NoRandomness)?;
    let key = HeaderValue::try_from(HEXLOWER.encode(&key))
        .map_err(|_| CallRefusal::Request("the idempotency key"))?;
    Ok((HeaderName::from_static("idempotency-key"), key))
}

/// `If-Match` with a version as entity tag (RFC 9110, section 13.1.1).
#[cfg(feature = "server")]
pub(crate) fn if_match(version: &str) -> Result<(HeaderName, HeaderValue), CallRefusal> {
    // A quote would end the tag, and what follows would be read as another.
    let tag = Some(version).filter(|version| version.bytes().all(|b| b.is_ascii_graphic() && b != b'"'));
    let tag = tag.and_then(|version| HeaderValue::try_from(format!("\"{version}\"")).ok());
    Ok((header::IF_MATCH, tag.ok_or(CallRefusal::Request("the version"))?))
}

/// `value` as JSON, in memory that is wiped when it is dropped.
pub(crate) fn json(value: &impl Serialize) -> Result<Bytes, CallRefusal> {
    // Most requests fit, and a request with a value is written once instead of being counted first.
    let mut buffer = WipedBuffer::with_capacity(1024);
    serde_json::to_writer(&mut buffer, value).map_err(|_| CallRefusal::Request("the body"))?;
    Ok(Bytes::from_owner(buffer.into_inner()))
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_version_cannot_become_a_second_header_or_tag() {
        assert_eq!(if_match("ver_a").unwrap().1, "\"ver_a\"");
        for version in ["a\"", "a\r\nx: y", "a b", "\u{e9}", "\0"] {
            assert_eq!(if_match(version), Err(CallRefusal::Request("the version")));
        }
    }

    #[test]
    fn is_the_same_json() {
        let body = json(&["a\"\n", "\u{e9}"]).unwrap();
        assert_eq!(body, serde_json::to_vec(&["a\"\n", "\u{e9}"]).unwrap());
    }
}
