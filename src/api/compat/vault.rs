//! `/vault/secrets`: an organization's secrets as a vault, its rotation and its state.
//!
//! `orgId` is what the client calls its organization; the credential alone decides which one it is. An id of this store's
//! form (`org_…`) that is not the caller's own is not found, whether or not there is such an organization; any other text
//! is a name of the client's own, and is given back as it came.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::extract::{JsonBody, LARGE_BODY, PathParam};
use crate::api::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use crate::api::plugins::named;
use crate::api::problem::{ApiError, FieldErrors};
use crate::api::query::{FromQuery, QueryParams, QueryReader};
use crate::domain::id::{OrgId, SecretId};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};
use crate::store;
use crate::store::{Caller, Cursor, Deposit, PageAsk, SecretFilter};
use crate::wire::{
    Code, CreateVaultSecretRequest, DeleteVaultSecretResponse, RotateVaultResponse, VaultSecretView,
    VaultSecretsView, VaultStatusView, paths,
};

/// Secrets of an answer when no limit is asked for; beyond, it goes on with `next`.
const ALL: usize = 10_000;
/// Secrets of one page of the store.
const STEP: usize = 1000;

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vault_secrets, new_vault_secret))
        .routes(routes!(vault_secret, delete_vault_secret))
        .routes(routes!(rotate_vault_secret))
        .routes(routes!(rotate_vault))
        .routes(routes!(vault_status))
}

error_responses! {
    Listing = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    Creating = [
        AUTHENTICATED, WITH_BODY, WRITE,
        &[Code::NotFound, Code::NameTaken, Code::NameInvalid, Code::NameRefused, Code::ValueInvalid, Code::ValueTooLarge],
    ];
    Showing = [AUTHENTICATED, &[Code::NotFound, Code::WriteOnly]];
    Deleting = [AUTHENTICATED, WRITE, &[Code::NotFound]];
    Rotating = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::Locked]];
    Asking = [AUTHENTICATED, &[Code::NotFound]];
}

/// What the client calls its organization.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VaultOrgQuery {
    /// What the client calls its organization; the credential decides which one it is.
    #[param(rename = "orgId", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._@-]+$")]
    org: Option<String>,
}

impl FromQuery for VaultOrgQuery {
    const NAMES: &'static [&'static str] = &["orgId"];

    fn read(query: &mut QueryReader) -> Self {
        Self { org: org_of(query) }
    }
}

/// `orgId` of a query.
pub(crate) fn org_of(query: &mut QueryReader) -> Option<String> {
    query.word("orgId", 100, is_org)
}

fn is_org(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._@-".contains(&byte)
}

/// What the organization is to be called in the answer.
pub(crate) fn called(caller: &Caller, org: Option<String>) -> Result<String, ApiError> {
    let own = caller.org().map(|(id, _)| id);
    match org {
        Some(text) if text.parse::<OrgId>().is_ok_and(|id| Some(id) != own) => {
            Err(ApiError::new(Code::NotFound, "there is no such organization here")
                .hint("leave orgId out: the credential says which organization it is"))
        }
        Some(text) => Ok(text),
        None => Ok(own.map(|id| id.to_string()).unwrap_or_default()),
    }
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListVaultQuery {
    /// What the client calls its organization; the credential decides which one it is.
    #[param(rename = "orgId", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._@-]+$")]
    org: Option<String>,
    /// From a former answer's `next`.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// Secrets at most; absent: all, to 10,000.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl FromQuery for ListVaultQuery {
    const NAMES: &'static [&'static str] = &["orgId", "cursor", "limit"];

    fn read(query: &mut QueryReader) -> Self {
        let limit = query.limit();
        Self { org: org_of(query), cursor: query.cursor(), limit: query.has("limit").then_some(limit) }
    }
}

/// The vault's secrets
///
/// Metadata of those that the caller may see, ascending by id.
#[utoipa::path(get, path = paths::VAULT_SECRETS, tag = "faces", operation_id = "vault_secrets", params(ListVaultQuery),
    responses((status = 200, body = VaultSecretsView, description = "The secrets."), Listing), security(("member" = [])))]
async fn vault_secrets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<ListVaultQuery>,
) -> Result<Json<VaultSecretsView>, ApiError> {
    let org = called(&caller, ask.org)?;
    let most = ask.limit.unwrap_or(ALL);
    let mut cursor = ask.cursor;
    let mut secrets = Vec::new();
    loop {
        let page = PageAsk { cursor, limit: Some(STEP.min(most - secrets.len())) };
        let found = api.store().list_secrets(&caller, &SecretFilter::default(), page).await?;
        secrets.extend(found.items.into_iter().map(|secret| view(secret, org.clone())));
        cursor = found.next;
        if cursor.is_none() || secrets.len() >= most || ask.limit.is_some() {
            return Ok(Json(VaultSecretsView { secrets, next: cursor.map(|next| next.to_string()) }));
        }
    }
}

/// Creates a secret
///
/// A shared one, exported as its name is converted. Its value is sealed at once and never shown again.
#[utoipa::path(post, path = paths::VAULT_SECRETS, tag = "faces", operation_id = "new_vault_secret", request_body = CreateVaultSecretRequest,
    params(VaultOrgQuery),
    responses(
        (status = 201, body = VaultSecretView, description = "It is stored, durably.", headers(("Location" = String, description = "The secret."))),
        Creating,
    ),
    security(("member" = [])))]
async fn new_vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(VaultOrgQuery { org }): QueryParams<VaultOrgQuery>,
    JsonBody(body): JsonBody<CreateVaultSecretRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let mut errors = FieldErrors::default();
    if let Some(text) = &body.org_id
        && !((1..=100).contains(&text.len()) && text.bytes().all(is_org))
    {
        errors.add("orgId", "expected 1 to 100 of ASCII letters, digits and . _ @ -");
    }
    let name = named(&mut errors, "name", &body.name);
    let category = body.category.as_deref().and_then(|text| named(&mut errors, "category", text));
    errors.into_result()?;
    let Some(name) = name else { return Err(ApiError::new(Code::NameInvalid, "the name cannot be used")) };
    called(&caller, org)?;
    let org = called(&caller, body.org_id)?;
    let new = store::NewSecret {
        name,
        env: None,
        scope: ScopeKind::Shared,
        owner: None,
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        auto_install: true,
        plugin: None,
        category,
        deposit: Deposit::Value(body.value.into_secret()),
        allow_refused: false,
    };
    let written = api.store().create_secret(&caller, new, None).await?;
    let location = paths::fill(paths::VAULT_SECRET, &written.secret.meta.id.to_string());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view(written.secret, org))))
}

/// Refuses to show a value
///
/// Values leave only by boots. The attempt is recorded.
#[utoipa::path(get, path = paths::VAULT_SECRET, tag = "faces", operation_id = "vault_secret",
    params(("id" = SecretId, Path), VaultOrgQuery), responses(Showing), security(("member" = [])))]
async fn vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(VaultOrgQuery { org }): QueryParams<VaultOrgQuery>,
) -> Result<StatusCode, ApiError> {
    called(&caller, org)?;
    Err(api.store().refuse_to_show(&caller, id).await.into())
}

/// Deletes a secret
#[utoipa::path(delete, path = paths::VAULT_SECRET, tag = "faces", operation_id = "delete_vault_secret",
    params(("id" = SecretId, Path), VaultOrgQuery),
    responses((status = 200, body = DeleteVaultSecretResponse, description = "It is deleted, durably."), Deleting),
    security(("member" = [])))]
async fn delete_vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(VaultOrgQuery { org }): QueryParams<VaultOrgQuery>,
) -> Result<Json<DeleteVaultSecretResponse>, ApiError> {
    called(&caller, org)?;
    let store::Deleted { secret, .. } = api.store().delete_secret(&caller, id, None).await?;
    let (id, name) = (secret.meta.id.to_string(), secret.meta.name.to_string());
    Ok(Json(DeleteVaultSecretResponse { ok: true, id, name }))
}

/// Seals a secret again
///
/// The same value and version under a fresh key and nonces.
#[utoipa::path(post, path = paths::VAULT_ROTATE, tag = "faces", operation_id = "rotate_vault_secret",
    params(("id" = SecretId, Path), VaultOrgQuery),
    responses((status = 200, body = VaultSecretView, description = "It is sealed again."), Rotating), security(("member" = [])))]
async fn rotate_vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(VaultOrgQuery { org }): QueryParams<VaultOrgQuery>,
) -> Result<Json<VaultSecretView>, ApiError> {
    let org = called(&caller, org)?;
    Ok(Json(view(api.store().reencrypt_secret(&caller, id).await?, org)))
}

/// Seals all secrets again
///
/// Those of the organization that the caller may; the answer comes when it is done. Authenticated by the operator, it is a new
/// key generation for the whole store, in the background.
#[utoipa::path(post, path = paths::VAULT_ROTATE_ALL, tag = "faces", operation_id = "rotate_vault", params(VaultOrgQuery),
    responses((status = 200, body = RotateVaultResponse, description = "They are sealed again."), Rotating),
    security(("member" = []), ("operator" = [])))]
async fn rotate_vault(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(VaultOrgQuery { org }): QueryParams<VaultOrgQuery>,
) -> Result<Json<RotateVaultResponse>, ApiError> {
    called(&caller, org)?;
    if caller.org().is_none() {
        let progress = api.store().reencrypt_all(&caller).await?;
        return Ok(Json(RotateVaultResponse { ok: true, rotated: progress.done, running: progress.running }));
    }
    let rotated = api.store().reencrypt_own_org(&caller).await?;
    Ok(Json(RotateVaultResponse { ok: true, rotated, running: false }))
}

/// The vault's state and statistics
#[utoipa::path(get, path = paths::VAULT_STATUS, tag = "faces", operation_id = "vault_status", params(VaultOrgQuery),
    responses((status = 200, body = VaultStatusView, description = "The state."), Asking), security(("member" = [])))]
async fn vault_status(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(VaultOrgQuery { org }): QueryParams<VaultOrgQuery>,
) -> Result<Json<VaultStatusView>, ApiError> {
    called(&caller, org)?;
    let counts = api.store().statistics(&caller).await?;
    let progress = api.store().reencrypt_progress(&caller).await?;
    Ok(Json(VaultStatusView {
        status: if api.store().is_locked() { "locked" } else { "unlocked" }.to_owned(),
        algorithm: "XChaCha20-Poly1305".to_owned(),
        key_derivation: "Argon2id".to_owned(),
        key_generation: progress.generation,
        rotating: progress.running,
        total_secrets: counts.total,
        encrypted: counts.encrypted,
        plain: counts.plain,
        by_category: counts.by_category.into_iter().map(|(name, count)| (name.to_string(), count)).collect(),
    }))
}

fn view(secret: store::Secret, org_id: String) -> VaultSecretView {
    let store::Secret { meta, author, .. } = secret;
    VaultSecretView {
        id: meta.id.to_string(),
        org_id,
        name: meta.name.to_string(),
        exported_as: meta.env.to_string(),
        category: meta.category.map(|category| category.to_string()),
        scope: meta.scope.kind(),
        kind: meta.kind,
        version: meta.version.to_string(),
        created_by: author.map(|author| author.to_string()),
        created_at: meta.created_at.to_string(),
        updated_at: meta.updated_at.to_string(),
    }
}
