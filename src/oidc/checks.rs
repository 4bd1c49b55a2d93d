//! The checks of a token that need no key. They run before an issuer's keys are asked for, so that a token that could never be
//! accepted costs neither a signature nor a request to the issuer.

use std::time::Duration;

use serde_json::{Map, Value};

use super::token::ParsedToken;
use crate::domain::jwt::{
    IssuerSpec, JwtAlgorithm, RegisteredClaim, TokenCheckName, TokenRefusal, audience_matches,
};
use crate::domain::time::Timestamp;

/// How far the clocks of an issuer and of this store may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// How long a token may be valid.
///
/// Entra's tokens for managed identities are valid for a day and five minutes. What lasts longer is a password rather than a
/// token: Kubernetes issues tokens for a year on request, and by default for its own API.
const MAX_LIFETIME: Duration = Duration::from_secs(25 * 3600);
/// The longest subject, in bytes.
const MAX_SUBJECT: usize = 1024;
/// `typ` values of tokens that say who presents them, in lower case: RFC 7519 section 5.1, JWT-SVID section 2.3, RFC 9068
/// section 2.1. An issuer signs others with the same keys, for example for logouts.
const TYPES: [&str; 3] = ["jwt", "jose", "at+jwt"];
/// Members of a header that bring a key or say where one is (RFC 7515 sections 4.1.2, 4.1.3, 4.1.5, 4.1.6). They would not be
/// used anyway. No known platform sends them, so that one is an attack or a token that cannot be verified by the issuer's keys.
const EMBEDDED_KEYS: [&str; 4] = ["jwk", "jku", "x5c", "x5u"];
/// The last second of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

/// What a token is compared with.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a IssuerSpec,
    pub(super) audience: &'a str,
    pub(super) now: Timestamp,
}

type Check = fn(&ParsedToken<'_>, &Expected<'_>) -> Result<(), TokenRefusal>;

/// The checks in order: those whose failure says most about the token first.
pub(super) const CHECKS: [(TokenCheckName, Check); 7] = [
    (TokenCheckName::Header, |token, _| check_header(&token.header)),
    (TokenCheckName::Algorithm, |token, expected| algorithm(token, expected.issuer).map(drop)),
    (TokenCheckName::Issuer, check_issuer),
    (TokenCheckName::Subject, |token, _| subject(&token.claims).map(drop)),
    (TokenCheckName::Audience, check_audience),
    (TokenCheckName::Expiry, |token, expected| check_expiry(&token.claims, expected.now)),
    (TokenCheckName::Start, |token, expected| check_start(&token.claims, expected.now)),
];

fn check_header(header: &Map<String, Value>) -> Result<(), TokenRefusal> {
    // Whatever it names: no extension is understood here, and `crit` must not name what RFC 7515 itself defines.
    if header.contains_key("crit") {
        return Err(TokenRefusal::CriticalHeader);
    }
    match header.get("b64") {
        None | Some(Value::Bool(true)) => {}
        // RFC 7797: the claims would have been signed as they are.
        Some(Value::Bool(false)) => return Err(TokenRefusal::UnencodedClaims),
        Some(_) => return Err(TokenRefusal::HeaderMember),
    }
    if EMBEDDED_KEYS.iter().any(|name| header.contains_key(*name)) {
        return Err(TokenRefusal::EmbeddedKey);
    }
    // RFC 7519 section 5.2: present only in tokens within tokens.
    if header.contains_key("cty") {
        return Err(TokenRefusal::Nested);
    }
    if let Some(found) = text_member(header, "typ")? {
        // A media type, compared without case; "application/" may be left out (RFC 7515 section 4.1.9).
        let found = found.to_ascii_lowercase();
        let short = found.strip_prefix("application/").unwrap_or(&found);
        if !TYPES.contains(&short) {
            return Err(TokenRefusal::TokenType);
        }
    }
    key_id(header).map(drop)
}

/// The algorithm of a token, if it is one of the issuer's.
pub(super) fn algorithm(token: &ParsedToken<'_>, issuer: &IssuerSpec) -> Result<JwtAlgorithm, TokenRefusal> {
    let name = text_member(&token.header, "alg")?.ok_or(TokenRefusal::HeaderMember)?;
    let known = name.parse().ok().filter(|algorithm| issuer.algorithms.contains(algorithm));
    known.ok_or_else(|| {
        // The two classical attacks have reasons of their own. Neither is a `JwtAlgorithm`, so neither can be allowed.
        if name.eq_ignore_ascii_case("none") {
            TokenRefusal::Unsigned
        } else if name.len() == 5 && name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("HS")) {
            TokenRefusal::SymmetricAlgorithm
        } else {
            TokenRefusal::AlgorithmNotAllowed
        }
    })
}

/// The id of the key that a token says it is signed with.
pub(super) fn key_id(header: &Map<String, Value>) -> Result<Option<&str>, TokenRefusal> {
    text_member(header, "kid")
}

fn text_member<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, TokenRefusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenRefusal::HeaderMember),
    }
}

fn check_issuer(token: &ParsedToken<'_>, expected: &Expected<'_>) -> Result<(), TokenRefusal> {
    // As text: `https://a.example` and `https://a.example/` are different issuers (OpenID Connect Core 1.0 section 3.1.3.7).
    if text_claim(&token.claims, RegisteredClaim::Iss)? == expected.issuer.url.as_str() {
        Ok(())
    } else {
        Err(TokenRefusal::WrongIssuer)
    }
}

/// The subject of a token.
pub(super) fn subject(claims: &Map<String, Value>) -> Result<&str, TokenRefusal> {
    let subject = text_claim(claims, RegisteredClaim::Sub)?;
    // The audit log repeats it.
    if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.chars().any(char::is_control) {
        return Err(TokenRefusal::ClaimType(RegisteredClaim::Sub));
    }
    Ok(subject)
}

fn check_audience(token: &ParsedToken<'_>, expected: &Expected<'_>) -> Result<(), TokenRefusal> {
    if audience_matches(expected.audience, &token.claims).is_some() {
        return Ok(());
    }
    let text = |value: &Value| value.is_string();
    match token.claims.get("aud") {
        None => Err(TokenRefusal::MissingClaim(RegisteredClaim::Aud)),
        Some(Value::String(_)) => Err(TokenRefusal::WrongAudience),
        Some(Value::Array(list)) if list.iter().all(text) => Err(TokenRefusal::WrongAudience),
        Some(_) => Err(TokenRefusal::ClaimType(RegisteredClaim::Aud)),
    }
}

fn check_expiry(claims: &Map<String, Value>, now: Timestamp) -> Result<(), TokenRefusal> {
    let expiry = expiry(claims)?;
    if expiry.plus(LEEWAY) <= now {
        return Err(TokenRefusal::Expired);
    }
    // From now, and from when it was issued: the second alone would not bound a token without `iat`.
    let issued = time_claim(claims, RegisteredClaim::Iat)?.unwrap_or(now);
    if expiry.since(now) > MAX_LIFETIME + LEEWAY || expiry.since(issued) > MAX_LIFETIME {
        return Err(TokenRefusal::LifetimeTooLong);
    }
    Ok(())
}

/// When a token expires.
pub(super) fn expiry(claims: &Map<String, Value>) -> Result<Timestamp, TokenRefusal> {
    time_claim(claims, RegisteredClaim::Exp)?.ok_or(TokenRefusal::MissingClaim(RegisteredClaim::Exp))
}

fn check_start(claims: &Map<String, Value>, now: Timestamp) -> Result<(), TokenRefusal> {
    let later = |time: Option<Timestamp>| time.is_some_and(|time| time > now.plus(LEEWAY));
    if later(time_claim(claims, RegisteredClaim::Nbf)?) {
        return Err(TokenRefusal::NotYetValid);
    }
    if later(time_claim(claims, RegisteredClaim::Iat)?) {
        return Err(TokenRefusal::IssuedInFuture);
    }
    Ok(())
}

fn text_claim(claims: &Map<String, Value>, claim: RegisteredClaim) -> Result<&str, TokenRefusal> {
    match claims.get(claim.as_str()) {
        None => Err(TokenRefusal::MissingClaim(claim)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(TokenRefusal::ClaimType(claim)),
    }
}

/// A NumericDate: seconds since the epoch, which may have a fraction (RFC 7519 section 2).
fn time_claim(
    claims: &Map<String, Value>,
    claim: RegisteredClaim,
) -> Result<Option<Timestamp>, TokenRefusal> {
    let Some(value) = claims.get(claim.as_str()) else { return Ok(None) };
    let whole = |seconds: &i64| (0..=MAX_SECONDS).contains(seconds);
    // The fraction is dropped, of which no check here depends. A number beyond the range is a mistake or a trick: as a float it
    // would become whatever the conversion makes of it.
    let fraction = || value.as_f64().filter(|seconds| (0.0..=MAX_SECONDS as f64).contains(seconds));
    let seconds = value.as_i64().filter(whole).or_else(|| fraction().map(|seconds| seconds as i64));
    let seconds = seconds.ok_or(TokenRefusal::ClaimType(claim))?;
    Ok(Some(Timestamp::from_millis(seconds * 1000)))
}
