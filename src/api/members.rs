//! `/v1/members`: the members of the caller's organization.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::{IdempotencyKey, JsonBody, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::page;
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, PageQuery, QueryParams};
use crate::domain::name::MemberName;
use crate::store;
use crate::wire::{Code, CreateMemberRequest, MemberView, PageView, UpdateMemberRequest, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_members, create_member)).routes(routes!(
        member,
        change_member,
        remove_member
    ))
}

error_responses! {
    Listing = [AUTHENTICATED, &[Code::Unprocessable]];
    Creating = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameTaken, Code::NameInvalid, Code::IdempotencyMismatch]];
    Reading = [AUTHENTICATED, &[Code::NotFound]];
    Changing = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::LastAdmin]];
    Removing = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::LastAdmin]];
}

/// Members of the caller's organization
///
/// Ascending by id.
#[utoipa::path(get, path = paths::MEMBERS, tag = "organization", operation_id = "list_members", params(PageQuery),
    responses((status = 200, body = PageView<MemberView>, description = "A page."), Listing), security(("member" = [])))]
async fn list_members(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<PageQuery>,
) -> Result<Json<PageView<MemberView>>, ApiError> {
    Ok(Json(page(api.store().list_members(&caller, ask.page()).await?, view)))
}

/// Adds a member
///
/// It has no token yet.
#[utoipa::path(post, path = paths::MEMBERS, tag = "organization", operation_id = "create_member", request_body = CreateMemberRequest,
    params(
        IdempotencyKey,
    ),
    responses(
        (status = 201, body = MemberView, description = "It is added.", headers(("Location" = String, description = "The member."))),
        Creating,
    ),
    security(("member" = [])))]
async fn create_member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateMemberRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let name = name_in("name", &body.name)?;
    let member = api
        .store()
        .create_member(&caller, store::NewMember { name, role: body.role }, key.as_deref())
        .await?;
    let location = paths::fill(paths::MEMBER, member.name.as_str());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view(member))))
}

/// One member
#[utoipa::path(get, path = paths::MEMBER, tag = "organization", operation_id = "member",
    params(("name" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "The member."), Reading), security(("member" = [])))]
async fn member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MemberView>, ApiError> {
    Ok(Json(view(api.store().member(&caller, &name).await?)))
}

/// Gives a member another role
///
/// The last admin stays one.
#[utoipa::path(patch, path = paths::MEMBER, tag = "organization", operation_id = "change_member", request_body = UpdateMemberRequest,
    params(("name" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "It has the role."), Changing), security(("member" = [])))]
async fn change_member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdateMemberRequest>,
) -> Result<Json<MemberView>, ApiError> {
    Ok(Json(view(api.store().set_role(&caller, &name, body.role).await?)))
}

/// Removes a member
///
/// Its tokens and tickets stop working and its private secrets are gone. The last admin stays.
#[utoipa::path(delete, path = paths::MEMBER, tag = "organization", operation_id = "remove_member",
    params(("name" = MemberName, Path)),
    responses((status = 200, body = MemberView, description = "It is removed."), Removing), security(("member" = [])))]
async fn remove_member(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MemberView>, ApiError> {
    Ok(Json(view(api.store().remove_member(&caller, &name).await?)))
}

/// A member's name out of a body.
pub(crate) fn name_in<T>(field: &str, text: &str) -> Result<T, ApiError>
where
    T: std::str::FromStr<Err = crate::domain::name::NameError>,
{
    let mut errors = FieldErrors::default();
    let read = text.parse::<T>();
    if let Err(error) = &read {
        errors.hint(error.hint());
    }
    let read = errors.check_as(Code::NameInvalid, field, read);
    errors.into_result()?;
    read.ok_or_else(|| ApiError::new(Code::NameInvalid, "the name cannot be used"))
}

/// A member as shown.
pub(crate) fn view(member: store::Member) -> MemberView {
    let store::Member { id, name, role, created_at } = member;
    MemberView { id: id.to_string(), name: name.to_string(), role, created_at: created_at.to_string() }
}
