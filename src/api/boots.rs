//! `/v1/boots`: who was given what, and the agents' word that it was used. Holds no values.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::{JsonBody, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::page;
use super::problem::ApiError;
use super::query::{FromQuery, NoParams, QueryParams, QueryReader};
use crate::domain::id::{BootId, TicketId};
use crate::domain::name::MemberName;
use crate::store;
use crate::store::{BootFilter, Cursor, PageAsk};
use crate::wire::{BootView, Code, HolderView, PageView, ReportBootRequest, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_boots)).routes(routes!(boot_record)).merge(reports())
}

/// That of the agents.
pub(crate) fn reports() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(report))
}

error_responses! {
    Listing = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    Reading = [AUTHENTICATED, &[Code::NotFound]];
    Reporting = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::Unprocessable]];
}

/// Parameters of the list; absent ones admit all.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListBootsQuery {
    /// That were given this secret: its id, its name or its exported name. Works after its deletion too.
    #[param(min_length = 1, max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    secret: Option<String>,
    /// For this member.
    member: Option<MemberName>,
    /// Of this ticket.
    ticket: Option<TicketId>,
    /// `true`: only those that are not known to be over.
    live: Option<bool>,
    /// From the former page's `next`.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// Items at most; 100 unless said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: usize,
}

impl FromQuery for ListBootsQuery {
    const NAMES: &'static [&'static str] = &["secret", "member", "ticket", "live", "cursor", "limit"];

    fn read(query: &mut QueryReader) -> Self {
        Self {
            secret: query.text("secret", 256),
            member: query.parsed("member"),
            ticket: query.parsed("ticket"),
            live: query.flag("live"),
            cursor: query.cursor(),
            limit: query.limit(),
        }
    }
}

/// Boots that happened
///
/// Newest first. A page may be short, even empty, and still have a `next`.
#[utoipa::path(get, path = paths::BOOTS, tag = "boots", operation_id = "list_boots", params(ListBootsQuery),
    responses((status = 200, body = PageView<BootView>, description = "A page."), Listing), security(("member" = [])))]
async fn list_boots(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<ListBootsQuery>,
) -> Result<Json<PageView<BootView>>, ApiError> {
    let ListBootsQuery { secret, member, ticket, live, cursor, limit } = ask;
    let filter = BootFilter { member, ticket, secret, live: live == Some(true) };
    let found = api.store().list_boots(&caller, &filter, PageAsk { cursor, limit: Some(limit) }).await?;
    Ok(Json(page(found, boot_view)))
}

/// One boot
#[utoipa::path(get, path = paths::BOOT_ONE, tag = "boots", operation_id = "boot_record",
    params(("id" = BootId, Path)),
    responses((status = 200, body = BootView, description = "The boot."), Reading), security(("member" = [])))]
async fn boot_record(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<BootId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<BootView>, ApiError> {
    Ok(Json(boot_view(api.store().boot_record(&caller, id).await?)))
}

/// The agent's word that the workload was started
///
/// By the ticket that booted. Repeating it changes nothing.
#[utoipa::path(post, path = paths::BOOT_REPORT, tag = "boots", operation_id = "report", request_body = ReportBootRequest,
    params(("id" = BootId, Path)),
    responses((status = 204, description = "It is recorded."), Reporting), security(("ticket" = [])))]
async fn report(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<BootId>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<ReportBootRequest>,
) -> Result<StatusCode, ApiError> {
    let ReportBootRequest { digest, variables } = body;
    // The agent execs right after it has sent this: what it asked for goes on without it.
    let work = async move { api.store().report(&caller, id, store::Report { digest, variables }).await };
    match tokio::spawn(work.in_current_span()).await {
        Ok(done) => done.map(|()| StatusCode::NO_CONTENT).map_err(ApiError::from),
        Err(_) => {
            Err(ApiError::new(Code::Internal, "the request could not be done; the server's log says more"))
        }
    }
}

/// A boot as shown.
pub(crate) fn boot_view(boot: store::Boot) -> BootView {
    let held = |held: &store::Held| HolderView {
        boot: boot.id.to_string(),
        member: boot.member.to_string(),
        at: boot.at.to_string(),
        host: boot.host.clone(),
        secret: held.secret.to_string(),
        env: held.env.to_string(),
        version: held.version.to_string(),
        current: held.current,
    };
    let stale = boot.stale.iter().map(held).collect();
    BootView {
        id: boot.id.to_string(),
        member: boot.member.to_string(),
        ticket: boot.ticket.to_string(),
        at: boot.at.to_string(),
        source: boot.source.map(|source| source.to_string()),
        machine: boot.machine,
        host: boot.host,
        kernel_boot: boot.kernel_boot,
        confirmed_at: boot.confirmed_at.map(|at| at.to_string()),
        superseded: boot.superseded,
        receipt: boot.receipt,
        stale,
    }
}

/// A boot that holds a version of a secret, as shown.
pub(crate) fn holder_view(holder: store::Holder) -> HolderView {
    HolderView {
        boot: holder.boot.to_string(),
        member: holder.member.to_string(),
        at: holder.at.to_string(),
        host: holder.host,
        secret: holder.held.secret.to_string(),
        env: holder.held.env.to_string(),
        version: holder.held.version.to_string(),
        current: holder.held.current,
    }
}
