//! Sealed release in front of the routes of machines: verifies the proof of a request, passes on a request that consists of
//! what was proven, and seals the response. [`crate::crypto::sealed_release`] describes the bytes.
//!
//! A stranger costs a look-up and the verification of a signature. The store seals and signs refusals of strangers too, so that
//! agents can rely on them, but only as many of each source as it may have failed attempts. What somebody between agent and store
//! can cause without the agent's key is never signed.

mod bound_token;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;

use crate::api::Api;
use crate::api::auth::{accept_caller, charge_failure};
use crate::api::body::{LARGE_BODY, SMALL_BODY, check_length, read_whole_body};
use crate::api::extract::{IDEMPOTENCY_KEY, single_value};
use crate::api::problem::ApiError;
use crate::api::request_marks::{InnerStatus, Peer, ProvenCaller, RequestId};
use crate::crypto::sealed_release::Challenge;
use crate::crypto::sealed_release::answer::AnswerContent;
use crate::crypto::sealed_release::proof::RequestProof;
use crate::crypto::sealed_release::responder::{AnswerSigner, AnsweredRequest};
use crate::crypto::sealed_release::statement::{ProofSubject, RequestTarget, Statement, digest};
use crate::store::{AuthError, Error};
use crate::wire::{Code, PROOF_SCHEME, SEALED_MEDIA_TYPE, paths, render_challenge};

/// Returns the largest body of a request that proves itself. `None` if the request presents no proof, or its route takes none.
pub(crate) fn body_limit(route: Option<&str>, headers: &HeaderMap) -> Option<usize> {
    let limit = match route? {
        paths::BOOT | paths::EXPLAIN => LARGE_BODY,
        paths::BOOT_REPORT | paths::BOOT_END => SMALL_BODY,
        _ => return None,
    };
    proof_text(headers).map(|_| limit)
}

fn proof_text(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(PROOF_SCHEME).then(|| text.trim())
}

/// Answers a request that presents a proof.
pub(crate) async fn respond(api: &Api, limit: usize, request: Request, next: Next) -> Response {
    let (request, pending) = match prove(api, limit, request).await {
        Ok(proven) => proven,
        Err(refusal) => return refusal.into_response(api).await,
    };
    pending.seal(api, next.run(request).await).await
}

/// Why a request is not passed on.
enum ProofRefusal {
    /// Not signed: somebody in between can cause it, or it passes.
    Unsigned(ApiError),
    /// The time of the statement is not the store's.
    Stale(Challenge),
    /// The store knows the request as the agent made it.
    Signed(ApiError, Box<PendingResponse>),
}

impl From<ApiError> for ProofRefusal {
    fn from(error: ApiError) -> Self {
        Self::Unsigned(error)
    }
}

/// What seals the response to a request.
struct PendingResponse {
    signer: Arc<AnswerSigner>,
    request: AnsweredRequest,
}

/// A request's proof, and the statement that it signs.
struct PresentedProof {
    proof: RequestProof,
    statement: Statement,
    signer: Arc<AnswerSigner>,
}

impl PresentedProof {
    /// Reads the proof. Nothing of the store is read, except its answer key once.
    async fn read(api: &Api, parts: &Parts) -> Result<Self, ProofRefusal> {
        if parts.headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
            return Err(ApiError::new(Code::Unauthorized, "the request has more than one credential").into());
        }
        let proof = RequestProof::parse(proof_text(&parts.headers).unwrap_or_default())
            .map_err(|error| charge(api, parts, ApiError::new(Code::Unauthorized, error.to_string())))?;
        // First of all, because it costs one MAC: everything later reads the byte store or verifies a signature.
        api.store().check_freshness(&proof.parts).map_err(ProofRefusal::Stale)?;
        let signer = api.store().answer_signer().await.map_err(Error::from)?;
        let target = RequestTarget {
            method: parts.method.as_str(),
            path: parts.uri.path_and_query().map_or("", |path| path.as_str()),
            attempt: single_value(&parts.headers, &IDEMPOTENCY_KEY)?,
        };
        let statement = Statement::new(signer.public(), target, &proof.parts);
        Ok(Self { proof, statement, signer })
    }

    /// What the answer is sealed to. It is checked before the request is executed: otherwise nobody could read the answer.
    fn into_pending(self) -> Result<PendingResponse, ApiError> {
        let Self { proof, statement, signer } = self;
        AnsweredRequest::new(statement.hash(), proof.signature, &proof.parts.one_time_key)
            .map(|request| PendingResponse { signer, request })
            .ok_or_else(|| ApiError::new(Code::InvalidRequest, "the one-time key is no X-Wing key"))
    }
}

impl From<Error> for ProofRefusal {
    fn from(error: Error) -> Self {
        Self::Unsigned(error.into())
    }
}

/// Authenticates a request, and returns one that consists of what was proven.
async fn prove(
    api: &Api,
    limit: usize,
    request: Request,
) -> Result<(Request, PendingResponse), ProofRefusal> {
    let (mut parts, body) = request.into_parts();
    let presented = PresentedProof::read(api, &parts).await?;
    let source = Peer::from_extensions(&parts.extensions).address();
    let proven = match presented.proof.parts.subject {
        ProofSubject::Token { .. } => bound_token::authenticate(api, &parts, &presented, source).await?,
        ProofSubject::Identity(_) | ProofSubject::Boot { .. } => {
            api.store().authenticate_proof(&presented.proof, &presented.statement, source).await
        }
    };
    let caller = match proven {
        Ok(caller) => caller,
        Err(error) => return Err(refuse(api, &parts, presented, error)),
    };
    let caller = match parts.extensions.get::<RequestId>() {
        Some(RequestId(id)) => caller.with_request_id(id),
        None => caller,
    };
    let body_digest = presented.proof.parts.body_digest;
    let pending = presented.into_pending()?;
    accept_caller(api, &caller, &mut parts)?;
    // As the caller's, now that there is one.
    check_length(&parts.headers, limit)?;
    let bytes = read_whole_body(api, &parts, body, limit).await?.into_bytes();
    if digest(&bytes) != body_digest {
        let error = ApiError::new(Code::InvalidRequest, "the body is not the one that the proof is for");
        return Err(charge(api, &parts, error).into());
    }
    replace_headers(&mut parts.headers, bytes.len());
    parts.extensions.insert(ProvenCaller(caller));
    Ok((Request::from_parts(parts, Body::from(Bytes::from_owner(bytes))), pending))
}

/// Leaves only headers that were proven, or that follow from what was.
fn replace_headers(headers: &mut HeaderMap, length: usize) {
    let attempt = headers.remove(IDEMPOTENCY_KEY);
    headers.clear();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(attempt) = attempt {
        headers.insert(IDEMPOTENCY_KEY, attempt);
    }
}

fn refuse(api: &Api, parts: &Parts, presented: PresentedProof, error: AuthError) -> ProofRefusal {
    let is_from_statement = match &error {
        AuthError::Unknown | AuthError::Expired | AuthError::Revoked => true,
        // The statement has the digest of the token.
        AuthError::TokenRefused => true,
        // Whoever passes a request on chooses where it comes from, and can pass it on twice.
        AuthError::SourceNotAllowed | AuthError::UsedProof | AuthError::Failure(_) => false,
        AuthError::IssuerUnavailable => false,
    };
    let is_denial = error.is_denial();
    let error = ApiError::from(error);
    let error = if is_denial { charge(api, parts, error) } else { error };
    // After too many failed attempts of its source, a stranger gets no signature.
    if !is_from_statement || error.code() == Code::RateLimited {
        return error.into();
    }
    match presented.into_pending() {
        Ok(pending) => ProofRefusal::Signed(error, Box::new(pending)),
        Err(error) => error.into(),
    }
}

fn charge(api: &Api, parts: &Parts, error: ApiError) -> ApiError {
    charge_failure(api, Peer::from_extensions(&parts.extensions).address(), error)
}

impl ProofRefusal {
    async fn into_response(self, api: &Api) -> Response {
        match self {
            Self::Unsigned(error) => error.into_response(),
            Self::Stale(challenge) => {
                let error = ApiError::new(Code::StaleProof, "the clocks of the machine and the store differ")
                    .hint("prove the request again with the challenge");
                let mut response = error.into_response();
                // Base64 is a valid header.
                if let Ok(value) = HeaderValue::try_from(render_challenge(&challenge)) {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
                }
                response
            }
            Self::Signed(error, pending) => pending.seal(api, error.into_response()).await,
        }
    }
}

impl PendingResponse {
    async fn seal(self, api: &Api, response: Response) -> Response {
        let code = response.extensions().get::<Code>().copied();
        // A replay gets no signature. The others pass, so that an agent tries again whether or not they are signed.
        if matches!(code, Some(Code::UsedProof | Code::RateLimited | Code::Overloaded)) {
            return response;
        }
        let (parts, body) = response.into_parts();
        // The routes answer from memory: there is nothing to wait for, and one buffer, which is not copied.
        let Ok(body) = body.collect().await else { return ApiError::internal().into_response() };
        let body = body.to_bytes();
        let retry_after =
            parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let content = AnswerContent { status: parts.status.as_u16(), retry_after, body: &body };
        let answer =
            self.signer.answer(&self.request, &content, &mut |bytes: &mut [u8]| api.fill_random(bytes));
        let Ok(answer) = answer else {
            tracing::error!("the answer to a request with a proof could not be sealed");
            return ApiError::internal().into_response();
        };
        api.store().note_answered(self.request.hash);
        let mut sealed = ([(header::CONTENT_TYPE, SEALED_MEDIA_TYPE)], answer).into_response();
        sealed.extensions_mut().insert(InnerStatus(parts.status));
        if let Some(code) = code {
            sealed.extensions_mut().insert(code);
        }
        sealed
    }
}

#[cfg(test)]
mod tests;
