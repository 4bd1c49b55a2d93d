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
use super::enrolments::enrolment_response;
use super::extract::{IdempotencyKey, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, page_view};
use super::problem::{ApiError, FieldErrors, parse_name};
use super::query::{NoParams, QueryParams};
use crate::domain::name::OrgName;
use crate::domain::role::{LONGEST_RETENTION, OrgQuotas, OrgUsage};
use crate::domain::value::MAX_VARIABLE;
use crate::store;
use crate::store::{BudgetsChange, PolicyChange, QuotasChange, RetentionChange};
use crate::wire::{
    Code, CreateOrgRequest, CreateOrgResponse, OrgView, PageView, UpdateBudgetsRequest, UpdateOrgRequest,
    UpdateQuotasRequest, UpdateRetentionRequest, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_orgs, create_org))
        .routes(routes!(own_org, change_policy))
        .routes(routes!(org_usage))
        .routes(routes!(org_quotas, set_quotas))
}

error_responses! {
    ListOrgsErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    CreateOrgErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameTaken, Code::NameInvalid, Code::IdempotencyMismatch]];
    ReadOrgErrors = [AUTHENTICATED];
    UpdateOrgErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::Unprocessable]];
    ReadQuotasErrors = [AUTHENTICATED, &[Code::NotFound]];
    UpdateQuotasErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::Unprocessable]];
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
/// The response shows the admin's enrolment, which only the admin redeems. A repeated idempotency key is a conflict. For the
/// operator.
#[utoipa::path(post, path = paths::ORGS, tag = "organization", operation_id = "create_org", request_body = CreateOrgRequest,
    params(IdempotencyKey),
    responses((status = 201, body = CreateOrgResponse, description = "The organization and the enrolment of its first admin, whose code is not shown again."), CreateOrgErrors),
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
        enrolment: enrolment_response(&api, &created.enrolment),
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
    let change = policy_change(body)?;
    Ok(Json(org_view(api.store().set_policy(&caller, change).await?)))
}

/// Get what the organization uses of its budgets and quotas
///
/// A scope that is over a budget boots all the same, and can only shrink. Tickets and tokens count as long as they work.
#[utoipa::path(get, path = paths::ORG_USAGE, tag = "organization", operation_id = "org_usage",
    responses((status = 200, body = OrgUsage, description = "What is used."), ReadOrgErrors), security(("member" = [])))]
async fn org_usage(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<OrgUsage>, ApiError> {
    Ok(Json(api.store().org_usage(&caller).await?))
}

/// Get the quotas of an organization
///
/// With the numbers of its records. For the operator.
#[utoipa::path(get, path = paths::ORG_QUOTAS, tag = "organization", operation_id = "org_quotas", params(("name" = OrgName, Path)),
    responses((status = 200, body = OrgQuotas, description = "The quotas."), ReadQuotasErrors), security(("operator" = [])))]
async fn org_quotas(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<OrgName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<OrgQuotas>, ApiError> {
    Ok(Json(api.store().org_quotas(&caller, &name).await?))
}

/// Change the quotas of an organization
///
/// An absent field stays as it is. A quota below what exists refuses new records and deletes none. For the operator.
#[utoipa::path(patch, path = paths::ORG_QUOTAS, tag = "organization", operation_id = "set_quotas", params(("name" = OrgName, Path)),
    request_body = UpdateQuotasRequest,
    responses((status = 200, body = OrgQuotas, description = "The new quotas."), UpdateQuotasErrors), security(("operator" = [])))]
async fn set_quotas(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<OrgName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdateQuotasRequest>,
) -> Result<Json<OrgQuotas>, ApiError> {
    let UpdateQuotasRequest { secrets, members, tickets, tokens, boots_per_member, min_audit_days } = body;
    let mut errors = FieldErrors::default();
    if min_audit_days.is_some_and(|days| days > LONGEST_RETENTION) {
        errors.add("min_audit_days", format!("expected at most {LONGEST_RETENTION} days"));
    }
    errors.into_result()?;
    let change = QuotasChange { secrets, members, tickets, tokens, boots_per_member, min_audit_days };
    Ok(Json(api.store().set_quotas(&caller, &name, change).await?))
}

fn policy_change(body: UpdateOrgRequest) -> Result<PolicyChange, ApiError> {
    let UpdateOrgRequest { shared_by_members, hints, variable_ceiling, .. } = body;
    let UpdateOrgRequest { shared_changes, budgets, member_share, retention, create_at_sign_in, .. } = body;
    let mut errors = FieldErrors::default();
    // Linux gives one variable at most MAX_ARG_STRLEN bytes, so a larger ceiling would be a promise that boots break.
    if variable_ceiling.is_some_and(|ceiling| !(1..=MAX_VARIABLE as u64).contains(&u64::from(ceiling))) {
        errors.add("variable_ceiling", format!("expected a number from 1 to {MAX_VARIABLE}"));
    }
    if member_share.is_some_and(|share| !(1..=100).contains(&share)) {
        errors.add("member_share", "expected a number from 1 to 100");
    }
    let UpdateRetentionRequest { boots, audit } = retention.unwrap_or_default();
    for (field, days) in [("retention.boots", boots), ("retention.audit", audit)] {
        if days.is_some_and(|days| days > LONGEST_RETENTION) {
            errors.add(field, format!("expected at most {LONGEST_RETENTION} days"));
        }
    }
    errors.into_result()?;
    let UpdateBudgetsRequest { shared_variables, shared_files, private_variables, private_files } =
        budgets.unwrap_or_default();
    // An absent field is not a default: two admins may change different fields at once.
    Ok(PolicyChange {
        shared_by_members,
        hints,
        variable_ceiling,
        shared_changes,
        budgets: BudgetsChange { shared_variables, shared_files, private_variables, private_files },
        member_share,
        retention: RetentionChange { boots, audit },
        create_at_sign_in,
    })
}

fn org_view(org: store::Org) -> OrgView {
    let store::Org { id, name, created_at, policy } = org;
    OrgView {
        id,
        name,
        created_at,
        shared_by_members: policy.shared_by_members,
        hints: policy.hints,
        variable_ceiling: policy.variable_ceiling,
        shared_changes: policy.shared_changes,
        budgets: policy.budgets,
        quotas: policy.quotas,
        member_share: policy.member_share,
        retention: policy.retention,
        create_at_sign_in: policy.create_at_sign_in,
    }
}
