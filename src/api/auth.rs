//! Authentication: the bearer credential of a request, or the proof that [`super::sealed`] has verified, checked before anything
//! else of it is read. Failed attempts are limited per source, and a valid credential is never refused because of them. Never logs
//! or repeats a credential.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use super::body_budget::BodyOwner;
use super::limits::RequestRate;
use super::problem::ApiError;
use super::request_marks::{ConnectionProof, Peer, ProvenCaller, RequestId};
use super::{Api, tls_terminated};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::IdentityId;
use crate::domain::role::Principal;
use crate::store::{AuthError, Caller};
use crate::wire::{Code, IDENTITY_HEADER};

/// Extracts the caller of an authenticated request. A handler takes it before every other parameter, so that path, query
/// and body of a stranger are not read. The store decides what the caller may do.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<Api> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        if let Some(ProvenCaller(caller)) = parts.extensions.get() {
            return Ok(Self(caller.clone()));
        }
        let caller = authenticate(parts, api).await?;
        let caller = match parts.extensions.get::<RequestId>() {
            // The audit entries of this request name its id.
            Some(RequestId(id)) => caller.with_request_id(id),
            None => caller,
        };
        accept_caller(api, &caller, parts)?;
        Ok(Self(caller))
    }
}

/// Extracts the credential of a request that proves itself later, such as the code of an enrolment.
pub(crate) struct PresentedCredential(pub(crate) Credential);

impl FromRequestParts<Api> for PresentedCredential {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        present_credential(parts, api).map(Self)
    }
}

fn present_credential(parts: &Parts, api: &Api) -> Result<Credential, ApiError> {
    let credential = bearer_credential(&parts.headers).map_err(|error| {
        // A request without a credential is a mistake, not a failed attempt.
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return error;
        }
        charge_failure(api, Peer::from_extensions(&parts.extensions).address(), error)
    })?;
    tls_terminated::check_credential(&parts.extensions, credential.kind)?;
    Ok(credential)
}

async fn authenticate(parts: &Parts, api: &Api) -> Result<Caller, ApiError> {
    let source = Peer::from_extensions(&parts.extensions).address();
    // The look-up comes before the limit: it costs little, and a valid credential must not suffer from the failures of
    // others behind the same address.
    let mut identities = parts.headers.get_all(IDENTITY_HEADER).iter();
    let authenticated = match (identities.next(), identities.next()) {
        (Some(_), Some(_)) => {
            let twice = ApiError::new(Code::Unauthorized, "Dropsafe-Identity: expected one header");
            return Err(charge_failure(api, source, twice));
        }
        (Some(identity), None) => authenticate_by_token(parts, api, identity).await?,
        (None, _) => api.store().authenticate(&present_credential(parts, api)?, source).await,
    };
    authenticated.map_err(|error| {
        // A token that cannot be verified counts as a failure too: otherwise anyone could send any number while an issuer is down.
        let is_denial = error.is_denial() || matches!(error, AuthError::IssuerUnavailable);
        let error = ApiError::from(error);
        if is_denial { charge_failure(api, source, error) } else { error }
    })
}

/// Authenticates a machine by the token of an issuer, for the identity that a header names.
async fn authenticate_by_token(
    parts: &Parts,
    api: &Api,
    identity: &HeaderValue,
) -> Result<Result<Caller, AuthError>, ApiError> {
    let source = Peer::from_extensions(&parts.extensions).address();
    // Whoever terminates TLS could use it too.
    tls_terminated::check_credential(&parts.extensions, CredentialKind::Ticket)?;
    let refused = |error| charge_failure(api, source, error);
    let identity = identity.to_str().ok().and_then(|text| text.parse().ok());
    let malformed =
        || ApiError::new(Code::Unauthorized, "Dropsafe-Identity: expected one id that starts with idn_");
    let identity: IdentityId = identity.ok_or_else(|| refused(malformed()))?;
    let token = bearer_text(&parts.headers).map_err(refused)?;
    let claimed = match api.store().claimed_identity(identity, source).await {
        Ok(claimed) => claimed,
        Err(error) => return Ok(Err(error)),
    };
    // Only for an identity that exists: strangers must not make the store fetch keys.
    let now = api.store().now();
    let verified = api.issuers().verify(claimed.issuer(), claimed.audience(), token, now).await;
    Ok(api.store().authenticate_by_token(claimed, verified, source).await)
}

/// Notes in a request that its caller is authenticated: for the log, for the budget of its body, and for its connection.
/// Refuses it if its credential has sent too many requests.
pub(crate) fn accept_caller(api: &Api, caller: &Caller, parts: &mut Parts) -> Result<(), ApiError> {
    let extensions = &mut parts.extensions;
    // The span began before the caller was known.
    tracing::Span::current().record("actor", tracing::field::display(actor(caller)));
    let owner = match caller.principal() {
        Principal::Operator => Some(BodyOwner::Operator),
        // It has no use for a body: what it sends must not take room from the operator.
        Principal::Metrics => None,
        Principal::Member { org, id, .. } => Some(BodyOwner::Member(*org, *id)),
        Principal::Ticket { org, id, .. } | Principal::Boot { org, ticket: id, .. } => {
            Some(BodyOwner::Boot(*org, *id))
        }
    };
    if let Some(owner) = owner {
        extensions.insert(owner);
    }
    if let Some(proof) = extensions.get::<ConnectionProof>() {
        proof.prove(caller.principal().org());
    }
    let route = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    match (caller.credential_id(), RequestRate::of(&parts.method, route)) {
        (Some(credential), Some(rate)) => {
            let charged = api.limits().charge_credential(credential, rate, Instant::now());
            charged.inspect_err(|_| {
                api.metrics().rate_limited.inc();
            })
        }
        _ => Ok(()),
    }
}

/// Counts a failed attempt of `source`. Returns `refusal`, or what replaces it if the source has failed too often.
pub(crate) fn charge_failure(api: &Api, source: Option<IpAddr>, refusal: ApiError) -> ApiError {
    api.metrics().guesses.inc();
    api.limits().charge_failure(source, Instant::now()).err().unwrap_or(refusal)
}

/// Counts a wrong passphrase of `source`.
pub(crate) fn count_wrong_passphrase(api: &Api, source: Option<IpAddr>) {
    api.metrics().guesses.inc();
    api.limits().count_wrong_passphrase(source, Instant::now());
}

/// The text that follows `Bearer`.
fn bearer_text(headers: &HeaderMap) -> Result<&str, ApiError> {
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
    // A value that is not ASCII is no token; the empty text fails like any other.
    let text = value.to_str().unwrap_or("");
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    // Schemes are compared without regard to case (RFC 9110 section 11.1).
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthorized("the credential is not a bearer token"));
    }
    // More than one space may follow the scheme (RFC 9110 section 11.4).
    Ok(token.trim())
}

fn bearer_credential(headers: &HeaderMap) -> Result<Credential, ApiError> {
    Credential::parse(bearer_text(headers)?).map_err(|error| {
        let problem = ApiError::new(Code::Unauthorized, error.to_string());
        match error.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    })
}

/// Names the caller in the log: an id, which says nothing to a stranger.
fn actor(caller: &Caller) -> String {
    match caller.principal() {
        Principal::Operator => "operator".to_owned(),
        Principal::Metrics => "metrics".to_owned(),
        Principal::Member { id, .. } => id.to_string(),
        Principal::Ticket { id, .. } => id.to_string(),
        Principal::Boot { id, .. } => id.to_string(),
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
    fn an_invalid_credential_is_refused_and_not_quoted() {
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
