//! `/v1/tokens`: tokens of members and of the operator. The text of a token is shown once, in the response that creates
//! it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::{IdempotencyKey, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{OwnerQuery, PageQuery, Paged, page_view};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::domain::id::TokenId;
use crate::domain::name::Label;
use crate::store;
use crate::store::Caller;
use crate::wire::{Code, CreateTokenRequest, CreateTokenResponse, PageView, TokenView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_tokens, create_token)).routes(routes!(revoke_token))
}

/// The longest lifetime of a token or ticket in seconds: 100 years, so that RFC 3339 can express every expiry.
pub(crate) const MAX_TTL: u64 = 3_153_600_000;

error_responses! {
    ListTokensErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    CreateTokenErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::NameInvalid, Code::Unprocessable, Code::IdempotencyMismatch, Code::OverQuota,
    ]];
    RevokeTokenErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// List tokens
///
/// A member sees their own tokens, an admin or auditor those of the organization, the operator those of the operator. In
/// ascending order of id.
#[utoipa::path(get, path = paths::TOKENS, tag = "organization", operation_id = "list_tokens", params(OwnerQuery, PageQuery),
    responses((status = 200, body = PageView<TokenView>, description = "A page of tokens."), ListTokensErrors),
    security(("member" = []), ("operator" = [])))]
async fn list_tokens(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(Paged { filter, page }): QueryParams<Paged<OwnerQuery>>,
) -> Result<Json<PageView<TokenView>>, ApiError> {
    let found = api.store().list_tokens(&caller, filter.member.as_ref(), page).await?;
    Ok(Json(page_view(found, token_view)))
}

/// Create a token
///
/// A member creates tokens for itself and for the services that it manages, the operator for the operator and, with `metrics`,
/// for a monitoring system, which can then read the metrics and do nothing else. The store keeps a hash
/// of the token, so a repeated idempotency key is a conflict.
#[utoipa::path(post, path = paths::TOKENS, tag = "organization", operation_id = "create_token", request_body = CreateTokenRequest,
    params(IdempotencyKey),
    responses((status = 201, body = CreateTokenResponse, description = "The token. It is not shown again."), CreateTokenErrors),
    security(("member" = []), ("operator" = [])))]
async fn create_token(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateTokenRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let body = issue_token(&api, &caller, body, key.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// Creates a token, and renders it with its text.
pub(crate) async fn issue_token(
    api: &Api,
    caller: &Caller,
    body: CreateTokenRequest,
    key: Option<&str>,
) -> Result<CreateTokenResponse, ApiError> {
    let mut errors = FieldErrors::default();
    let new = store::NewToken {
        member: body.member.and_then(|name| errors.check_as(Code::NameInvalid, "member", name.parse())),
        ttl: check_ttl(&mut errors, body.ttl_seconds),
        label: check_label(&mut errors, body.label.as_deref()),
        metrics: body.metrics,
    };
    errors.into_result()?;
    // The store decides whose token the caller may create.
    let issued = api.store().create_token(caller, new, key).await?;
    // This copy of the token is not wiped. It becomes the response, which leaves the process anyway.
    Ok(CreateTokenResponse { token: issued.credential.to_text().to_string(), view: token_view(issued.token) })
}

/// Revoke a token
///
/// The last active token of the operator cannot be revoked.
#[utoipa::path(delete, path = paths::TOKEN, tag = "organization", operation_id = "revoke_token",
    params(("id" = TokenId, Path)),
    responses((status = 200, body = TokenView, description = "The revoked token."), RevokeTokenErrors),
    security(("member" = []), ("operator" = [])))]
async fn revoke_token(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<TokenId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<TokenView>, ApiError> {
    Ok(Json(token_view(api.store().revoke_token(&caller, id).await?)))
}

/// Reads a lifetime out of a body.
pub(crate) fn check_ttl(errors: &mut FieldErrors, seconds: Option<u64>) -> Option<Duration> {
    check_seconds(errors, "ttl_seconds", seconds)
}

/// Reads a duration out of a body.
pub(crate) fn check_seconds(errors: &mut FieldErrors, field: &str, seconds: Option<u64>) -> Option<Duration> {
    let seconds = seconds?;
    // The fault fails the request, so the value below only completes the type.
    if !(1..=MAX_TTL).contains(&seconds) {
        errors.add(field, format!("expected a number from 1 to {MAX_TTL}"));
    }
    Some(Duration::from_secs(seconds))
}

/// Reads a label out of a body.
pub(crate) fn check_label(errors: &mut FieldErrors, text: Option<&str>) -> Option<Label> {
    errors.check_as(Code::Unprocessable, "label", text?.parse())
}

pub(crate) fn token_view(token: store::Token) -> TokenView {
    TokenView {
        id: token.id,
        member: token.member,
        author: token.author,
        label: token.label.map(|label| label.to_string()),
        created_at: token.created_at,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
        metrics: token.metrics,
    }
}
