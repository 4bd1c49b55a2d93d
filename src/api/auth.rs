//! Authentication: the bearer credential of a request, checked before anything else of it is read. Throttles wrong
//! credentials per source. Never logs or repeats a credential.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

use super::Api;
use super::middleware::{Peer, RequestId};
use super::problem::ApiError;
use crate::domain::credential::Credential;
use crate::domain::role::Principal;
use crate::store::Caller;
use crate::wire::Code;

/// Extracts the caller of an authenticated request. A handler takes it before every other parameter, so that path, query
/// and body of a stranger are not read. What the caller may do is the store's to decide.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<Api> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let source = Peer::from_extensions(&parts.extensions).address();
        api.limits().check_auth_throttle(source, Instant::now())?;
        let credential = bearer_credential(&parts.headers).inspect_err(|_| {
            // A request without a credential is a mistake, not a guess.
            if parts.headers.contains_key(header::AUTHORIZATION) {
                count_guess(api, source);
            }
        })?;
        let caller = api.store().authenticate(&credential, source).await.inspect_err(|error| {
            if error.is_guess() {
                count_guess(api, source);
            }
        })?;
        tracing::Span::current().record("actor", tracing::field::display(actor(&caller)));
        Ok(Self(match parts.extensions.get::<RequestId>() {
            Some(RequestId(id)) => caller.with_request_id(id),
            None => caller,
        }))
    }
}

/// Counts a wrong credential or passphrase of `source`.
pub(crate) fn count_guess(api: &Api, source: Option<IpAddr>) {
    api.metrics().guesses.inc();
    api.limits().count_guess(source, Instant::now());
}

fn bearer_credential(headers: &HeaderMap) -> Result<Credential, ApiError> {
    let unauthorized = |detail: &str| ApiError::new(Code::Unauthorized, detail);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(unauthorized("the request has no credential")
            .hint("send `Authorization: Bearer` and a token, or for a boot a ticket's credential"));
    };
    // A proxy might have checked the other one.
    if values.next().is_some() {
        return Err(unauthorized("the request has more than one credential"));
    }
    let text = value.to_str().unwrap_or("");
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    // Schemes are compared without regard to case (RFC 9110 section 11.1).
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthorized("the credential is not a bearer token"));
    }
    Credential::parse(token.trim()).map_err(|error| {
        let problem = unauthorized(&error.to_string());
        match error.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    })
}

/// Names the caller in the log: an id, which says nothing to a stranger.
pub(crate) fn actor(caller: &Caller) -> String {
    match caller.principal() {
        Principal::Operator => "operator".to_owned(),
        Principal::Member { id, .. } => id.to_string(),
        Principal::Ticket { id, .. } => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_text(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let refused = bearer_credential(&headers).unwrap_err();
        assert_eq!(refused.code(), Code::Unauthorized);
        format!("{refused:?}")
    }

    #[test]
    fn what_is_no_credential_is_refused_without_a_word_of_it() {
        for value in [
            "",
            "Bearer",
            "Bearer canary",
            "Basic canary",
            "dsm_canary",
            "Bearer dsm_canary",
            "Bearer dst_canary",
        ] {
            assert!(!error_text(value).contains("canary"), "{value}");
        }
    }
}
