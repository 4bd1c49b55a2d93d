//! Creating and revoking tokens, on the page of the members. Only the response that creates a token contains its text.

use axum::Router;
use axum::routing::post;

use super::credential_form::parse_duration;
use super::members::{IssuedCredential, IssuedToken, render_members};
use super::multipart::MultipartForm;
use super::redirect;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::{Api, tokens};
use crate::domain::id::TokenId;
use crate::wire;

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/console/tokens", post(create)).route("/console/tokens/{id}/revoke", post(revoke))
}

/// Creates a token and displays it.
async fn create(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let result = issue_token(&session, &form).await;
    render_members(&session, result.map(|token| Some(IssuedCredential::Token(token)))).await
}

async fn issue_token(session: &BrowserSession, form: &MultipartForm) -> Result<IssuedToken, ApiError> {
    // Without a member, the token is for the member who is logged in.
    let body = wire::CreateTokenRequest {
        member: form.text("member").filter(|name| !name.is_empty()).map(Into::into),
        ttl_seconds: parse_duration(form, "ttl", "unit")?,
        label: form.text("label").map(Into::into),
        metrics: false,
    };
    let key = form.text("idempotency_key");
    let created = tokens::issue_token(&session.api, &session.caller, body, key.as_deref()).await?;
    Ok(IssuedToken {
        member: created.view.member.map(|name| name.to_string()).unwrap_or_default(),
        token: created.token,
    })
}

/// Revokes a token.
async fn revoke(PathParam(id): PathParam<TokenId>, CsrfForm { session, .. }: CsrfForm) -> PageResult {
    match session.store().revoke_token(&session.caller, id).await {
        Ok(_) => {
            // If this session started with the token, it has ended too, and the redirect leads to the login page.
            let message = "The token is revoked, and the sessions that it started have ended.";
            Ok(redirect::with_message(&session, "/console/members", message))
        }
        Err(error) => render_members(&session, Err(error.into())).await,
    }
}
