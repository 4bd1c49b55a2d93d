//! `/v1/sign-in`: sign-in of people with OIDC providers; `accounts`: those that they linked. This server talks to the provider; a client
//! brings what its browser received, and gets a token of this store.

mod accounts;
pub(crate) mod flow;
pub(crate) mod origin;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{Extensions, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use self::flow::{AnswerPlace, SignInProgress, SignInStart};
use self::origin::SignInOrigin;
use super::Api;
use super::body::{JsonBody, STRANGER_BODY};
use super::openapi::{UnauthenticatedErrors, WITH_BODY, WRITE, error_responses};
use super::problem::{ApiError, FieldErrors, parse_name};
use super::query::{NoParams, QueryParams};
use super::tokens::token_view;
use crate::domain::name::{Label, ProviderName};
use crate::domain::provider::SignInMethod;
use crate::signin::{ClientKind, CodeAnswer, Provider, SealedProof, SignInPurpose};
use crate::store::{RoleChange, SignInToken, SignedIn, TokenIssued};
use crate::wire::{
    BeginBrowserSignInRequest, BeginBrowserSignInResponse, BeginDeviceSignInRequest,
    BeginDeviceSignInResponse, Code, CreateSignInTokenRequest, CreateSignInTokenResponse, ProveSignInRequest,
    ProveSignInResponse, SignInProviderView, SignInProvidersView, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sign_in_providers))
        .routes(routes!(begin_browser_sign_in))
        .routes(routes!(begin_device_sign_in))
        .routes(routes!(prove_sign_in))
        .routes(routes!(create_sign_in_token))
        .merge(accounts::routes())
}

/// Codes of a sign-in without a credential.
const STRANGER: &[Code] = &[
    Code::InvalidRequest,
    Code::HeadersTooLarge,
    Code::Internal,
    Code::Corrupt,
    Code::Overloaded,
    Code::Unavailable,
    Code::RateLimited,
    Code::SignInRefused,
    Code::ProviderUnavailable,
];

error_responses! {
    BeginSignInErrors = [STRANGER, WITH_BODY, &[Code::NotFound, Code::Conflict, Code::NameInvalid]];
    ProveSignInErrors = [STRANGER, WITH_BODY];
    CreateSignInTokenErrors = [STRANGER, WITH_BODY, WRITE, &[Code::NameInvalid, Code::OverQuota]];
}

/// List the providers that people sign in with
///
/// The operator configures them. Empty if there are none.
#[utoipa::path(get, path = paths::SIGN_IN, tag = "sign-in", operation_id = "sign_in_providers", security(()),
    responses((status = 200, body = SignInProvidersView, description = "The providers."), UnauthenticatedErrors))]
async fn sign_in_providers(
    State(api): State<Api>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Json<SignInProvidersView> {
    let view = |provider: &Provider| SignInProviderView {
        name: provider.name().clone(),
        title: provider.title().to_owned(),
        device: provider.has_device_flow(),
    };
    Json(SignInProvidersView { providers: api.providers().all().iter().map(view).collect() })
}

/// Begin a sign-in through a browser on the client's machine
///
/// The client opens the address in a browser and waits on 127.0.0.1 for what the provider sends back (RFC 8252). Nothing is stored.
#[utoipa::path(post, path = paths::SIGN_IN_BROWSER, tag = "sign-in", operation_id = "begin_browser_sign_in", security(()),
    request_body = BeginBrowserSignInRequest,
    responses((status = 200, body = BeginBrowserSignInResponse, description = "The address, and the sealed state."), BeginSignInErrors))]
async fn begin_browser_sign_in(
    State(api): State<Api>,
    QueryParams(NoParams): QueryParams<NoParams>,
    extensions: Extensions,
    JsonBody(body): JsonBody<BeginBrowserSignInRequest, STRANGER_BODY>,
) -> Result<Json<BeginBrowserSignInResponse>, ApiError> {
    let mut errors = FieldErrors::default();
    if body.port == 0 {
        errors.add("port", "expected a number from 1 to 65535");
    }
    errors.into_result()?;
    let origin = SignInOrigin::of(&extensions);
    let start = start(&api, &body.provider, body.link)?;
    let redirect = start.provider.loopback_redirect(body.port);
    let begun = flow::begin_in_browser(&api, &origin, start, ClientKind::CommandLine, redirect).await?;
    Ok(Json(BeginBrowserSignInResponse {
        authorization_url: begun.url,
        state: begun.state,
        // This copy is not wiped, nor are those below. They become responses, which leave the process anyway.
        sign_in: begun.sealed.to_string(),
        expires_at: begun.expires_at,
    }))
}

/// Begin a sign-in with a code that is entered on another device
///
/// For machines without a browser (RFC 8628). The operator has to enable it for the provider. Nothing is stored.
#[utoipa::path(post, path = paths::SIGN_IN_DEVICE, tag = "sign-in", operation_id = "begin_device_sign_in", security(()),
    request_body = BeginDeviceSignInRequest,
    responses((status = 200, body = BeginDeviceSignInResponse, description = "The code, and the sealed state."), BeginSignInErrors))]
async fn begin_device_sign_in(
    State(api): State<Api>,
    QueryParams(NoParams): QueryParams<NoParams>,
    extensions: Extensions,
    JsonBody(body): JsonBody<BeginDeviceSignInRequest, STRANGER_BODY>,
) -> Result<Json<BeginDeviceSignInResponse>, ApiError> {
    let origin = SignInOrigin::of(&extensions);
    let start = start(&api, &body.provider, body.link)?;
    let begun = flow::begin_on_device(&api, &origin, start).await?;
    Ok(Json(BeginDeviceSignInResponse {
        user_code: begun.user_code,
        verification_uri: begun.verification_uri,
        verification_uri_complete: begun.verification_uri_complete,
        interval_seconds: begun.interval,
        sign_in: begun.sealed.to_string(),
        expires_at: begun.expires_at,
    }))
}

fn start<'a>(api: &'a Api, provider: &str, link: bool) -> Result<SignInStart<'a>, ApiError> {
    let name: ProviderName = parse_name("provider", provider)?;
    let purpose = if link { SignInPurpose::Link(None) } else { SignInPurpose::SignIn };
    Ok(SignInStart { provider: flow::find_provider(api, name.as_str())?, purpose, next: String::new() })
}

/// Prove who signs in
///
/// With what the browser brought back, or by asking the provider whether the device code was entered. The response has the proof for
/// one token, or for linking the account.
#[utoipa::path(post, path = paths::SIGN_IN_PROOF, tag = "sign-in", operation_id = "prove_sign_in", security(()),
    request_body = ProveSignInRequest,
    responses((status = 200, body = ProveSignInResponse, description = "The proof, or when to ask again."), ProveSignInErrors))]
async fn prove_sign_in(
    State(api): State<Api>,
    QueryParams(NoParams): QueryParams<NoParams>,
    extensions: Extensions,
    JsonBody(body): JsonBody<ProveSignInRequest, STRANGER_BODY>,
) -> Result<Json<ProveSignInResponse>, ApiError> {
    let origin = SignInOrigin::of(&extensions);
    let ProveSignInRequest { sign_in, code, state, iss, error } = body;
    let (sign_in, code) = (Zeroizing::new(sign_in), code.map(Zeroizing::new));
    let answer = CodeAnswer { code, state, iss, error };
    let proof = match flow::prove(&api, &origin, AnswerPlace::CommandLine, &sign_in, answer).await? {
        SignInProgress::Pending { interval } => {
            let (proof, name, organizations) = (None, None, Vec::new());
            let interval_seconds = Some(interval);
            return Ok(Json(ProveSignInResponse { proof, interval_seconds, name, organizations }));
        }
        SignInProgress::Proven(proof) => proof,
    };
    let sealed = flow::seal_proof(&api, &proof)?;
    let name = proof.account.shown.as_ref().map(ToString::to_string);
    let organizations = match proof.purpose {
        SignInPurpose::Link(_) => Vec::new(),
        SignInPurpose::SignIn => {
            let request = flow::store_request(&api, &origin, proof, None);
            let organizations = api.store().sign_in_organizations(&request).await;
            organizations.map_err(|error| flow::refuse_by_store(&api, &origin, error))?
        }
    };
    let proof = Some(sealed.to_string());
    Ok(Json(ProveSignInResponse { proof, interval_seconds: None, name, organizations }))
}

/// Create a token for a person who has signed in
///
/// The proof works once. The token belongs to the member that the account is linked to, or that it becomes, and expires after the time
/// that the operator has set.
#[utoipa::path(post, path = paths::SIGN_IN_TOKEN, tag = "sign-in", operation_id = "create_sign_in_token", security(()),
    request_body = CreateSignInTokenRequest,
    responses((status = 201, body = CreateSignInTokenResponse, description = "The token. It is not shown again."), CreateSignInTokenErrors))]
async fn create_sign_in_token(
    State(api): State<Api>,
    QueryParams(NoParams): QueryParams<NoParams>,
    extensions: Extensions,
    JsonBody(body): JsonBody<CreateSignInTokenRequest, STRANGER_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let origin = SignInOrigin::of(&extensions);
    let org = body.organization.as_deref().map(|name| parse_name("organization", name)).transpose()?;
    let sealed = Zeroizing::new(body.proof);
    let is_for_token = |proof: &SealedProof| {
        // The console's proof is in a cookie, and starts a session.
        proof.purpose == SignInPurpose::SignIn && proof.method != SignInMethod::Console
    };
    let proof = flow::open_proof(&api, &sealed).filter(is_for_token);
    let proof = proof.ok_or_else(|| flow::refuse_proof(&api, &origin))?;
    let token = sign_in_token(&api, &proof)?;
    let request = flow::store_request(&api, &origin, proof, org);
    let signed_in = api.store().sign_in_for_token(&request, token).await;
    let signed_in = signed_in.map_err(|error| flow::refuse_by_store(&api, &origin, error))?;
    Ok((StatusCode::CREATED, Json(token_response(signed_in))))
}

/// The token to create: its label says how it was made, its lifetime is the operator's.
fn sign_in_token(api: &Api, proof: &SealedProof) -> Result<SignInToken, ApiError> {
    let name = &proof.account.provider;
    let lifetime = flow::find_provider(api, name.as_str())?.lifetime();
    let label: Option<Label> = format!("sign-in with {name} ({})", proof.method).parse().ok();
    Ok(SignInToken { label, lifetime })
}

fn token_response(signed_in: SignedIn<TokenIssued>) -> CreateSignInTokenResponse {
    let SignedIn { opened: TokenIssued { token, credential }, org, role, change, created, .. } = signed_in;
    CreateSignInTokenResponse {
        token: credential.to_text().to_string(),
        organization: org,
        role,
        created,
        kept_admin: match change {
            RoleChange::KeptLastAdmin { granted } => Some(granted),
            RoleChange::Unchanged | RoleChange::Changed { .. } => None,
        },
        view: token_view(token),
    }
}
