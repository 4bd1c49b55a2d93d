//! Liveness, readiness and metrics. Without a credential, the only information is yes or no.

use axum::Json;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::IntoResponse;
use http::header;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::metrics::{CONTENT_TYPE, GaugeValues};
use super::openapi::{AUTHENTICATED, UnauthenticatedErrors, error_responses};
use super::problem::ApiError;
use super::query::{NoParams, QueryParams};
use super::request_marks::Peer;
use crate::store::Caller;
use crate::wire::{Code, HealthView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics_text))
}

error_responses! {
    ReadinessErrors = [&[Code::Unavailable]];
    MetricsErrors = [AUTHENTICATED];
}

/// Check that the process responds
#[utoipa::path(get, path = paths::HEALTHZ, tag = "server", operation_id = "healthz",
    responses((status = 200, body = HealthView, description = "The process responds."), UnauthenticatedErrors), security(()))]
async fn healthz(QueryParams(NoParams): QueryParams<NoParams>) -> Json<HealthView> {
    // The byte store does not matter here: an orchestrator restarts what is not live, and a restart repairs neither a disk
    // nor etcd.
    Json(HealthView { status: "ok".to_owned() })
}

/// Check that the server is ready
///
/// Ready means that the byte store responds and that the server is not shutting down. A locked store is ready, because it
/// accepts deposits.
#[utoipa::path(get, path = paths::READYZ, tag = "server", operation_id = "readyz",
    responses((status = 200, body = HealthView, description = "The server is ready."), UnauthenticatedErrors, ReadinessErrors), security(()))]
async fn readyz(
    State(api): State<Api>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<HealthView>, ApiError> {
    if api.store().healthy().await && !api.is_draining() {
        Ok(Json(HealthView { status: "ok".to_owned() }))
    } else {
        Err(ApiError::new(Code::Unavailable, "the server is not ready"))
    }
}

/// Get the metrics as Prometheus text
///
/// Exposition format 0.0.4. For the operator, and for a token that the operator created for metrics. On the Unix socket no credential is needed: the permissions of the file
/// decide who may connect.
#[utoipa::path(get, path = paths::METRICS, tag = "server", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain", description = "The metrics."), MetricsErrors),
    security((), ("operator" = [])))]
async fn metrics_text(State(api): State<Api>, request: Request) -> Result<impl IntoResponse, ApiError> {
    let (mut parts, _) = request.into_parts();
    let caller = if Peer::from_extensions(&parts.extensions) == Peer::Socket {
        Caller::this_process()
    } else {
        Authenticated::from_request_parts(&mut parts, &api).await?.0
    };
    let status = api.store().metrics(&caller).await?;
    // After the credential, as on every route: a stranger learns nothing about parameters.
    QueryParams::<NoParams>::from_request_parts(&mut parts, &api).await?;
    let (active_boots, waiting_boots) = api.admission().counts();
    let gauges = GaugeValues {
        active_boots,
        waiting_boots,
        locked: status.locked,
        in_flight: api.limits().in_flight(),
        connections: api.connections(),
        revision: status.revision,
        queue: status.queue,
        generation: status.generation,
        audit_entries: status.audit_entries,
        state_check: status.state_check,
        unusable: status.unusable.count,
    };
    let text = api.metrics().render(&gauges).map_err(|_| ApiError::internal())?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
