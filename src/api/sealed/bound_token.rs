//! A proof by a token that is bound to the key which signed it. Never logs or repeats a token.

use std::net::IpAddr;

use http::HeaderName;
use http::request::Parts;

use super::{PresentedProof, ProofRefusal, charge};
use crate::api::Api;
use crate::api::extract::single_value;
use crate::api::problem::ApiError;
use crate::crypto::sealed_release::statement::{ProofSubject, digest};
use crate::store::{AuthError, Caller};
use crate::wire::{Code, TOKEN_HEADER};

const TOKEN: HeaderName = HeaderName::from_static(TOKEN_HEADER);

/// Authenticates the sender of a statement, who has a token.
///
/// # Errors
/// The header is not what the statement says, which somebody in between can cause. What follows from the statement is inside.
pub(super) async fn authenticate(
    api: &Api,
    parts: &Parts,
    presented: &PresentedProof,
    source: Option<IpAddr>,
) -> Result<Result<Caller, AuthError>, ProofRefusal> {
    let PresentedProof { proof, statement, .. } = presented;
    let ProofSubject::Token { token_digest, .. } = proof.parts.subject else {
        return Ok(Err(AuthError::Unknown));
    };
    let token = single_value(&parts.headers, &TOKEN)?.unwrap_or_default();
    if digest(token.as_bytes()) != token_digest {
        let error = ApiError::new(Code::Unauthorized, "the token is not the one that the proof is for");
        return Err(charge(api, parts, error).into());
    }
    let claimed = match api.store().claim_by_proof(proof, statement, source).await {
        Ok(claimed) => claimed,
        Err(error) => return Ok(Err(error)),
    };
    let now = api.store().now();
    let verified = api.issuers().verify(claimed.issuer(), claimed.audience(), token, now).await;
    Ok(api.store().authenticate_by_token(claimed, verified, source).await)
}
