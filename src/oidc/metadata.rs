//! An issuer's metadata (OpenID Connect Discovery 1.0 section 3), of which only two members are read.

use serde_json::Value;

use super::document_url::DocumentUrl;
use super::strict_json;
use crate::domain::jwt::{IssuerFault, IssuerUrl};

/// Finds where the keys of `issuer` are.
pub(super) fn keys_url(document: &[u8], issuer: &IssuerUrl) -> Result<DocumentUrl, IssuerFault> {
    let metadata = strict_json::parse_object(document).map_err(|_| IssuerFault::Document)?;
    // Section 4.3: otherwise somebody who can place a file on a host of many issuers would give keys to another one.
    if metadata.get("issuer").and_then(Value::as_str) != Some(issuer.as_str()) {
        return Err(IssuerFault::OtherIssuer);
    }
    let url = metadata.get("jwks_uri").and_then(Value::as_str);
    url.and_then(DocumentUrl::parse).ok_or(IssuerFault::KeysUrl)
}
