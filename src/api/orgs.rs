//! `/v1/orgs`: all organizations, for the operator. `/v1/org`: the caller's own organization and its policy.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::IdempotencyKey;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, page_view};
use super::problem::{ApiError, FieldErrors, parse_name};
use super::query::{NoParams, QueryParams};
use crate::domain::value::MAX_VARIABLE;
use crate::store;
use crate::store::PolicyChange;
use crate::wire::{Code, CreateOrgRequest, CreateOrgResponse, OrgView, PageView, UpdateOrgRequest, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_orgs, create_org)).routes(routes!(own_org, change_policy))
}

error_responses! {
    ListOrgsErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    CreateOrgErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameTaken, Code::NameInvalid, Code::IdempotencyMismatch]];
    ReadOrgErrors = [AUTHENTICATED];
    UpdateOrgErrors = [AUTHENTICATED, WITH_BODY, WRITE];
}

/// List the organizations of the store
///
/// In ascending order of id. For the operator.
#[utoipa::path(get, path = paths::ORGS, tag = "organization", operation_id = "list_orgs", params(PageQuery),
    responses((status = 200, body = PageView<OrgView>, description = "A page of organizations."), ListOrgsErrors), security(("operator" = [])))]
async fn list_orgs(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(page): QueryParams<PageQuery>,
) -> Result<Json<PageView<OrgView>>, ApiError> {
    Ok(Json(page_view(api.store().list_orgs(&caller, page.into()).await?, org_view)))
}

/// Create an organization with its first admin
///
/// The response shows the admin's token. The store keeps a hash of it, so a repeated idempotency key is a conflict. For
/// the operator.
#[utoipa::path(post, path = paths::ORGS, tag = "organization", operation_id = "create_org", request_body = CreateOrgRequest,
    params(IdempotencyKey),
    responses((status = 201, body = CreateOrgResponse, description = "The organization and the token of its first admin. The token is not shown again."), CreateOrgErrors),
    security(("operator" = [])))]
async fn create_org(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateOrgRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let new =
        store::NewOrg { name: parse_name("name", &body.name)?, admin: parse_name("admin", &body.admin)? };
    let created = api.store().create_org(&caller, new, key.as_deref()).await?;
    let body = CreateOrgResponse {
        admin_token: created.admin_token.to_text().to_string(),
        view: org_view(created.org),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Get the organization of the caller
#[utoipa::path(get, path = paths::ORG_SELF, tag = "organization", operation_id = "own_org",
    responses((status = 200, body = OrgView, description = "The organization."), ReadOrgErrors), security(("member" = [])))]
async fn own_org(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<OrgView>, ApiError> {
    Ok(Json(org_view(api.store().own_org(&caller).await?)))
}

/// Change the policy of the organization
///
/// An absent field stays as it is. For admins.
#[utoipa::path(patch, path = paths::ORG_SELF, tag = "organization", operation_id = "change_policy", request_body = UpdateOrgRequest,
    responses((status = 200, body = OrgView, description = "The organization with the new policy."), UpdateOrgErrors), security(("member" = [])))]
async fn change_policy(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdateOrgRequest>,
) -> Result<Json<OrgView>, ApiError> {
    let UpdateOrgRequest { shared_by_members, hints, variable_ceiling } = body;
    let mut errors = FieldErrors::default();
    // Linux gives one variable at most MAX_ARG_STRLEN bytes, so a larger ceiling would be a promise that boots break.
    if variable_ceiling.is_some_and(|ceiling| !(1..=MAX_VARIABLE as u64).contains(&u64::from(ceiling))) {
        errors.add("variable_ceiling", format!("expected a number from 1 to {MAX_VARIABLE}"));
    }
    errors.into_result()?;
    let change = PolicyChange { shared_by_members, hints, variable_ceiling };
    Ok(Json(org_view(api.store().set_policy(&caller, change).await?)))
}

fn org_view(org: store::Org) -> OrgView {
    OrgView {
        id: org.id.to_string(),
        name: org.name.to_string(),
        created_at: org.created_at.to_string(),
        shared_by_members: org.policy.shared_by_members,
        hints: org.policy.hints,
        variable_ceiling: org.policy.variable_ceiling,
    }
}
