//! `/v1/orgs`, the operator's, and `/v1/org`, the caller's own organization and its policy.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Asked;
use super::extract::{IdempotencyKey, Json};
use super::members::name_in;
use super::openapi::{ASKED, BODY, WRITING, refusals};
use super::page::page;
use super::problem::{Faults, Refused};
use super::query::{NoParams, PageOnly, Params};
use crate::domain::value::MAX_VARIABLE;
use crate::store;
use crate::store::PolicyChange;
use crate::wire::{Code, CreateOrgRequest, CreateOrgResponse, OrgView, PageView, UpdateOrgRequest, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_orgs, create_org)).routes(routes!(own_org, change_policy))
}

refusals! {
    Listing = [ASKED, &[Code::Unprocessable]];
    Creating = [ASKED, BODY, WRITING, &[Code::NameTaken, Code::NameInvalid, Code::IdempotencyMismatch]];
    Reading = [ASKED];
    Changing = [ASKED, BODY, WRITING];
}

/// All organizations
///
/// Ascending by id.
#[utoipa::path(get, path = paths::ORGS, tag = "organization", operation_id = "list_orgs", params(PageOnly),
    responses((status = 200, body = PageView<OrgView>, description = "A page."), Listing), security(("operator" = [])))]
async fn list_orgs(
    State(api): State<Api>,
    Asked(caller): Asked,
    Params(ask): Params<PageOnly>,
) -> Result<Answer<PageView<OrgView>>, Refused> {
    Ok(Answer(page(api.store().list_orgs(&caller, ask.page()).await?, view)))
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
    Asked(caller): Asked,
    IdempotencyKey(key): IdempotencyKey,
    Params(NoParams): Params<NoParams>,
    Json(body): Json<CreateOrgRequest>,
) -> Result<impl IntoResponse, Refused> {
    let new = store::NewOrg { name: name_in("name", &body.name)?, admin: name_in("admin", &body.admin)? };
    let made = api.store().create_org(&caller, new, key.as_deref()).await?;
    let body =
        CreateOrgResponse { admin_token: made.admin_token.to_text().to_string(), view: view(made.org) };
    Ok((StatusCode::CREATED, Answer(body)))
}

/// The caller's own organization
#[utoipa::path(get, path = paths::ORG_SELF, tag = "organization", operation_id = "own_org",
    responses((status = 200, body = OrgView, description = "The organization."), Reading), security(("member" = [])))]
async fn own_org(
    State(api): State<Api>,
    Asked(caller): Asked,
    Params(NoParams): Params<NoParams>,
) -> Result<Answer<OrgView>, Refused> {
    Ok(Answer(view(api.store().own_org(&caller).await?)))
}

/// Changes the policy of the caller's organization
///
/// What is absent stays.
#[utoipa::path(patch, path = paths::ORG_SELF, tag = "organization", operation_id = "change_policy", request_body = UpdateOrgRequest,
    responses((status = 200, body = OrgView, description = "The organization."), Changing), security(("member" = [])))]
async fn change_policy(
    State(api): State<Api>,
    Asked(caller): Asked,
    Params(NoParams): Params<NoParams>,
    Json(body): Json<UpdateOrgRequest>,
) -> Result<Answer<OrgView>, Refused> {
    let UpdateOrgRequest { shared_by_members, hints, variable_ceiling } = body;
    let mut faults = Faults::default();
    if variable_ceiling.is_some_and(|ceiling| !(1..=MAX_VARIABLE as u64).contains(&u64::from(ceiling))) {
        faults.add("variable_ceiling", format!("expected a number from 1 to {MAX_VARIABLE}"));
    }
    faults.refusal()?;
    let change = PolicyChange { shared_by_members, hints, variable_ceiling };
    Ok(Answer(view(api.store().set_policy(&caller, change).await?)))
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
