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
use super::enrolments::enrolment_response;
use super::extract::{IdempotencyKey, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, page_view};
use super::problem::{ApiError, FieldErrors, parse_name};
use super::query::{NoParams, QueryParams};
use super::tokens::check_ttl;
use crate::domain::name::MemberName;
use crate::store;
use crate::store::Enrolment;
use crate::wire::{
    Code, CreateMemberRequest, CreateMemberResponse, EnrolmentView, MemberView, PageView,
    UpdateMemberRequest, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_members, create_member)).routes(routes!(
        member,
        change_member,
        remove_member
    ))
}

error_responses! {
    ListMembersErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    CreateMemberErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NameTaken, Code::NameInvalid, Code::NotFound, Code::Unprocessable, Code::IdempotencyMismatch,
        Code::OverQuota,
    ]];
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
/// A person or launcher redeems the enrolment in the response for a first token, which nobody else sees. The managers of a
/// service create its tokens. A repeated idempotency key is a conflict. For admins.
#[utoipa::path(post, path = paths::MEMBERS, tag = "organization", operation_id = "create_member",
    request_body = CreateMemberRequest, params(IdempotencyKey),
    responses(
        (status = 201, body = CreateMemberResponse, description = "The new member. The code of its enrolment is not shown again.", headers(("Location" = String, description = "The path of the member."))),
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
    let created = api.store().create_member(&caller, parse_request(body)?, key.as_deref()).await?;
    let location = paths::fill(paths::MEMBER, created.member.name.as_str());
    let issued = created.enrolment.as_ref().map(|issued| enrolment_response(&api, issued));
    let body = CreateMemberResponse { issued, view: member_view(created.member) };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)))
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

fn parse_request(body: CreateMemberRequest) -> Result<store::NewMember, ApiError> {
    let mut errors = FieldErrors::default();
    let ttl = check_ttl(&mut errors, body.ttl_seconds);
    let managers = body.managers.iter();
    let managers =
        managers.filter_map(|name| errors.check_as(Code::NameInvalid, "managers", name.parse())).collect();
    errors.into_result()?;
    Ok(store::NewMember {
        name: parse_name("name", &body.name)?,
        role: body.role,
        kind: body.kind,
        ttl,
        managers,
    })
}

pub(crate) fn member_view(member: store::Member) -> MemberView {
    let store::Member { id, name, role, kind, created_at, author, managers, enrolment } = member;
    let enrolment = enrolment.map(|enrolment| match enrolment {
        Enrolment::Pending { expires_at } => {
            EnrolmentView { expires_at: Some(expires_at), redeemed_at: None, redeemed_from: None }
        }
        Enrolment::Redeemed { at, from } => EnrolmentView {
            expires_at: None,
            redeemed_at: Some(at),
            redeemed_from: from.map(|from| from.to_string()),
        },
    });
    MemberView { id, name, role, kind, created_at, author, managers, enrolment }
}
