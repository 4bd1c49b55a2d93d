//! `/v1/sign-in/accounts`: the accounts at providers that sign in as the caller. Nobody sees or changes those of somebody else.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::flow;
use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::body::{JsonBody, STRANGER_BODY};
use crate::api::extract::PathParam;
use crate::api::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use crate::api::problem::{ApiError, FieldErrors};
use crate::api::query::{NoParams, QueryParams};
use crate::domain::id::LinkedAccountId;
use crate::signin::{SealedProof, SignInPurpose};
use crate::store::LinkedAccount;
use crate::wire::{Code, LinkAccountRequest, LinkedAccountView, PageView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_linked_accounts, link_account)).routes(routes!(unlink_account))
}

error_responses! {
    ListLinkedAccountsErrors = [AUTHENTICATED];
    LinkAccountErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::Unprocessable, Code::NotFound]];
    UnlinkAccountErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// List your linked accounts
///
/// Those at providers that sign in as you. There are at most ten, on one page.
#[utoipa::path(get, path = paths::ACCOUNTS, tag = "sign-in", operation_id = "list_linked_accounts",
    responses((status = 200, body = PageView<LinkedAccountView>, description = "The accounts."), ListLinkedAccountsErrors),
    security(("member" = [])))]
async fn list_linked_accounts(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<LinkedAccountView>>, ApiError> {
    let accounts = api.store().linked_accounts(&caller).await?;
    Ok(Json(PageView { items: accounts.into_iter().map(account_view).collect(), next: None }))
}

/// Link an account to yourself
///
/// From then on, whoever signs in with it is you. Only you link accounts, with a proof that was begun for it. Repeating it
/// changes nothing.
#[utoipa::path(post, path = paths::ACCOUNTS, tag = "sign-in", operation_id = "link_account", request_body = LinkAccountRequest,
    responses((status = 201, body = LinkedAccountView, description = "The linked account."), LinkAccountErrors),
    security(("member" = [])))]
async fn link_account(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<LinkAccountRequest, STRANGER_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    // Before the proof: who cannot link accounts learns nothing about it.
    api.store().permit_linking(&caller).await?;
    let sealed = Zeroizing::new(body.proof);
    // Not one of the console, whose proof is for the member who began it there.
    let is_for_link = |proof: &SealedProof| proof.purpose == SignInPurpose::Link(None);
    let proof = flow::open_proof(&api, &sealed).filter(is_for_link).ok_or_else(|| {
        let mut errors = FieldErrors::default();
        errors.add_as(
            Code::Unprocessable,
            "proof",
            "is not a proof of this store that was begun to link an account",
        );
        errors.into_result().err().unwrap_or_else(ApiError::internal)
    })?;
    let account = api.store().link_account(&caller, flow::store_proof(&api, proof)).await?;
    Ok((StatusCode::CREATED, Json(account_view(account))))
}

/// Unlink one of your accounts
///
/// Sessions of the console that it started end. Tokens stay, and are revoked apart.
#[utoipa::path(delete, path = paths::ACCOUNT, tag = "sign-in", operation_id = "unlink_account",
    params(("id" = LinkedAccountId, Path)),
    responses((status = 200, body = LinkedAccountView, description = "The account that was linked."), UnlinkAccountErrors),
    security(("member" = [])))]
async fn unlink_account(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<LinkedAccountId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<LinkedAccountView>, ApiError> {
    Ok(Json(account_view(api.store().unlink_account(&caller, id).await?)))
}

fn account_view(account: LinkedAccount) -> LinkedAccountView {
    let LinkedAccount { id, provider, issuer, subject, shown, created_at, used_at } = account;
    LinkedAccountView { id, provider, issuer, subject, name: shown, created_at, used_at }
}
