//! Home, the theme, and logging out.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::session::{Browser, Posted, Unsigned, Visitor};
use super::{cookies, redirect};
use crate::api::Api;
use crate::api::problem::ApiError;

/// Where a visitor's work is.
pub(crate) async fn home(visitor: Visitor) -> Redirect {
    Redirect::to(if visitor.is_operator() { "/console/status" } else { "/console/secrets" })
}

/// Keeps the theme.
pub(crate) async fn theme(browser: Browser, Unsigned(form): Unsigned) -> Response {
    let here = form.text("here");
    let mut response = redirect::to(redirect::own_page(here.as_deref()));
    cookies::keep_theme(&mut response, &form.text("theme").unwrap_or_default(), browser.over_tls);
    response
}

/// Ends this session.
pub(crate) async fn log_out(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    api.store().log_out(&visitor.caller, &visitor.key).await?;
    Ok(out(&visitor, "You are logged out."))
}

/// Ends every session of the member.
pub(crate) async fn log_out_everywhere(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    let count = api.store().log_out_everywhere(&visitor.caller).await?;
    let what = if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") };
    Ok(out(&visitor, &format!("You are logged out everywhere: {what} ended.")))
}

fn out(visitor: &Visitor, what: &str) -> Response {
    let mut response = Redirect::to("/console/login").into_response();
    cookies::forget_session(&mut response, visitor.browser.over_tls);
    cookies::tell(&mut response, what, visitor.browser.over_tls);
    // What the browser still holds of earlier pages goes too.
    response.headers_mut().insert("clear-site-data", http::HeaderValue::from_static("\"cache\""));
    response
}
