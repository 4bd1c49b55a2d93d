//! `/vault/secrets/{id}/rotate`, `/vault/rotate-all` and `/vault/status`: re-encryption, and the state of the vault.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::vault::vault_secret_view;
use super::vault_org::VaultOrgQuery;
use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::extract::PathParam;
use crate::api::openapi::{AUTHENTICATED, WRITE, error_responses};
use crate::api::problem::ApiError;
use crate::api::query::QueryParams;
use crate::domain::id::SecretId;
use crate::wire::{Code, RotateVaultResponse, VaultSecretView, VaultStatusView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(rotate_vault_secret))
        .routes(routes!(rotate_vault))
        .routes(routes!(vault_status))
}

error_responses! {
    RotateVaultErrors = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::Locked, Code::SecretUnusable]];
    ReadVaultStatusErrors = [AUTHENTICATED, &[Code::NotFound]];
}

/// Re-encrypt a secret
///
/// Keeps the value and the version, and encrypts them with a fresh key and nonces. The store must be unlocked.
#[utoipa::path(post, path = paths::VAULT_ROTATE, tag = "compat", operation_id = "rotate_vault_secret",
    params(("id" = SecretId, Path), VaultOrgQuery),
    responses((status = 200, body = VaultSecretView, description = "The re-encrypted secret."), RotateVaultErrors),
    security(("member" = [])))]
async fn rotate_vault_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SecretId>,
    QueryParams(org): QueryParams<VaultOrgQuery>,
) -> Result<Json<VaultSecretView>, ApiError> {
    let org = org.resolve(&caller)?;
    Ok(Json(vault_secret_view(api.store().reencrypt_secret(&caller, id).await?, org)))
}

/// Re-encrypt all secrets
///
/// Re-encrypts the secrets of the organization that the caller may change, and responds when that is done. For the
/// operator, it begins a new key generation of the whole store in the background.
#[utoipa::path(post, path = paths::VAULT_ROTATE_ALL, tag = "compat", operation_id = "rotate_vault", params(VaultOrgQuery),
    responses((status = 200, body = RotateVaultResponse, description = "The number of re-encrypted secrets."), RotateVaultErrors),
    security(("member" = []), ("operator" = [])))]
async fn rotate_vault(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(org): QueryParams<VaultOrgQuery>,
) -> Result<Json<RotateVaultResponse>, ApiError> {
    org.resolve(&caller)?;
    // Which of the two is meant follows from whom the credential belongs to. Each of them is permitted by the store.
    if caller.org().is_none() {
        let progress = api.store().reencrypt_all(&caller).await?;
        return Ok(Json(RotateVaultResponse { ok: true, rotated: progress.done, running: progress.running }));
    }
    let outcome = api.store().reencrypt_own_org(&caller).await?;
    // Clients of this API know no other way to learn that values stay as they were.
    Ok(Json(RotateVaultResponse { ok: outcome.left.is_empty(), rotated: outcome.done, running: false }))
}

/// Get the state and the statistics of the vault
#[utoipa::path(get, path = paths::VAULT_STATUS, tag = "compat", operation_id = "vault_status", params(VaultOrgQuery),
    responses((status = 200, body = VaultStatusView, description = "The state."), ReadVaultStatusErrors),
    security(("member" = [])))]
async fn vault_status(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(org): QueryParams<VaultOrgQuery>,
) -> Result<Json<VaultStatusView>, ApiError> {
    org.resolve(&caller)?;
    // Each of the two checks the caller's permission.
    let counts = api.store().statistics(&caller).await?;
    let progress = api.store().reencrypt_progress(&caller).await?;
    // The algorithms are constants of this program. Vault clients display them.
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
