//! `/v1/secrets`: deposits, and the metadata of secrets. Values come in here; only those of type `plain` go out.

mod deposit;
mod list;
mod view;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::IntoResponse;
use http::request::Parts;
use http::{HeaderName, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::deposit::{
    checked_attributes, parse_import_items, parse_new_secret, parse_patch, parse_replacement,
};
use self::list::ListSecretsQuery;
use self::view::etag;
pub(crate) use self::view::view;
use super::Api;
use super::auth::Authenticated;
use super::body::{JsonBody, LARGE_BODY};
use super::extract::{IdempotencyKey, IfMatch, PathParam};
use super::holders::{counts_view, holder_view};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, Paged, page_view};
use super::problem::ApiError;
use super::query::{FromQuery, NoParams, QueryParams, QueryReader};
use crate::domain::id::{SecretId, VersionId};
use crate::store;
use crate::wire::{
    Code, CreateSecretRequest, DeleteSecretResponse, PageView, ReencryptView, ReplaceSecretRequest,
    SecretView, UpdateSecretRequest, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_secrets, create_secret))
        .routes(routes!(secret, replace_secret, change_secret, delete_secret))
        .routes(routes!(reencrypt_progress, reencrypt_all))
        .routes(routes!(reencrypt_secret))
}

pub(crate) const DEPOSIT: &[Code] = &[
    Code::NameTaken,
    Code::VersionUsed,
    Code::OverBudget,
    Code::OverQuota,
    Code::StaleGeneration,
    Code::Unprocessable,
    Code::NameInvalid,
    Code::NameRefused,
    Code::ValueInvalid,
    Code::ValueTooLarge,
];

error_responses! {
    ListSecretsErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    CreateSecretErrors = [AUTHENTICATED, WITH_BODY, WRITE, DEPOSIT, &[Code::IdempotencyMismatch, Code::NotFound]];
    ReadSecretErrors = [AUTHENTICATED, &[Code::NotFound]];
    ReplaceSecretErrors = [AUTHENTICATED, WITH_BODY, WRITE, DEPOSIT, &[Code::NotFound, Code::VersionMismatch]];
    UpdateSecretErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::VersionMismatch, Code::Unprocessable, Code::NameInvalid]];
    DeleteSecretErrors = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::VersionMismatch]];
    ReencryptSecretErrors = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::Locked, Code::SecretUnusable]];
    ReencryptAllErrors = [AUTHENTICATED, WRITE, &[Code::Locked]];
    ReencryptProgressErrors = [AUTHENTICATED];
}

/// Extracts the secret of the path, and the version that the caller expects it to have.
struct ConditionalSecret {
    id: SecretId,
    version: Option<VersionId>,
}

impl<S: Send + Sync> FromRequestParts<S> for ConditionalSecret {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let PathParam(id) = PathParam::from_request_parts(parts, state).await?;
        let IfMatch(version) = IfMatch::from_request_parts(parts, state).await?;
        Ok(Self { id, version })
    }
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ReencryptAllQuery {
    /// `true`: somebody else may know the old keys, so that the old generation must not sign the new one.
    #[param(value_type = Option<bool>)]
    compromised: bool,
}

impl FromQuery for ReencryptAllQuery {
    const NAMES: &'static [&'static str] = &["compromised"];

    fn read(query: &mut QueryReader) -> Self {
        Self { compromised: query.flag("compromised") == Some(true) }
    }
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ReplaceSecretQuery {
    /// `true`: count the boots that hold the secret.
    holders: Option<bool>,
}

impl FromQuery for ReplaceSecretQuery {
    const NAMES: &'static [&'static str] = &["holders"];

    fn read(query: &mut QueryReader) -> Self {
        Self { holders: query.flag("holders") }
    }
}

/// List secrets
///
/// The shared secrets, and the private ones that the caller may see, in ascending order of id. A page can be shorter than
/// `limit`, or empty, and still have a `next`.
#[utoipa::path(get, path = paths::SECRETS, tag = "secrets", operation_id = "list_secrets", params(ListSecretsQuery, PageQuery),
    responses((status = 200, body = PageView<SecretView>, description = "A page of secrets."), ListSecretsErrors), security(("member" = [])))]
async fn list_secrets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(Paged { filter, page }): QueryParams<Paged<ListSecretsQuery>>,
) -> Result<Json<PageView<SecretView>>, ApiError> {
    let (filter, env) = filter.into_parts();
    let mut found = api.store().list_secrets(&caller, &filter, page).await?;
    // The store finds a name and an exported name in one index, and this parameter means the exported one only.
    found.items.retain(|secret| env.as_ref().is_none_or(|env| secret.meta.env == *env));
    Ok(Json(page_view(found, |secret| view(secret, &[]))))
}

/// Deposit a new secret
///
/// Also works on a locked store. The response has the name under which the secret is exported.
#[utoipa::path(post, path = paths::SECRETS, tag = "secrets", operation_id = "create_secret", request_body = CreateSecretRequest,
    params(
        IdempotencyKey,
    ),
    responses(
        (status = 201, body = SecretView, description = "The new secret. It is durable.", headers(
            ("ETag" = String, description = "The version of the secret, in quotes."),
            ("Location" = String, description = "The path of the secret."),
            ("Idempotency-Replayed" = Option<bool>, description = "Present if the response is that of an earlier request."),
        )),
        CreateSecretErrors,
    ),
    security(("member" = [])))]
async fn create_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateSecretRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let written = api.store().create_secret(&caller, parse_new_secret(body)?, key.as_deref()).await?;
    let location = paths::fill(paths::SECRET, written.secret.meta.id);
    // So that a client can tell a repetition from a second secret.
    let replayed = written.replayed.then_some([(HeaderName::from_static("idempotency-replayed"), "true")]);
    let tag = etag(&written.secret);
    let body = Json(view(written.secret, &written.warnings));
    Ok((StatusCode::CREATED, tag, [(header::LOCATION, location)], replayed, body))
}

/// Get the metadata of a secret
///
/// The response has the value only if the secret is of type `plain`.
#[utoipa::path(get, path = paths::SECRET, tag = "secrets", operation_id = "secret",
    params(("id" = SecretId, Path)),
    responses(
        (status = 200, body = SecretView, description = "The secret.", headers(("ETag" = String, description = "The version of the secret, in quotes."))),
        ReadSecretErrors,
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

/// Replace the value of a secret
///
/// Creates a new version. Running boots keep the old one; with `holders=true`, the response says how many. Also works on a locked
/// store.
#[utoipa::path(put, path = paths::SECRET, tag = "secrets", operation_id = "replace_secret", request_body = ReplaceSecretRequest,
    params(
        ("id" = SecretId, Path),
        ReplaceSecretQuery,
        IfMatch,
    ),
    responses(
        (status = 200, body = SecretView, description = "The secret with the new version. It is durable.", headers(("ETag" = String, description = "The version of the secret, in quotes."))),
        ReplaceSecretErrors,
    ),
    security(("member" = [])))]
async fn replace_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    ConditionalSecret { id, version }: ConditionalSecret,
    QueryParams(query): QueryParams<ReplaceSecretQuery>,
    JsonBody(body): JsonBody<ReplaceSecretRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let written = api.store().replace_secret(&caller, id, version, parse_replacement(body)?).await?;
    // Only on request, because it reads a row for each running boot.
    let counts = match query.holders {
        Some(true) => api.store().holder_counts(&caller, &written.secret).await?,
        Some(false) | None => None,
    };
    let tag = etag(&written.secret);
    let view = view(written.secret, &written.warnings);
    Ok((tag, Json(SecretView { holders: counts.map(counts_view), ..view })))
}

/// Change the attributes of a secret
///
/// The value and its version stay. An absent field stays as it is.
#[utoipa::path(patch, path = paths::SECRET, tag = "secrets", operation_id = "change_secret", request_body = UpdateSecretRequest,
    params(
        ("id" = SecretId, Path),
        IfMatch,
    ),
    responses(
        (status = 200, body = SecretView, description = "The secret with the new attributes. They are durable.", headers(("ETag" = String, description = "The version of the secret, in quotes."))),
        UpdateSecretErrors,
    ),
    security(("member" = [])))]
async fn change_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    ConditionalSecret { id, version }: ConditionalSecret,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdateSecretRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let secret = api.store().change_secret(&caller, id, version, parse_patch(body)?).await?;
    Ok((etag(&secret), Json(view(secret, &[]))))
}

/// Delete a secret
///
/// Later boots do not receive it. The response lists the boots that still hold it.
#[utoipa::path(delete, path = paths::SECRET, tag = "secrets", operation_id = "delete_secret",
    params(
        ("id" = SecretId, Path),
        IfMatch,
    ),
    responses((status = 200, body = DeleteSecretResponse, description = "The deleted secret, and the boots that hold it. The deletion is durable."), DeleteSecretErrors),
    security(("member" = [])))]
async fn delete_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    ConditionalSecret { id, version }: ConditionalSecret,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<DeleteSecretResponse>, ApiError> {
    let store::Deleted { secret, held_by } = api.store().delete_secret(&caller, id, version).await?;
    Ok(Json(DeleteSecretResponse {
        id: secret.meta.id,
        name: secret.meta.name,
        env: secret.meta.env,
        holders: counts_view(held_by.counts),
        held_by: held_by.items.into_iter().map(holder_view).collect(),
    }))
}

/// Re-encrypt a secret
///
/// Keeps the value and the version, and encrypts them with a fresh key and nonces. The store must be unlocked.
#[utoipa::path(post, path = paths::SECRET_REENCRYPT, tag = "secrets", operation_id = "reencrypt_secret",
    params(("id" = SecretId, Path)),
    responses((status = 200, body = SecretView, description = "The re-encrypted secret.", headers(("ETag" = String, description = "The version of the secret, in quotes."))), ReencryptSecretErrors),
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

/// Get the progress of the re-encryption of everything
#[utoipa::path(get, path = paths::REENCRYPT, tag = "keys", operation_id = "reencrypt_progress",
    responses((status = 200, body = ReencryptView, description = "The progress."), ReencryptProgressErrors),
    security(("operator" = []), ("member" = [])))]
async fn reencrypt_progress(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<ReencryptView>, ApiError> {
    Ok(Json(progress_view(api.store().reencrypt_progress(&caller).await?)))
}

/// Re-encrypt everything
///
/// Creates a new generation of the release key, and moves all values to it in the background. If a re-encryption is
/// running, the response is its progress, and no new one begins. For the operator.
///
/// The old generation signs the new one, so that clients follow by themselves, unless the old keys are `compromised`. That is
/// refused while a re-encryption is running.
#[utoipa::path(post, path = paths::REENCRYPT, tag = "keys", operation_id = "reencrypt_all", params(ReencryptAllQuery),
    responses((status = 202, body = ReencryptView, description = "The re-encryption is running."), ReencryptAllErrors),
    security(("operator" = [])))]
async fn reencrypt_all(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(query): QueryParams<ReencryptAllQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let progress = match query.compromised {
        true => api.store().reencrypt_compromised(&caller).await?,
        false => api.store().reencrypt_all(&caller).await?,
    };
    Ok((StatusCode::ACCEPTED, Json(progress_view(progress))))
}

pub(crate) fn progress_view(progress: store::Progress) -> ReencryptView {
    let store::Progress { running, generation, done, total, left, damaged, kept, endorsed } = progress;
    ReencryptView { running, generation, done, total, left, damaged, kept, endorsed }
}
