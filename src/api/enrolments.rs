//! `/v1/enrolments`: how a new member gets its first token. The code of an enrolment is shown once, in the response that
//! creates it, and the token once, in the response that redeems it.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{Extensions, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::{Authenticated, PresentedCredential, charge_failure};
use super::body::JsonBody;
use super::extract::{IdempotencyKey, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use super::request_marks::{Peer, RequestId};
use super::tokens::{check_label, check_ttl, token_view};
use crate::domain::credential::Credential;
use crate::domain::name::MemberName;
use crate::store::{EnrolmentIssued, Redemption, TokenIssued};
use crate::wire::{
    Code, CreateEnrolmentRequest, CreateEnrolmentResponse, CreateTokenResponse, RedeemEnrolmentRequest, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(create_enrolment)).routes(routes!(redeem_enrolment))
}

/// The largest number of launchers that one redemption accepts.
const MAX_ACCEPT: usize = 20;

error_responses! {
    CreateEnrolmentErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::Unprocessable, Code::IdempotencyMismatch,
    ]];
    RedeemEnrolmentErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::EnrolmentRedeemed, Code::NotFound, Code::NameInvalid, Code::Unprocessable,
    ]];
}

/// Replace the enrolment of a member
///
/// Only while nobody has redeemed it: a member is enrolled once. The earlier code stops working. For admins.
#[utoipa::path(post, path = paths::MEMBER_ENROLMENT, tag = "organization", operation_id = "create_enrolment",
    request_body = CreateEnrolmentRequest, params(("name" = MemberName, Path), IdempotencyKey),
    responses((status = 201, body = CreateEnrolmentResponse, description = "The enrolment. Its code is not shown again."), CreateEnrolmentErrors),
    security(("member" = [])))]
async fn create_enrolment(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<MemberName>,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateEnrolmentRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let mut errors = FieldErrors::default();
    let ttl = check_ttl(&mut errors, body.ttl_seconds);
    errors.into_result()?;
    let issued = api.store().replace_enrolment(&caller, &name, ttl, key.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(enrolment_response(&api, &issued))))
}

/// Redeem an enrolment for a first token
///
/// The credential of the request is the enrolment's code. It works once, and the response is the only one with the token. If
/// a launcher in `accept` does not exist or was not enrolled, nothing is redeemed.
#[utoipa::path(post, path = paths::REDEEM, tag = "organization", operation_id = "redeem_enrolment",
    request_body = RedeemEnrolmentRequest,
    responses((status = 201, body = CreateTokenResponse, description = "The member's first token. It is not shown again."), RedeemEnrolmentErrors),
    security(("enrolment" = [])))]
async fn redeem_enrolment(
    State(api): State<Api>,
    PresentedCredential(credential): PresentedCredential,
    QueryParams(NoParams): QueryParams<NoParams>,
    extensions: Extensions,
    JsonBody(body): JsonBody<RedeemEnrolmentRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let mut errors = FieldErrors::default();
    if body.accept.len() > MAX_ACCEPT {
        errors.add("accept", format!("has more than {MAX_ACCEPT} items"));
    }
    let names = body.accept.iter().take(MAX_ACCEPT);
    let accept = names.filter_map(|name| errors.check_as(Code::NameInvalid, "accept", name.parse()));
    let accept = accept.collect();
    let redemption = Redemption { label: check_label(&mut errors, body.label.as_deref()), accept };
    errors.into_result()?;
    let TokenIssued { token, credential } = redeem(&api, &extensions, &credential, redemption).await?;
    // This copy of the token is not wiped. It becomes the response, which leaves the process anyway.
    let body = CreateTokenResponse { token: credential.to_text().to_string(), view: token_view(token) };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Redeems an enrolment. A failed attempt counts against its source.
pub(crate) async fn redeem(
    api: &Api,
    extensions: &Extensions,
    code: &Credential,
    redemption: Redemption,
) -> Result<TokenIssued, ApiError> {
    let source = Peer::from_extensions(extensions).address();
    let request = extensions.get::<RequestId>().map_or("", |RequestId(id)| id);
    api.store().redeem_enrolment(code, source, request, redemption).await.map_err(|error| {
        let is_denial = error.is_denial();
        let error = ApiError::from(error);
        if is_denial { charge_failure(api, source, error) } else { error }
    })
}

/// Renders an enrolment with its code, and the link of the console that redeems it.
pub(crate) fn enrolment_response(api: &Api, issued: &EnrolmentIssued) -> CreateEnrolmentResponse {
    let code = issued.credential.to_text();
    let (urls, _) = api.addresses();
    // In the fragment, which a browser never sends: neither a server nor a proxy has it in its log.
    let link = urls.first().map(|url| format!("{}/console/enroll#{}", url.trim_end_matches('/'), *code));
    CreateEnrolmentResponse {
        member: issued.member.clone(),
        // This copy is not wiped either, for the same reason.
        code: code.to_string(),
        link,
        expires_at: issued.expires_at,
    }
}
