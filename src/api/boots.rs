//! `/v1/boots`: the records of boots, and the reports of agents. Holds no values.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::PathParam;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, Paged, page_view};
use super::problem::ApiError;
use super::query::{FromQuery, NoParams, QueryParams, QueryReader};
use crate::domain::boot::BootEnd;
use crate::domain::id::{BootId, TicketId};
use crate::domain::identity::IdentityKind;
use crate::domain::name::MemberName;
use crate::store;
use crate::store::BootFilter;
use crate::wire::{
    BootEndView, BootView, Code, EndBootRequest, HeldView, PageView, ReportBootRequest, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_boots)).routes(routes!(boot_record)).merge(report_routes())
}

/// The routes that agents use.
pub(crate) fn report_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(report)).routes(routes!(end_boot))
}

error_responses! {
    ListBootsErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    ReadBootErrors = [AUTHENTICATED, &[Code::NotFound]];
    ReportBootErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::Unprocessable, Code::StaleProof, Code::UsedProof,
    ]];
}

/// The filter of the list. An absent parameter matches every boot.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListBootsQuery {
    /// Only boots that received this secret: its id, or a name or an exported name that it has or had. Also finds deleted secrets.
    #[param(min_length = 1, max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    secret: Option<String>,
    /// Only boots that acted for this member.
    member: Option<MemberName>,
    /// Only boots with this ticket.
    ticket: Option<TicketId>,
    /// `true`: running and presumed running boots only.
    live: Option<bool>,
}

impl FromQuery for ListBootsQuery {
    const NAMES: &'static [&'static str] = &["secret", "member", "ticket", "live"];

    fn read(query: &mut QueryReader) -> Self {
        Self {
            secret: query.text("secret", 256),
            member: query.parsed("member"),
            ticket: query.parsed("ticket"),
            live: query.flag("live"),
        }
    }
}

/// List boots
///
/// Newest first. A page can be shorter than `limit`, or empty, and still have a `next`.
#[utoipa::path(get, path = paths::BOOTS, tag = "boots", operation_id = "list_boots", params(ListBootsQuery, PageQuery),
    responses((status = 200, body = PageView<BootView>, description = "A page of boots."), ListBootsErrors), security(("member" = [])))]
async fn list_boots(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(Paged { filter, page }): QueryParams<Paged<ListBootsQuery>>,
) -> Result<Json<PageView<BootView>>, ApiError> {
    let ListBootsQuery { secret, member, ticket, live } = filter;
    // `false` means the same as absent: no filter selects the boots that have ended.
    let filter = BootFilter { member, ticket, secret, live: live == Some(true) };
    Ok(Json(page_view(api.store().list_boots(&caller, &filter, page).await?, boot_view)))
}

/// Get a boot
#[utoipa::path(get, path = paths::BOOT_ONE, tag = "boots", operation_id = "boot_record",
    params(("id" = BootId, Path)),
    responses((status = 200, body = BootView, description = "The boot."), ReadBootErrors), security(("member" = [])))]
async fn boot_record(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<BootId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<BootView>, ApiError> {
    Ok(Json(boot_view(api.store().boot_record(&caller, id).await?)))
}

/// Report that the workload was started
///
/// The agent sends this with the ticket of the boot. Only the first report is recorded.
#[utoipa::path(post, path = paths::BOOT_REPORT, tag = "boots", operation_id = "report", request_body = ReportBootRequest,
    params(("id" = BootId, Path)),
    responses((status = 204, description = "The report is recorded."), ReportBootErrors), security(("ticket" = [])))]
async fn report(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<BootId>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<ReportBootRequest>,
) -> Result<StatusCode, ApiError> {
    let ReportBootRequest { digest, variables } = body;
    // The agent execs right after it has sent this, which closes the connection and would drop this future.
    let recording = async move {
        api.store().report(&caller, id, store::Report { digest: digest.to_string(), variables }).await
    };
    match tokio::spawn(recording.in_current_span()).await {
        Ok(recorded) => recorded.map(|()| StatusCode::NO_CONTENT).map_err(ApiError::from),
        // The task panicked. The process's hook has logged where.
        Err(_) => Err(ApiError::internal()),
    }
}

/// Report that a boot has ended
///
/// With the boot's end credential, or by the member that it acts for or the author of its ticket; by an admin, if that member was
/// removed. Only the first report is recorded. The boot then holds no secret any more.
#[utoipa::path(post, path = paths::BOOT_END, tag = "boots", operation_id = "end_boot", request_body = EndBootRequest,
    params(("id" = BootId, Path)),
    responses((status = 204, description = "The end is recorded."), ReportBootErrors), security(("boot" = []), ("member" = [])))]
async fn end_boot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<BootId>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<EndBootRequest>,
) -> Result<StatusCode, ApiError> {
    let EndBootRequest { status, failed } = body;
    // An agent that shuts down may close the connection before the response.
    let recording = async move { api.store().end_boot(&caller, id, store::Ending { status, failed }).await };
    match tokio::spawn(recording.in_current_span()).await {
        Ok(recorded) => recorded.map(|()| StatusCode::NO_CONTENT).map_err(ApiError::from),
        // The task panicked. The process's hook has logged where.
        Err(_) => Err(ApiError::internal()),
    }
}

pub(crate) fn boot_view(boot: store::BootDetails) -> BootView {
    let held = |held: Vec<store::Held>| {
        held.into_iter()
            .map(|held| HeldView { secret: held.secret, env: held.env, version: held.version })
            .collect()
    };
    BootView {
        id: boot.id,
        member: boot.member,
        state: boot.status,
        end: boot.end.map(|BootEnd { at, source, status }| BootEndView { at, source, status }),
        identity: boot.identity,
        ticket: Some(boot.identity.into()).filter(|_| matches!(boot.kind, None | Some(IdentityKind::Ticket))),
        ticket_label: boot.ticket_label.map(|label| label.to_string()),
        launcher: boot.author.clone().filter(|_| boot.launched),
        created_by: boot.author,
        at: boot.at,
        source: boot.source.map(|source| source.to_string()),
        machine: boot.machine,
        host: boot.host,
        kernel_boot: boot.kernel_boot,
        confirmed_at: boot.confirmed_at,
        workload: boot.workload,
        reports_end: boot.reports_end,
        lifetime_ends_at: boot.lifetime_ends_at,
        receipt: boot.receipt,
        stale: held(boot.stale),
        matched: held(boot.matched),
    }
}
