//! `/v1/issuers`: the issuers of tokens that an organization trusts.

use axum::Json;
use axum::extract::State;
use data_encoding::HEXLOWER;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::PathParam;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::whole_list;
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::domain::jwt::{IssuerSpec, JwtAlgorithm};
use crate::domain::name::IssuerName;
use crate::store;
use crate::store::Caller;
use crate::wire::{Code, IssuerView, PageView, PutIssuerRequest, paths};

/// Bytes of the body: the certificates and the keys, each up to 64 KiB, and their escapes in JSON.
const ISSUER_BODY: usize = 384 * 1024;
/// What most issuers sign with: RS256, which OpenID Connect requires of all, and ES256.
const DEFAULT_ALGORITHMS: [JwtAlgorithm; 2] = [JwtAlgorithm::Rs256, JwtAlgorithm::Es256];
/// Signature algorithms in a request at most.
const MAX_ALGORITHMS: usize = 16;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_issuers)).routes(routes!(issuer, put_issuer, remove_issuer))
}

error_responses! {
    ListIssuersErrors = [AUTHENTICATED];
    ReadIssuerErrors = [AUTHENTICATED, &[Code::NotFound]];
    PutIssuerErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::Unprocessable]];
    RemoveIssuerErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// List the issuers of tokens
///
/// By name, on one page.
#[utoipa::path(get, path = paths::ISSUERS, tag = "organization", operation_id = "list_issuers",
    responses((status = 200, body = PageView<IssuerView>, description = "All issuers."), ListIssuersErrors), security(("member" = [])))]
async fn list_issuers(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<IssuerView>>, ApiError> {
    Ok(Json(whole_list(api.store().issuers(&caller).await?, issuer_view)))
}

/// Get an issuer of tokens
#[utoipa::path(get, path = paths::ISSUER, tag = "organization", operation_id = "issuer", params(("name" = IssuerName, Path)),
    responses((status = 200, body = IssuerView, description = "The issuer."), ReadIssuerErrors), security(("member" = [])))]
async fn issuer(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<IssuerName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<IssuerView>, ApiError> {
    Ok(Json(issuer_view(api.store().issuer(&caller, &name).await?)))
}

/// Add or change an issuer of tokens
///
/// For admins. After a change of its URL, authorities or keys, identities that act for persons do not boot until these persons
/// confirm it.
#[utoipa::path(put, path = paths::ISSUER, tag = "organization", operation_id = "put_issuer", request_body = PutIssuerRequest,
    params(("name" = IssuerName, Path)),
    responses((status = 200, body = IssuerView, description = "The issuer."), PutIssuerErrors), security(("member" = [])))]
async fn put_issuer(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<IssuerName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<PutIssuerRequest, ISSUER_BODY>,
) -> Result<Json<IssuerView>, ApiError> {
    Ok(Json(put(&api, &caller, &name, body).await?))
}

/// Adds or changes an issuer, for the API and for the console.
pub(crate) async fn put(
    api: &Api,
    caller: &Caller,
    name: &IssuerName,
    body: PutIssuerRequest,
) -> Result<IssuerView, ApiError> {
    let spec = parse_spec(body)?;
    // Before it is stored: a document that cannot be used would be noticed by machines only.
    api.issuers().check_documents(&spec).map_err(|fault| {
        let error = ApiError::new(Code::Unprocessable, fault.to_string());
        fault.hint().into_iter().fold(error, ApiError::hint)
    })?;
    let before = api.store().issuer(caller, name).await.ok();
    let after = api.store().put_issuer(caller, name, spec).await?;
    if let Some(before) = before.filter(|before| before.spec != after.spec) {
        api.issuers().forget(&before.spec);
    }
    Ok(issuer_view(after))
}

/// Remove an issuer of tokens
///
/// For admins. Machines with identities that rely on it can no longer boot.
#[utoipa::path(delete, path = paths::ISSUER, tag = "organization", operation_id = "remove_issuer", params(("name" = IssuerName, Path)),
    responses((status = 200, body = IssuerView, description = "The removed issuer."), RemoveIssuerErrors), security(("member" = [])))]
async fn remove_issuer(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<IssuerName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<IssuerView>, ApiError> {
    Ok(Json(remove(&api, &caller, &name).await?))
}

/// Removes an issuer, for the API and for the console.
pub(crate) async fn remove(api: &Api, caller: &Caller, name: &IssuerName) -> Result<IssuerView, ApiError> {
    let removed = api.store().remove_issuer(caller, name).await?;
    api.issuers().forget(&removed.spec);
    Ok(issuer_view(removed))
}

fn parse_spec(body: PutIssuerRequest) -> Result<IssuerSpec, ApiError> {
    let mut errors = FieldErrors::default();
    let PutIssuerRequest { url, algorithms, authorities, keys } = body;
    let url = errors.check_as(Code::Unprocessable, "url", url.parse());
    if algorithms.len() > MAX_ALGORITHMS {
        errors.add("algorithms", format!("has more than {MAX_ALGORITHMS} items"));
    }
    let named = algorithms.iter().take(MAX_ALGORITHMS);
    let parsed: Vec<JwtAlgorithm> =
        named.filter_map(|name| errors.check_as(Code::Unprocessable, "algorithms", name.parse())).collect();
    errors.into_result()?;
    let url = url.ok_or_else(ApiError::incomplete)?;
    let algorithms =
        if algorithms.is_empty() { DEFAULT_ALGORITHMS.into() } else { parsed.into_iter().collect() };
    Ok(IssuerSpec { url, algorithms, authorities, keys })
}

pub(crate) fn issuer_view(issuer: store::Issuer) -> IssuerView {
    let store::Issuer { name, spec, updated_at } = issuer;
    IssuerView {
        name,
        digest: HEXLOWER.encode(&spec.digest()),
        url: spec.url.to_string(),
        algorithms: spec.algorithms.iter().map(ToString::to_string).collect(),
        authorities: spec.authorities,
        keys: spec.keys,
        updated_at,
    }
}
