//! `/vault/secrets`: the secrets of an organization in the form of a vault.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::vault_org::{VaultOrgQuery, is_org};
use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::body::{JsonBody, LARGE_BODY};
use crate::api::extract::PathParam;
use crate::api::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use crate::api::problem::{ApiError, FieldErrors};
use crate::api::query::{FromQuery, QueryParams, QueryReader};
use crate::domain::attributes::Attributes;
use crate::domain::id::SecretId;
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};
use crate::store;
use crate::store::{Cursor, Deposit, PageAsk, SecretFilter};
use crate::wire::{
    Code, CreateVaultSecretRequest, DeleteVaultSecretResponse, VaultSecretView, VaultSecretsView, paths,
};

/// The largest number of secrets in a response without `limit`.
const MAX_SECRETS: usize = 10_000;
/// The page size of the reads behind it.
const READ_PAGE: usize = 1000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vault_secrets, new_vault_secret))
        .routes(routes!(vault_secret, delete_vault_secret))
}

error_responses! {
    ListVaultErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    CreateVaultSecretErrors = [
        AUTHENTICATED, WITH_BODY, WRITE,
        &[Code::NotFound, Code::NameTaken, Code::NameInvalid, Code::NameRefused, Code::ValueInvalid, Code::ValueTooLarge, Code::OverBudget, Code::OverQuota],
    ];
    ReadVaultSecretErrors = [AUTHENTICATED, &[Code::NotFound, Code::WriteOnly]];
    DeleteVaultSecretErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListVaultQuery {
    #[param(ignore)]
    org: VaultOrgQuery,
    /// The `next` of the response before; absent for the first one.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// The largest number of secrets in the response. Default: 10,000.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl FromQuery for ListVaultQuery {
    const NAMES: &'static [&'static str] = &["orgId", "cursor", "limit"];

    fn read(query: &mut QueryReader) -> Self {
        let limit = query.limit();
        Self {
            org: VaultOrgQuery::read(query),
            cursor: query.cursor(),
            limit: query.has("limit").then_some(limit),
        }
    }
}

/// List the secrets of the vault
///
/// The metadata of the secrets that the caller may see, in ascending order of id.
#[utoipa::path(get, path = paths::VAULT_SECRETS, tag = "compat", operation_id = "vault_secrets", params(VaultOrgQuery, ListVaultQuery),
    responses((status = 200, body = VaultSecretsView, description = "The secrets."), ListVaultErrors), security(("member" = [])))]
async fn vault_secrets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(query): QueryParams<ListVaultQuery>,
) -> Result<Json<VaultSecretsView>, ApiError> {
    let org = query.org.resolve(&caller)?;
    let limit = query.limit.unwrap_or(MAX_SECRETS);
    let mut cursor = query.cursor;
    let mut secrets = Vec::new();
    loop {
        // Never more than the response may hold, so that `next` continues exactly behind it.
        let page = PageAsk { cursor, limit: Some(READ_PAGE.min(limit - secrets.len())) };
        let found = api.store().list_secrets(&caller, &SecretFilter::default(), page).await?;
        secrets.extend(found.items.into_iter().map(|secret| vault_secret_view(secret, org.clone())));
        cursor = found.next;
        // A client that gives a limit pages by itself: a short page is as good as a full one.
        if cursor.is_none() || secrets.len() >= limit || query.limit.is_some() {
            return Ok(Json(VaultSecretsView { secrets, next: cursor.map(|next| next.to_string()) }));
        }
    }
}

/// Create a secret
///
/// The secret is shared, encrypted and auto-installed. Its exported name is its name in UPPER_SNAKE_CASE. No response shows
/// the value.
#[utoipa::path(post, path = paths::VAULT_SECRETS, tag = "compat", operation_id = "new_vault_secret", request_body = CreateVaultSecretRequest,
    params(VaultOrgQuery),
    responses(
        (status = 201, body = VaultSecretView, description = "The new secret. It is durable.", headers(("Location" = String, description = "The path of the secret."))),
        CreateVaultSecretErrors,
    ),
    security(("member" = [])))]
async fn new_vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(org): QueryParams<VaultOrgQuery>,
    JsonBody(body): JsonBody<CreateVaultSecretRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let mut errors = FieldErrors::default();
    if let Some(text) = &body.org_id
        && !is_org(text)
    {
        errors.add("orgId", "expected 1 to 100 of ASCII letters, digits and . _ @ -");
    }
    let name = errors.check_name("name", &body.name);
    let category = body.category.as_deref().and_then(|text| errors.check_name("category", text));
    errors.into_result()?;
    let name = name.ok_or_else(ApiError::incomplete)?;
    // Clients send it in the query, in the body, or in both.
    org.resolve(&caller)?;
    let org = VaultOrgQuery { org: body.org_id }.resolve(&caller)?;
    // `allow_refused` is false: this API has no way to confirm a name that changes how programs load.
    let new = store::NewSecret {
        name,
        env: None,
        scope: ScopeKind::Shared,
        owner: None,
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        attributes: Attributes { category, ..Attributes::default() },
        deposit: Deposit::Value(body.value.into_secret()),
        allow_refused: false,
    };
    // Without an idempotency key: vault clients send none.
    let written = api.store().create_secret(&caller, new, None).await?;
    let location = paths::fill(paths::VAULT_SECRET, written.secret.meta.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(vault_secret_view(written.secret, org))))
}

/// Refuse to return a value
///
/// Only boots receive values. The attempt is recorded in the audit log.
#[utoipa::path(get, path = paths::VAULT_SECRET, tag = "compat", operation_id = "vault_secret",
    params(("id" = SecretId, Path), VaultOrgQuery), responses(ReadVaultSecretErrors), security(("member" = [])))]
async fn vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(org): QueryParams<VaultOrgQuery>,
) -> Result<StatusCode, ApiError> {
    org.resolve(&caller)?;
    Err(api.store().refuse_to_show(&caller, id).await.into())
}

/// Delete a secret
#[utoipa::path(delete, path = paths::VAULT_SECRET, tag = "compat", operation_id = "delete_vault_secret",
    params(("id" = SecretId, Path), VaultOrgQuery),
    responses((status = 200, body = DeleteVaultSecretResponse, description = "The deleted secret. The deletion is durable."), DeleteVaultSecretErrors),
    security(("member" = [])))]
async fn delete_vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(org): QueryParams<VaultOrgQuery>,
) -> Result<Json<DeleteVaultSecretResponse>, ApiError> {
    org.resolve(&caller)?;
    let store::Deleted { secret, .. } = api.store().delete_secret(&caller, id, None).await?;
    Ok(Json(DeleteVaultSecretResponse { ok: true, id: secret.meta.id, name: secret.meta.name }))
}

pub(crate) fn vault_secret_view(secret: store::Secret, org_id: String) -> VaultSecretView {
    let store::Secret { meta, author, .. } = secret;
    VaultSecretView {
        id: meta.id,
        org_id,
        name: meta.name,
        exported_as: meta.env,
        category: meta.attributes.category,
        scope: meta.scope.kind(),
        kind: meta.kind,
        version: meta.version,
        created_by: author,
        created_at: meta.created_at,
        updated_at: meta.updated_at,
    }
}
