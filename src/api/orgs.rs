//! `/v1/orgs`, the operator's, and `/v1/org`, the caller's own organization and its policy.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::{IdempotencyKey, JsonBody};
use super::members::name_in;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::page;
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, PageQuery, QueryParams};
use crate::domain::value::MAX_VARIABLE;
use crate::store;
use crate::store::PolicyChange;
use crate::wire::{Code, CreateOrgRequest, CreateOrgResponse, OrgView, PageView, UpdateOrgRequest, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_orgs, create_org)).routes(routes!(own_org, change_policy))
}

error_responses! {
    Listing = [AUTHENTICATED, &[Code::Unprocessable]];
    Creating = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameTaken, Code::NameInvalid, Code::IdempotencyMismatch]];
    Reading = [AUTHENTICATED];
    Changing = [AUTHENTICATED, WITH_BODY, WRITE];
}

/// All organizations
///
/// Ascending by id.
#[utoipa::path(get, path = paths::ORGS, tag = "organization", operation_id = "list_orgs", params(PageQuery),
    responses((status = 200, body = PageView<OrgView>, description = "A page."), Listing), security(("operator" = [])))]
async fn list_orgs(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<PageQuery>,
) -> Result<Json<PageView<OrgView>>, ApiError> {
    Ok(Json(page(api.store().list_orgs(&caller, ask.page()).await?, view)))
}

/// Makes an organization with its first admin
///
/// A repeated idempotency key is a conflict, because the token cannot be shown twice.
#[utoipa::path(post, path = paths::ORGS, tag = "organization", operation_id = "create_org", request_body = CreateOrgRequest,
    params(IdempotencyKey),
    responses((status = 201, body = CreateOrgResponse, description = "The organization, and its first admin's token, shown this once."), Creating),
    security(("operator" = [])))]
async fn create_org(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateOrgRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let new = store::NewOrg { name: name_in("name", &body.name)?, admin: name_in("admin", &body.admin)? };
    let made = api.store().create_org(&caller, new, key.as_deref()).await?;
    let body =
        CreateOrgResponse { admin_token: made.admin_token.to_text().to_string(), view: view(made.org) };
    Ok((StatusCode::CREATED, Json(body)))
}

/// The caller's own organization
#[utoipa::path(get, path = paths::ORG_SELF, tag = "organization", operation_id = "own_org",
    responses((status = 200, body = OrgView, description = "The organization."), Reading), security(("member" = [])))]
async fn own_org(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<OrgView>, ApiError> {
    Ok(Json(view(api.store().own_org(&caller).await?)))
}

/// Changes the policy of the caller's organization
///
/// What is absent stays.
#[utoipa::path(patch, path = paths::ORG_SELF, tag = "organization", operation_id = "change_policy", request_body = UpdateOrgRequest,
    responses((status = 200, body = OrgView, description = "The organization."), Changing), security(("member" = [])))]
async fn change_policy(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdateOrgRequest>,
) -> Result<Json<OrgView>, ApiError> {
    let UpdateOrgRequest { shared_by_members, hints, variable_ceiling } = body;
    let mut errors = FieldErrors::default();
    if variable_ceiling.is_some_and(|ceiling| !(1..=MAX_VARIABLE as u64).contains(&u64::from(ceiling))) {
        errors.add("variable_ceiling", format!("expected a number from 1 to {MAX_VARIABLE}"));
    }
    errors.into_result()?;
    let change = PolicyChange { shared_by_members, hints, variable_ceiling };
    Ok(Json(view(api.store().set_policy(&caller, change).await?)))
}

/// An organization as shown.
pub(crate) fn view(org: store::Org) -> OrgView {
    OrgView {
        id: org.id.to_string(),
        name: org.name.to_string(),
        created_at: org.created_at.to_string(),
        shared_by_members: org.policy.shared_by_members,
        hints: org.policy.hints,
        variable_ceiling: org.policy.variable_ceiling,
    }
}
