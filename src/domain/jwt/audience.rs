//! For whom a token was issued. Never compares by prefix: `dropsafe:abc` is another store than `dropsafe:ab`.

use serde_json::{Map, Value};

/// The length of a thumbprint: 32 bytes in unpadded base64url.
const THUMBPRINT: usize = 43;

/// A token's `aud` names the expected audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AudienceMatch {
    /// The thumbprint of the one-time key that the token is bound to, in unpadded base64url, if the audience ends with one.
    pub(crate) thumbprint: Option<String>,
}

/// Finds `expected` in `aud`, which is a text or a list of texts (RFC 7519 section 4.1.3): equal, or followed by `#` and a
/// thumbprint.
///
/// Of a list, one entry is enough, as everywhere else. If the entries name one thumbprint, the token is bound to that key; if
/// they name two, it is for no key that can be told, and does not match.
pub(crate) fn audience_matches(expected: &str, claims: &Map<String, Value>) -> Option<AudienceMatch> {
    let found: Vec<AudienceMatch> = match claims.get("aud")? {
        Value::String(audience) => match_one(expected, audience).into_iter().collect(),
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|audience| match_one(expected, audience))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    let mut bound = found.iter().filter(|found| found.thumbprint.is_some());
    match (bound.next(), bound.next()) {
        (Some(one), None) => Some(one.clone()),
        (Some(one), Some(other)) => (one == other && bound.all(|more| more == one)).then(|| one.clone()),
        (None, _) => found.into_iter().next(),
    }
}

fn match_one(expected: &str, audience: &str) -> Option<AudienceMatch> {
    let rest = audience.strip_prefix(expected)?;
    if rest.is_empty() {
        return Some(AudienceMatch { thumbprint: None });
    }
    // The length is compared too: a shorter text would be the thumbprint of many keys.
    let thumbprint = rest.strip_prefix('#').filter(|thumbprint| is_thumbprint(thumbprint))?;
    Some(AudienceMatch { thumbprint: Some(thumbprint.to_owned()) })
}

fn is_thumbprint(text: &str) -> bool {
    // Decoded, so that a text whose last character has bits set that no byte uses is not a second form of the same thumbprint.
    text.len() == THUMBPRINT && data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).is_ok()
}
