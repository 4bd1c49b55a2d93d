//! `/v1/status` and `/v1/whoami`: the state of the store, and the identity of the caller.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::holders::unusable_view;
use super::openapi::{AUTHENTICATED, error_responses};
use super::problem::ApiError;
use super::query::{NoParams, QueryParams};
use super::secrets::progress_view;
use crate::store;
use crate::store::Caller;
use crate::wire::{IdentityView, StateCheckView, StatusView, paths};

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
        store: status.store,
        // Of the server that answers: during an upgrade, servers of one store differ.
        version: env!("CARGO_PKG_VERSION").to_owned(),
        locked: status.locked,
        generation: status.generation,
        fingerprint: status.fingerprint,
        process_key: api.process_key(),
        pins: api.addresses().1.map(|pins| pins.list().to_vec()).unwrap_or_default(),
        backend: status.backend.to_owned(),
        revision: status.revision,
        healthy: status.healthy,
        // The operator is no member and has no name.
        identity: identity.member.map_or_else(|| "operator".to_owned(), |name| name.to_string()),
        organization: identity.organization,
        role: identity.role,
        started_at: status.started_at,
        reencrypt: progress_view(status.reencrypt),
        state_check: status.state_check.map(state_check_view),
        unusable: unusable_view(status.unusable),
    }))
}

fn state_check_view(check: store::StateCheck) -> StateCheckView {
    StateCheckView {
        started_at: check.started_at,
        ended_at: check.ended_at,
        period_seconds: check.period.map(|period| period.as_secs()),
        entries: check.entries,
        rows: check.rows,
        ok: check.ok,
        faults: check.faults,
    }
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
    // The store permits it to members and the operator. A ticket's credential may only boot.
    api.store().who_am_i(&caller).await?;
    Ok(Json(identity(&caller)))
}

fn identity(caller: &Caller) -> IdentityView {
    let member = caller.member();
    IdentityView {
        kind: if member.is_some() { "member" } else { "operator" }.to_owned(),
        organization: caller.org().map(|(_, name)| name.clone()),
        member: member.map(|(_, name)| name.clone()),
        id: member.map(|(id, _)| id),
        role: caller.role(),
        member_kind: caller.kind(),
    }
}
