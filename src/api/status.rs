//! `/v1/status` and `/v1/whoami`: the state of the store, and the identity of the caller.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::openapi::{AUTHENTICATED, error_responses};
use super::problem::ApiError;
use super::query::{NoParams, QueryParams};
use super::secrets::progress_view;
use crate::store::Caller;
use crate::wire::{IdentityView, StatusView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(whoami))
}

error_responses! {
    ReadStatusErrors = [AUTHENTICATED];
}

/// Get the state of the store
///
/// Whether it is locked, its key generation, its byte store, the progress of a re-encryption, and the identity of the
/// caller.
#[utoipa::path(get, path = paths::STATUS, tag = "server", operation_id = "status",
    responses((status = 200, body = StatusView, description = "The state of the store."), ReadStatusErrors),
    security(("member" = []), ("operator" = [])))]
async fn status(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<StatusView>, ApiError> {
    let status = api.store().status(&caller).await?;
    let identity = identity(&caller);
    Ok(Json(StatusView {
        store: status.store.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        locked: status.locked,
        generation: status.generation,
        fingerprint: status.fingerprint,
        backend: status.backend.to_owned(),
        revision: status.revision,
        healthy: status.healthy,
        identity: identity.member.unwrap_or_else(|| "operator".to_owned()),
        organization: identity.organization,
        role: identity.role,
        started_at: status.started_at.to_string(),
        reencrypt: progress_view(status.reencrypt),
    }))
}

/// Get the identity of the caller
#[utoipa::path(get, path = paths::WHOAMI, tag = "server", operation_id = "whoami",
    responses((status = 200, body = IdentityView, description = "The member or operator that the credential belongs to."), ReadStatusErrors),
    security(("member" = []), ("operator" = [])))]
async fn whoami(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<IdentityView>, ApiError> {
    api.store().who_am_i(&caller).await?;
    Ok(Json(identity(&caller)))
}

fn identity(caller: &Caller) -> IdentityView {
    let member = caller.member();
    IdentityView {
        kind: if member.is_some() { "member" } else { "operator" }.to_owned(),
        organization: caller.org().map(|(_, name)| name.to_string()),
        member: member.map(|(_, name)| name.to_string()),
        id: member.map(|(id, _)| id.to_string()),
        role: caller.role().map(|role| role.to_string()),
    }
}
