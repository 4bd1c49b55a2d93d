//! Making and revoking tokens, on the page of the members. A token's text is in one answer only.

use axum::extract::State;
use axum::response::Response;

use super::members::{Issued, shown};
use super::multipart::Form;
use super::redirect;
use super::session::Posted;
use super::tickets::not_a_number;
use crate::api::Api;
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::tokens::issue_token;
use crate::domain::id::TokenId;
use crate::wire;

/// A new key for a form that shows a credential: sent twice, it makes one.
pub(crate) fn once(api: &Api) -> String {
    let mut bytes = [0_u8; 16];
    api.fill_random(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

/// How long something lives: a number in the field `ttl`, of the unit in `unit`.
pub(crate) fn seconds(form: &Form) -> Result<Option<u64>, ApiError> {
    let Some(text) = form.text("ttl") else { return Ok(None) };
    let number: u64 = text.parse().map_err(|_| not_a_number("lifetime"))?;
    let unit: u64 = match form.text("unit").as_deref() {
        Some("minutes") => 60,
        Some("days") => 24 * 3600,
        _ => 3600,
    };
    number.checked_mul(unit).map(Some).ok_or_else(|| not_a_number("lifetime"))
}

/// Makes a token, and shows it.
pub(crate) async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let body = async {
        let body = wire::CreateTokenRequest {
            member: form.text("member"),
            ttl_seconds: seconds(&form)?,
            label: form.text("label"),
        };
        issue_token(&api, &visitor.caller, body, form.text("once").as_deref()).await
    };
    let (issued, trouble) = match body.await {
        Ok(made) => (Some(Issued { member: made.view.member.unwrap_or_default(), token: made.token }), None),
        Err(refused) => (None, Some(refused.into())),
    };
    shown(&api, &visitor, issued, trouble).await
}

/// Revokes one.
pub(crate) async fn revoke(
    State(api): State<Api>,
    PathParam(id): PathParam<TokenId>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    match api.store().revoke_token(&visitor.caller, id).await {
        Ok(_) => {
            let what = "The token is revoked, and sessions that it began are over.";
            Ok(redirect::done(&visitor, "/console/members", what))
        }
        Err(error) => shown(&api, &visitor, None, Some(ApiError::from(error).into())).await,
    }
}
