//! `/v1/tokens`: members' tokens, and the operator's own. A token's text is shown once, in the answer that made it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::{IdempotencyKey, JsonBody, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::page;
use super::problem::{ApiError, FieldErrors};
use super::query::{MemberPageQuery, NoParams, QueryParams};
use crate::domain::id::TokenId;
use crate::domain::name::Label;
use crate::store;
use crate::store::Caller;
use crate::wire::{Code, CreateTokenRequest, CreateTokenResponse, PageView, TokenView, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_tokens, create_token)).routes(routes!(revoke_token))
}

/// The longest that a token or ticket may live: a hundred years, so that times stay within what RFC 3339 can write.
pub(crate) const MAX_TTL: u64 = 3_153_600_000;

error_responses! {
    Listing = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    Creating = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::NameInvalid, Code::Unprocessable, Code::IdempotencyMismatch,
    ]];
    Revoking = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// Tokens that the caller may see
///
/// A member its own, an admin or auditor the organization's, the operator the operator's. Ascending by id.
#[utoipa::path(get, path = paths::TOKENS, tag = "organization", operation_id = "list_tokens", params(MemberPageQuery),
    responses((status = 200, body = PageView<TokenView>, description = "A page."), Listing),
    security(("member" = []), ("operator" = [])))]
async fn list_tokens(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<MemberPageQuery>,
) -> Result<Json<PageView<TokenView>>, ApiError> {
    let (member, ask) = ask.into_parts();
    Ok(Json(page(api.store().list_tokens(&caller, member.as_ref(), ask).await?, view)))
}

/// Makes a token
///
/// A member for itself, an admin for any member, the operator for itself. A repeated idempotency key is a conflict,
/// because the token cannot be shown twice.
#[utoipa::path(post, path = paths::TOKENS, tag = "organization", operation_id = "create_token", request_body = CreateTokenRequest,
    params(IdempotencyKey),
    responses((status = 201, body = CreateTokenResponse, description = "The token, shown this once."), Creating),
    security(("member" = []), ("operator" = [])))]
async fn create_token(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateTokenRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let body = issue(&api, &caller, body, key.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// Makes a token.
pub(crate) async fn issue(
    api: &Api,
    caller: &Caller,
    body: CreateTokenRequest,
    key: Option<&str>,
) -> Result<CreateTokenResponse, ApiError> {
    let mut errors = FieldErrors::default();
    let new = store::NewToken {
        member: body.member.and_then(|name| errors.check_as(Code::NameInvalid, "member", name.parse())),
        ttl: ttl(&mut errors, body.ttl_seconds),
        label: label(&mut errors, body.label.as_deref()),
    };
    errors.into_result()?;
    let issued = api.store().create_token(caller, new, key).await?;
    Ok(CreateTokenResponse { token: issued.credential.to_text().to_string(), view: view(issued.token) })
}

/// Revokes a token
///
/// The operator's last usable token stays.
#[utoipa::path(delete, path = paths::TOKEN, tag = "organization", operation_id = "revoke_token",
    params(("id" = TokenId, Path)),
    responses((status = 200, body = TokenView, description = "It is revoked."), Revoking),
    security(("member" = []), ("operator" = [])))]
async fn revoke_token(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<TokenId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<TokenView>, ApiError> {
    Ok(Json(view(api.store().revoke_token(&caller, id).await?)))
}

/// A time to live out of a body.
pub(crate) fn ttl(errors: &mut FieldErrors, seconds: Option<u64>) -> Option<Duration> {
    let seconds = seconds?;
    if !(1..=MAX_TTL).contains(&seconds) {
        errors.add("ttl_seconds", format!("expected a number from 1 to {MAX_TTL}"));
    }
    Some(Duration::from_secs(seconds))
}

/// A label out of a body.
pub(crate) fn label(errors: &mut FieldErrors, text: Option<&str>) -> Option<Label> {
    errors.check_as(Code::Unprocessable, "label", text?.parse())
}

/// A token as shown.
pub(crate) fn view(token: store::Token) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        member: token.member.map(|name| name.to_string()),
        label: token.label.map(|label| label.to_string()),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|at| at.to_string()),
        revoked_at: token.revoked_at.map(|at| at.to_string()),
    }
}
