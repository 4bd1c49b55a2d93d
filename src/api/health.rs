//! Liveness, readiness and metrics. Tells strangers nothing but yes or no.

use axum::Json;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::IntoResponse;
use http::header;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Authenticated;
use super::metrics::GaugeValues;
use super::middleware::Peer;
use super::openapi::{Anyone, ByOperator, Unready};
use super::problem::ApiError;
use super::query::{NoParams, QueryParams};
use super::{Api, metrics};
use crate::store::Caller;
use crate::wire::{Code, HealthView, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics_text))
}

/// Liveness: the process answers
#[utoipa::path(get, path = paths::HEALTHZ, tag = "server", operation_id = "healthz",
    responses((status = 200, body = HealthView, description = "It does."), Anyone), security(()))]
async fn healthz(QueryParams(NoParams): QueryParams<NoParams>) -> Json<HealthView> {
    Json(HealthView { status: "ok".to_owned() })
}

/// Readiness: the byte store answers
///
/// A locked store is ready: it takes deposits.
#[utoipa::path(get, path = paths::READYZ, tag = "server", operation_id = "readyz",
    responses((status = 200, body = HealthView, description = "It does."), Anyone, Unready), security(()))]
async fn readyz(
    State(api): State<Api>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<HealthView>, ApiError> {
    if api.store().healthy().await && !api.is_draining() {
        Ok(Json(HealthView { status: "ok".to_owned() }))
    } else {
        Err(ApiError::new(Code::Unavailable, "the store is not ready"))
    }
}

/// Metrics as Prometheus text
///
/// For the operator; on the Unix socket for anyone who may open it.
#[utoipa::path(get, path = paths::METRICS, tag = "server", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain", description = "The metrics."), ByOperator),
    security((), ("operator" = [])))]
async fn metrics_text(State(api): State<Api>, request: Request) -> Result<impl IntoResponse, ApiError> {
    let (mut parts, _) = request.into_parts();
    let caller = if Peer::of(&parts.extensions) == Peer::Socket {
        Caller::this_process()
    } else {
        Authenticated::from_request_parts(&mut parts, &api).await?.0
    };
    let status = api.store().metrics(&caller).await?;
    QueryParams::<NoParams>::from_request_parts(&mut parts, &api).await?;
    let (boots_at_work, boots_waiting) = api.admission().counts();
    let gauges = GaugeValues {
        boots_at_work,
        boots_waiting,
        locked: status.locked,
        in_flight: api.limits().in_flight(),
        connections: api.connections(),
        revision: status.revision,
        queue: status.queue,
        generation: status.generation,
        audit_entries: status.audit_entries,
    };
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], api.metrics().text(&gauges)))
}
