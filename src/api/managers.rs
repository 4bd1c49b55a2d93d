//! `/v1/members/{name}/managers`: who acts for a service, and the conversion of a person into one.

use axum::Json;
use axum::extract::{Path, State};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::PathParam;
use super::members::member_view;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::problem::{ApiError, FieldErrors, parse_name};
use super::query::{NoParams, QueryParams};
use crate::domain::name::MemberName;
use crate::wire::{Code, ConvertMemberRequest, MemberView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(add_manager, remove_manager)).routes(routes!(convert_member))
}

error_responses! {
    EditManagersErrors = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::NameInvalid]];
    ConvertMemberErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::NameInvalid, Code::LastAdmin, Code::Unprocessable,
    ]];
}

/// Appoint a manager of a service
///
/// Managers deposit into the service's private scope and create its tokens and tickets. For admins.
#[utoipa::path(put, path = paths::MEMBER_MANAGER, tag = "organization", operation_id = "add_manager",
    params(("name" = MemberName, Path), ("manager" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "The service."), EditManagersErrors), security(("member" = [])))]
async fn add_manager(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Path((service, manager)): Path<(String, String)>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MemberView>, ApiError> {
    let (service, manager) = (parse_name("name", &service)?, parse_name("manager", &manager)?);
    Ok(Json(member_view(api.store().add_manager(&caller, &service, &manager).await?)))
}

/// Dismiss a manager of a service
///
/// The tokens and tickets that the manager created for the service stop working. For admins.
#[utoipa::path(delete, path = paths::MEMBER_MANAGER, tag = "organization", operation_id = "remove_manager",
    params(("name" = MemberName, Path), ("manager" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "The service."), EditManagersErrors), security(("member" = [])))]
async fn remove_manager(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Path((service, manager)): Path<(String, String)>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MemberView>, ApiError> {
    let (service, manager) = (parse_name("name", &service)?, parse_name("manager", &manager)?);
    Ok(Json(member_view(api.store().remove_manager(&caller, &service, &manager).await?)))
}

/// Convert a person into a service
///
/// Only the person can do this: from then on, the managers act for the member. It cannot be undone.
#[utoipa::path(post, path = paths::MEMBER_CONVERT, tag = "organization", operation_id = "convert_member",
    request_body = ConvertMemberRequest, params(("name" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "The service."), ConvertMemberErrors), security(("member" = [])))]
async fn convert_member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<ConvertMemberRequest>,
) -> Result<Json<MemberView>, ApiError> {
    let mut errors = FieldErrors::default();
    let names = body.managers.iter();
    let names = names.filter_map(|name| errors.check_as(Code::NameInvalid, "managers", name.parse()));
    let managers: Vec<MemberName> = names.collect();
    errors.into_result()?;
    Ok(Json(member_view(api.store().convert_to_service(&caller, &name, &managers).await?)))
}
