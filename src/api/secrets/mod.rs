//! `/v1/secrets`: deposits and what is known of them. Values come in here; only those of type `plain` go out.

mod deposit;
mod list;
mod view;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderName, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::deposit::{change_of, new_of, replacement_of};
use self::list::ListSecretsQuery;
use self::view::etag;
pub(crate) use self::view::view;
use super::Api;
use super::auth::Authenticated;
use super::boots::holder_view;
use super::extract::{IdempotencyKey, IfMatch, JsonBody, LARGE_BODY, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::page;
use super::problem::ApiError;
use super::query::{NoParams, QueryParams};
use crate::domain::id::SecretId;
use crate::store;
use crate::wire::{
    Code, CreateSecretRequest, DeleteSecretResponse, PageView, ReencryptView, ReplaceSecretRequest,
    SecretView, UpdateSecretRequest, paths,
};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_secrets, create_secret))
        .routes(routes!(secret, replace_secret, change_secret, delete_secret))
        .routes(routes!(reencrypt_progress, reencrypt_all))
        .routes(routes!(reencrypt_secret))
}

const DEPOSITING: &[Code] = &[
    Code::NameTaken,
    Code::StaleGeneration,
    Code::Unprocessable,
    Code::NameInvalid,
    Code::NameRefused,
    Code::ValueInvalid,
    Code::ValueTooLarge,
];

error_responses! {
    Listing = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    Creating = [AUTHENTICATED, WITH_BODY, WRITE, DEPOSITING, &[Code::IdempotencyMismatch]];
    Reading = [AUTHENTICATED, &[Code::NotFound]];
    Replacing = [AUTHENTICATED, WITH_BODY, WRITE, DEPOSITING, &[Code::NotFound, Code::VersionMismatch]];
    Changing = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::VersionMismatch, Code::Unprocessable, Code::NameInvalid]];
    Deleting = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::VersionMismatch]];
    Reencrypting = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::Locked]];
    ReencryptingAll = [AUTHENTICATED, WRITE, &[Code::Locked]];
    Progress = [AUTHENTICATED];
}

/// Secrets that the caller may see
///
/// Ascending by id. A page may be short, even empty, and still have a `next`.
#[utoipa::path(get, path = paths::SECRETS, tag = "secrets", operation_id = "list_secrets", params(ListSecretsQuery),
    responses((status = 200, body = PageView<SecretView>, description = "A page."), Listing), security(("member" = [])))]
async fn list_secrets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<ListSecretsQuery>,
) -> Result<Json<PageView<SecretView>>, ApiError> {
    let (filter, page_ask, env) = ask.into_parts();
    let mut found = api.store().list_secrets(&caller, &filter, page_ask).await?;
    found.items.retain(|secret| env.as_ref().is_none_or(|env| secret.meta.env == *env));
    Ok(Json(page(found, |secret| view(secret, &[]))))
}

/// Deposits a new secret
///
/// Works on a locked store. Answers with the name that it is exported as.
#[utoipa::path(post, path = paths::SECRETS, tag = "secrets", operation_id = "create_secret", request_body = CreateSecretRequest,
    params(
        IdempotencyKey,
    ),
    responses(
        (status = 201, body = SecretView, description = "It is deposited, durably.", headers(
            ("ETag" = String, description = "The version, in quotes."),
            ("Location" = String, description = "The secret."),
            ("Idempotency-Replayed" = Option<bool>, description = "Present when this repeats an earlier answer."),
        )),
        Creating,
    ),
    security(("member" = [])))]
async fn create_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateSecretRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let written = api.store().create_secret(&caller, new_of(body)?, key.as_deref()).await?;
    let location = paths::fill(paths::SECRET, &written.secret.meta.id.to_string());
    let replayed = written.replayed.then_some([(HeaderName::from_static("idempotency-replayed"), "true")]);
    let tag = etag(&written.secret);
    let body = Json(view(written.secret, &written.warnings));
    Ok((StatusCode::CREATED, tag, [(header::LOCATION, location)], replayed, body))
}

/// One secret
#[utoipa::path(get, path = paths::SECRET, tag = "secrets", operation_id = "secret",
    params(("id" = SecretId, Path)),
    responses(
        (status = 200, body = SecretView, description = "The secret.", headers(("ETag" = String, description = "The version, in quotes."))),
        Reading,
    ),
    security(("member" = [])))]
async fn secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<impl IntoResponse, ApiError> {
    let secret = api.store().secret(&caller, id).await?;
    Ok((etag(&secret), Json(view(secret, &[]))))
}

/// Replaces a secret's value
///
/// A new value is a new version. Works on a locked store; boots that happened keep what they have.
#[utoipa::path(put, path = paths::SECRET, tag = "secrets", operation_id = "replace_secret", request_body = ReplaceSecretRequest,
    params(
        ("id" = SecretId, Path),
        IfMatch,
    ),
    responses(
        (status = 200, body = SecretView, description = "It is replaced, durably.", headers(("ETag" = String, description = "The version, in quotes."))),
        Replacing,
    ),
    security(("member" = [])))]
async fn replace_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    IfMatch(version): IfMatch,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<ReplaceSecretRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let written = api.store().replace_secret(&caller, id, version, replacement_of(body)?).await?;
    Ok((etag(&written.secret), Json(view(written.secret, &written.warnings))))
}

/// Changes a secret's attributes
///
/// The value and its version stay.
#[utoipa::path(patch, path = paths::SECRET, tag = "secrets", operation_id = "change_secret", request_body = UpdateSecretRequest,
    params(
        ("id" = SecretId, Path),
        IfMatch,
    ),
    responses(
        (status = 200, body = SecretView, description = "It is changed, durably.", headers(("ETag" = String, description = "The version, in quotes."))),
        Changing,
    ),
    security(("member" = [])))]
async fn change_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    IfMatch(version): IfMatch,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdateSecretRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let secret = api.store().change_secret(&caller, id, version, change_of(body)?).await?;
    Ok((etag(&secret), Json(view(secret, &[]))))
}

/// Deletes a secret
///
/// Future boots do not get it. The answer names those that still hold it.
#[utoipa::path(delete, path = paths::SECRET, tag = "secrets", operation_id = "delete_secret",
    params(
        ("id" = SecretId, Path),
        IfMatch,
    ),
    responses((status = 200, body = DeleteSecretResponse, description = "It is deleted, durably."), Deleting),
    security(("member" = [])))]
async fn delete_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    IfMatch(version): IfMatch,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<DeleteSecretResponse>, ApiError> {
    let store::Deleted { secret, held_by } = api.store().delete_secret(&caller, id, version).await?;
    Ok(Json(DeleteSecretResponse {
        id: secret.meta.id.to_string(),
        name: secret.meta.name.to_string(),
        env: secret.meta.env.to_string(),
        held_by: held_by.into_iter().map(holder_view).collect(),
    }))
}

/// Seals one secret's value again
///
/// The same value and version under a fresh key and nonces. On an unlocked store.
#[utoipa::path(post, path = paths::SECRET_REENCRYPT, tag = "secrets", operation_id = "reencrypt_secret",
    params(("id" = SecretId, Path)),
    responses((status = 200, body = SecretView, description = "It is sealed again.", headers(("ETag" = String, description = "The version, in quotes."))), Reencrypting),
    security(("member" = [])))]
async fn reencrypt_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<impl IntoResponse, ApiError> {
    let secret = api.store().reencrypt_secret(&caller, id).await?;
    Ok((etag(&secret), Json(view(secret, &[]))))
}

/// How far the re-encryption of everything is
#[utoipa::path(get, path = paths::REENCRYPT, tag = "keys", operation_id = "reencrypt_progress",
    responses((status = 200, body = ReencryptView, description = "How far it is."), Progress),
    security(("operator" = []), ("member" = [])))]
async fn reencrypt_progress(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<ReencryptView>, ApiError> {
    Ok(Json(progress_view(api.store().reencrypt_progress(&caller).await?)))
}

/// Re-encrypts everything
///
/// Makes a new generation of the release key, to which all values move in the background. When one is under way already,
/// that one's progress is the answer.
#[utoipa::path(post, path = paths::REENCRYPT, tag = "keys", operation_id = "reencrypt_all",
    responses((status = 202, body = ReencryptView, description = "It is under way."), ReencryptingAll),
    security(("operator" = [])))]
async fn reencrypt_all(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<impl IntoResponse, ApiError> {
    Ok((StatusCode::ACCEPTED, Json(progress_view(api.store().reencrypt_all(&caller).await?))))
}

/// The progress as shown.
pub(crate) fn progress_view(progress: store::Progress) -> ReencryptView {
    let store::Progress { running, generation, done, total } = progress;
    ReencryptView { running, generation, done, total }
}
