//! `/v1/members`: the members of the caller's organization.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::{IdempotencyKey, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, page_view};
use super::problem::{ApiError, parse_name};
use super::query::{NoParams, QueryParams};
use crate::domain::name::MemberName;
use crate::store;
use crate::wire::{Code, CreateMemberRequest, MemberView, PageView, UpdateMemberRequest, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_members, create_member)).routes(routes!(
        member,
        change_member,
        remove_member
    ))
}

error_responses! {
    ListMembersErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    CreateMemberErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameTaken, Code::NameInvalid, Code::IdempotencyMismatch]];
    ReadMemberErrors = [AUTHENTICATED, &[Code::NotFound]];
    UpdateMemberErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::LastAdmin]];
    RemoveMemberErrors = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::LastAdmin]];
}

/// List the members of the organization
///
/// In ascending order of id. For admins and auditors.
#[utoipa::path(get, path = paths::MEMBERS, tag = "organization", operation_id = "list_members", params(PageQuery),
    responses((status = 200, body = PageView<MemberView>, description = "A page of members."), ListMembersErrors),
    security(("member" = [])))]
async fn list_members(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(page): QueryParams<PageQuery>,
) -> Result<Json<PageView<MemberView>>, ApiError> {
    Ok(Json(page_view(api.store().list_members(&caller, page.into()).await?, member_view)))
}

/// Add a member
///
/// The new member has no token. For admins.
#[utoipa::path(post, path = paths::MEMBERS, tag = "organization", operation_id = "create_member",
    request_body = CreateMemberRequest, params(IdempotencyKey),
    responses(
        (status = 201, body = MemberView, description = "The new member.", headers(("Location" = String, description = "The path of the member."))),
        CreateMemberErrors,
    ),
    security(("member" = [])))]
async fn create_member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateMemberRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let new = store::NewMember { name: parse_name("name", &body.name)?, role: body.role };
    let member = api.store().create_member(&caller, new, key.as_deref()).await?;
    let location = paths::fill(paths::MEMBER, member.name.as_str());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(member_view(member))))
}

/// Get a member
///
/// For admins and auditors.
#[utoipa::path(get, path = paths::MEMBER, tag = "organization", operation_id = "member",
    params(("name" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "The member."), ReadMemberErrors),
    security(("member" = [])))]
async fn member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MemberView>, ApiError> {
    Ok(Json(member_view(api.store().member(&caller, &name).await?)))
}

/// Change the role of a member
///
/// The last admin cannot get another role. For admins.
#[utoipa::path(patch, path = paths::MEMBER, tag = "organization", operation_id = "change_member",
    request_body = UpdateMemberRequest, params(("name" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "The member with the new role."), UpdateMemberErrors),
    security(("member" = [])))]
async fn change_member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdateMemberRequest>,
) -> Result<Json<MemberView>, ApiError> {
    Ok(Json(member_view(api.store().set_role(&caller, &name, body.role).await?)))
}

/// Remove a member
///
/// Revokes the member's tokens and tickets, and deletes the member's private secrets. The last admin cannot be removed.
/// For admins.
#[utoipa::path(delete, path = paths::MEMBER, tag = "organization", operation_id = "remove_member",
    params(("name" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "The removed member."), RemoveMemberErrors),
    security(("member" = [])))]
async fn remove_member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MemberView>, ApiError> {
    Ok(Json(member_view(api.store().remove_member(&caller, &name).await?)))
}

fn member_view(member: store::Member) -> MemberView {
    let store::Member { id, name, role, created_at } = member;
    MemberView { id: id.to_string(), name: name.to_string(), role, created_at: created_at.to_string() }
}
