//! Who asks: the bearer credential of a request, judged before anything else of it is looked at. Slows guesses per
//! source. Never logs or repeats what was presented.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
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

/// A request by somebody who has proved who it is. Every handler that needs a credential takes it first, so that
/// neither path, query nor body are looked at before. What the caller may do is the store's to decide.
pub struct Authenticated(pub Caller);

impl FromRequestParts<Api> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let source = Peer::of(&parts.extensions).address();
        api.limits().check_auth_throttle(source, Instant::now())?;
        let credential = presented(&parts.headers).inspect_err(|refused| {
            if refused.code() == Code::Unauthorized && parts.headers.contains_key(header::AUTHORIZATION) {
                count_guess(api, source);
            }
        })?;
        let caller = match api.store().authenticate(&credential, source).await {
            Ok(caller) => caller,
            Err(error) => {
                if error.is_guess() {
                    count_guess(api, source);
                }
                return Err(error.into());
            }
        };
        tracing::Span::current().record("actor", tracing::field::display(actor(&caller)));
        Ok(Self(match parts.extensions.get::<RequestId>() {
            Some(RequestId(id)) => caller.with_request_id(id),
            None => caller,
        }))
    }
}

/// Counts a wrong credential or passphrase.
pub(crate) fn count_guess(api: &Api, source: Option<IpAddr>) {
    api.metrics().guesses.fetch_add(1, Relaxed);
    api.limits().count_guess(source, Instant::now());
}

fn presented(headers: &HeaderMap) -> Result<Credential, ApiError> {
    let unauthorized = |detail: &str| ApiError::new(Code::Unauthorized, detail);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(unauthorized("the request has no credential")
            .hint("send `Authorization: Bearer` and a token, or for a boot a ticket's credential"));
    };
    if values.next().is_some() {
        return Err(unauthorized("the request has more than one credential"));
    }
    let text = value.to_str().unwrap_or("");
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthorized("the credential is not a bearer token"));
    }
    Credential::parse(token.trim()).map_err(|error| {
        let refused = unauthorized(&error.to_string());
        match error.hint() {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    })
}

/// The actor, for the log.
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

    fn refusal(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let refused = presented(&headers).unwrap_err();
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
            assert!(!refusal(value).contains("canary"), "{value}");
        }
    }
}
