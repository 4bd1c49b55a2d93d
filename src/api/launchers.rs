//! `/v1/launchers`: the platforms that an admin authorized, and the caller's acceptance of them.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::PathParam;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, page_view};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::domain::name::MemberName;
use crate::store;
use crate::wire::{AcceptLauncherRequest, Code, LauncherView, PageView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_launchers))
        .routes(routes!(launcher))
        .routes(routes!(accept_launcher, withdraw_acceptance))
}

error_responses! {
    ListLaunchersErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    ReadLauncherErrors = [AUTHENTICATED, &[Code::NotFound]];
    AcceptLauncherErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::Unprocessable]];
    WithdrawAcceptanceErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// List the launchers of the organization
///
/// A launcher is a platform that an admin authorized to start machines for the people who accept it. In ascending order of
/// id.
#[utoipa::path(get, path = paths::LAUNCHERS, tag = "organization", operation_id = "list_launchers", params(PageQuery),
    responses((status = 200, body = PageView<LauncherView>, description = "A page of launchers."), ListLaunchersErrors),
    security(("member" = [])))]
async fn list_launchers(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(page): QueryParams<PageQuery>,
) -> Result<Json<PageView<LauncherView>>, ApiError> {
    Ok(Json(page_view(api.store().list_launchers(&caller, page.into()).await?, launcher_view)))
}

/// Get a launcher
#[utoipa::path(get, path = paths::LAUNCHER, tag = "organization", operation_id = "launcher",
    params(("name" = MemberName, Path)),
    responses((status = 200, body = LauncherView, description = "The launcher."), ReadLauncherErrors),
    security(("member" = [])))]
async fn launcher(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<LauncherView>, ApiError> {
    Ok(Json(launcher_view(api.store().launcher(&caller, &name).await?)))
}

/// Accept a launcher for yourself
///
/// From then on, the party that runs the platform can start machines with your secrets, and so can read them. Only a person
/// accepts, and only for themselves. A launcher that nobody has enrolled is a conflict. Repeating it changes nothing.
#[utoipa::path(put, path = paths::ACCEPTANCE, tag = "organization", operation_id = "accept_launcher",
    request_body = AcceptLauncherRequest, params(("name" = MemberName, Path)),
    responses((status = 200, body = LauncherView, description = "The accepted launcher."), AcceptLauncherErrors),
    security(("member" = [])))]
async fn accept_launcher(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<AcceptLauncherRequest>,
) -> Result<Json<LauncherView>, ApiError> {
    let mut errors = FieldErrors::default();
    let id = errors.check_as(Code::Unprocessable, "id", body.id.parse());
    errors.into_result()?;
    let id = id.ok_or_else(ApiError::internal)?;
    Ok(Json(launcher_view(api.store().accept_launcher(&caller, &name, id).await?)))
}

/// Withdraw your acceptance of a launcher
///
/// No boot that begins after the response gets a value by a ticket that the launcher created for you. Running boots keep
/// theirs. Accepting the launcher again does not revive those tickets.
#[utoipa::path(delete, path = paths::ACCEPTANCE, tag = "organization", operation_id = "withdraw_acceptance",
    params(("name" = MemberName, Path)),
    responses((status = 200, body = LauncherView, description = "The launcher."), WithdrawAcceptanceErrors),
    security(("member" = [])))]
async fn withdraw_acceptance(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<LauncherView>, ApiError> {
    Ok(Json(launcher_view(api.store().withdraw_acceptance(&caller, &name).await?)))
}

pub(crate) fn launcher_view(launcher: store::Launcher) -> LauncherView {
    LauncherView {
        id: launcher.id,
        name: launcher.name,
        authorized_by: launcher.author,
        created_at: launcher.created_at,
        enrolled_at: launcher.enrolled_at,
        enrolled_from: launcher.enrolled_from.map(|address| address.to_string()),
        accepted_at: launcher.accepted_at,
    }
}
