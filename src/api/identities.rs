//! `/v1/identities`: how machines prove that they may boot.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use data_encoding::HEXLOWER;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::{IdempotencyKey, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{OwnerQuery, PageQuery, Paged, page_view};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use super::tickets::parse_grant;
use crate::domain::card::StoreCard;
use crate::domain::id::{IdentityId, TicketId};
use crate::domain::identity::IdentityKind;
use crate::domain::jwt::{CheckOutcome, ClaimRule, TokenCheck};
use crate::domain::location::StoreLocation;
use crate::domain::name::MemberName;
use crate::store;
use crate::store::{Caller, MachineIdentity, PageAsk};
use crate::wire::{
    AcceptedTokensView, ClaimRuleView, Code, ConfirmIssuerRequest, CreateIdentityRequest, ForEachServiceBody,
    MachineIdentityView, PageView, TestTokenRequest, TestTokenResponse, TokenCheckView, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_identities, create_identity))
        .routes(routes!(identity, revoke_identity))
        .routes(routes!(confirm_identity))
        .routes(routes!(test_identity))
}

/// The largest number of claims, and of services.
const MAX_LIST: usize = 100;

error_responses! {
    ListIdentitiesErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    CreateIdentityErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::NameInvalid, Code::Unprocessable, Code::IdempotencyMismatch, Code::OverQuota,
    ]];
    ReadIdentityErrors = [AUTHENTICATED, &[Code::NotFound]];
    ChangeIdentityErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
    ConfirmIdentityErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound, Code::Unprocessable, Code::Conflict]];
    TestIdentityErrors = [AUTHENTICATED, WITH_BODY, &[Code::NotFound, Code::Unprocessable]];
}

/// List the identities of machines
///
/// A member sees those that act for them, an admin or auditor those of the organization; tickets are among them. In ascending order
/// of id.
#[utoipa::path(get, path = paths::IDENTITIES, tag = "organization", operation_id = "list_identities", params(OwnerQuery, PageQuery),
    responses((status = 200, body = PageView<MachineIdentityView>, description = "A page of identities."), ListIdentitiesErrors), security(("member" = [])))]
async fn list_identities(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(Paged { filter, page }): QueryParams<Paged<OwnerQuery>>,
) -> Result<Json<PageView<MachineIdentityView>>, ApiError> {
    Ok(Json(list(&api, &caller, filter.member.as_ref(), page).await?))
}

/// Create an identity whose proof is a token
///
/// A member creates identities for itself and for the services that it manages. Tickets have a route of their own.
#[utoipa::path(post, path = paths::IDENTITIES, tag = "organization", operation_id = "create_identity", request_body = CreateIdentityRequest,
    params(IdempotencyKey),
    responses(
        (status = 201, body = MachineIdentityView, description = "The identity, with the store card for the machine.",
            headers(("Location" = String, description = "The path of the identity."))),
        CreateIdentityErrors,
    ),
    security(("member" = [])))]
async fn create_identity(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateIdentityRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let view = create(&api, &caller, body, key.as_deref()).await?;
    let location = paths::fill(paths::IDENTITY, view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)))
}

/// Get an identity
#[utoipa::path(get, path = paths::IDENTITY, tag = "organization", operation_id = "identity", params(("id" = IdentityId, Path)),
    responses((status = 200, body = MachineIdentityView, description = "The identity."), ReadIdentityErrors), security(("member" = [])))]
async fn identity(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<IdentityId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MachineIdentityView>, ApiError> {
    let found = api.store().identity(&caller, id).await?;
    Ok(Json(identity_view(&api, &api.location().await?, found)))
}

/// Revoke an identity
///
/// Boots that begin after the response get nothing. Running boots keep their values.
#[utoipa::path(delete, path = paths::IDENTITY, tag = "organization", operation_id = "revoke_identity", params(("id" = IdentityId, Path)),
    responses((status = 200, body = MachineIdentityView, description = "The revoked identity."), ChangeIdentityErrors), security(("member" = [])))]
async fn revoke_identity(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<IdentityId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<MachineIdentityView>, ApiError> {
    let revoked = api.store().revoke_identity(&caller, id).await?;
    Ok(Json(identity_view(&api, &api.location().await?, revoked)))
}

/// Confirm the issuer of an identity
///
/// After an admin has changed the issuer, the person that the identity acts for confirms the settings that they have looked at, by
/// their digest. Until then the identity does not boot. Settings that have changed since are a conflict.
#[utoipa::path(post, path = paths::IDENTITY_CONFIRM, tag = "organization", operation_id = "confirm_identity", request_body = ConfirmIssuerRequest,
    params(("id" = IdentityId, Path)),
    responses((status = 200, body = MachineIdentityView, description = "The identity."), ConfirmIdentityErrors), security(("member" = [])))]
async fn confirm_identity(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<IdentityId>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<ConfirmIssuerRequest>,
) -> Result<Json<MachineIdentityView>, ApiError> {
    let confirmed = api.store().confirm_identity(&caller, id, parse_digest(&body.digest)?).await?;
    Ok(Json(identity_view(&api, &api.location().await?, confirmed)))
}

/// Compare a token with an identity
///
/// Says of each check whether it passes. Nothing boots, and the token is not stored.
#[utoipa::path(post, path = paths::IDENTITY_TEST, tag = "organization", operation_id = "test_identity", request_body = TestTokenRequest,
    params(("id" = IdentityId, Path)),
    responses((status = 200, body = TestTokenResponse, description = "The checks."), TestIdentityErrors), security(("member" = [])))]
async fn test_identity(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<IdentityId>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<TestTokenRequest>,
) -> Result<Json<TestTokenResponse>, ApiError> {
    let claimed = api.store().identity_to_test(&caller, id).await?;
    let token = body.token.into_secret();
    // Bytes that are no text are no token either, like any other text that is not one.
    let token = str::from_utf8(token.expose()).unwrap_or("");
    let explained =
        api.issuers().explain(claimed.issuer(), claimed.audience(), token, api.store().now()).await;
    let mut checks: Vec<TokenCheckView> = explained.checks.iter().filter_map(check_view).collect();
    if let Some(claims) = &explained.claims {
        let compared = api.store().compare_claims(&claimed, claims).await?;
        checks.extend(compared.into_iter().map(comparison_view));
    }
    let accepted = explained.is_verified() && checks.iter().all(|check| check.passed);
    Ok(Json(TestTokenResponse { accepted, checks }))
}

/// Creates an identity, for the API and for the console.
pub(crate) async fn create(
    api: &Api,
    caller: &Caller,
    body: CreateIdentityRequest,
    key: Option<&str>,
) -> Result<MachineIdentityView, ApiError> {
    let created = api.store().create_identity(caller, parse_request(body)?, key).await?;
    Ok(identity_view(api, &api.location().await?, created))
}

/// A page of identities, for the API and for the console.
pub(crate) async fn list(
    api: &Api,
    caller: &Caller,
    member: Option<&MemberName>,
    page: PageAsk,
) -> Result<PageView<MachineIdentityView>, ApiError> {
    let found = api.store().list_identities(caller, member, page).await?;
    let location = api.location().await?;
    Ok(page_view(found, |identity| identity_view(api, &location, identity)))
}

/// Reads the digest of an issuer's settings.
pub(crate) fn parse_digest(text: &str) -> Result<[u8; 32], ApiError> {
    let digest = HEXLOWER.decode(text.as_bytes()).ok().and_then(|digest| digest.try_into().ok());
    digest.ok_or_else(|| ApiError::new(Code::Unprocessable, "digest: expected 64 hexadecimal digits"))
}

fn parse_request(body: CreateIdentityRequest) -> Result<store::NewIdentity, ApiError> {
    let mut errors = FieldErrors::default();
    let CreateIdentityRequest { template, issuer, audience, claims, for_each, single_use, grant } = body;
    let issuer = issuer.and_then(|name| errors.check_as(Code::NameInvalid, "issuer", name.parse()));
    let mut is_short = |field: &str, count: usize| {
        if count > MAX_LIST {
            errors.add(field, format!("has more than {MAX_LIST} items"));
        }
        count <= MAX_LIST
    };
    let claims = Some(claims).filter(|claims| is_short("claims", claims.len())).unwrap_or_default();
    let for_each = for_each.filter(|body| is_short("services", body.services.len())).map(|body| {
        let services: BTreeSet<MemberName> = body
            .services
            .iter()
            .filter_map(|name| errors.check_as(Code::NameInvalid, "services", name.parse()))
            .collect();
        (body.claim, services)
    });
    let limits = parse_grant(&mut errors, grant.unwrap_or_default());
    errors.into_result()?;
    Ok(store::NewIdentity { limits, template, issuer, audience, claims, for_each, single_use })
}

fn identity_view(api: &Api, location: &StoreLocation, identity: MachineIdentity) -> MachineIdentityView {
    let MachineIdentity { kind, grant, tokens } = identity;
    let id = IdentityId::from(grant.id);
    let is_ticket = kind == IdentityKind::Ticket;
    // It fails only without an answer key, which this location has.
    let card = || StoreCard::new(api.store().id(), id, location.clone()).ok();
    MachineIdentityView {
        id,
        kind,
        ticket: is_ticket.then_some(TicketId::from(id)),
        card: if is_ticket { None } else { card().as_ref().map(StoreCard::to_string) },
        member: grant.member,
        author: grant.author,
        label: grant.label.map(|label| label.to_string()),
        created_at: grant.created_at,
        expires_at: grant.expires_at,
        revoked_at: grant.revoked_at,
        uses: grant.uses,
        used: grant.used,
        plugins: grant.plugins.map(|plugins| plugins.into_iter().collect()),
        sources: grant.sources.iter().map(ToString::to_string).collect(),
        lifetime_seconds: grant.lifetime,
        usable: grant.usable,
        tokens: tokens.map(tokens_view),
    }
}

fn tokens_view(tokens: store::AcceptedTokens) -> AcceptedTokensView {
    let rule_view =
        |rule: ClaimRule| ClaimRuleView { pointer: rule.pointer, value: rule.value, prefix: rule.prefix };
    AcceptedTokensView {
        template: tokens.template,
        issuer: tokens.issuer,
        issuer_url: tokens.spec.as_ref().map(|spec| spec.url.to_string()),
        issuer_digest: tokens.spec.as_ref().map(|spec| HEXLOWER.encode(&spec.digest())),
        audience: tokens.audience,
        claims: tokens.claims.into_iter().map(rule_view).collect(),
        for_each: tokens.for_each.map(|(claim, services)| ForEachServiceBody {
            claim,
            services: services.iter().map(|name| name.as_str().into()).collect(),
        }),
        single_use: tokens.single_use,
        suspended: tokens.suspended,
    }
}

/// `None` for a check that was not made.
fn check_view(check: &TokenCheck) -> Option<TokenCheckView> {
    let (expected, hint) = match &check.outcome {
        CheckOutcome::Passed => (None, None),
        CheckOutcome::Refused(refusal) => (Some(refusal.to_string()), refusal.hint().map(str::to_owned)),
        CheckOutcome::Skipped => return None,
    };
    Some(TokenCheckView {
        check: check.name.to_string(),
        passed: expected.is_none(),
        expected,
        found: None,
        hint,
    })
}

fn comparison_view(compared: store::ClaimComparison) -> TokenCheckView {
    let store::ClaimComparison { what, passed, expected, found } = compared;
    TokenCheckView { check: what, passed, expected: Some(expected), found, hint: None }
}
