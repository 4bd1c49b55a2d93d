//! Home, the theme, and logging out.

use axum::response::{IntoResponse as _, Redirect, Response};
use http::HeaderValue;

use super::session::{Browser, BrowserSession, CsrfForm, PageResult, SameOriginForm};
use super::{cookies, redirect};

/// Redirects to the first page that the member can use.
pub(crate) async fn home(session: BrowserSession) -> Redirect {
    Redirect::to(if session.is_operator() { "/console/status" } else { "/console/secrets" })
}

/// Remembers the chosen theme.
pub(crate) async fn set_theme(browser: Browser, SameOriginForm(form): SameOriginForm) -> Response {
    // Without a CSRF token: the login page has the button too, and a theme can do no harm.
    let return_to = form.text("return_to");
    let mut response = Redirect::to(redirect::local_path_or_home(return_to.as_deref())).into_response();
    cookies::set_theme(&mut response, &form.text_or_empty("theme"), browser.over_tls);
    response
}

/// Ends this session.
pub(crate) async fn log_out(CsrfForm { session, .. }: CsrfForm) -> PageResult {
    session.store().log_out(&session.caller, &session.key).await?;
    Ok(redirect_to_login(&session, "You are logged out."))
}

/// Ends all sessions of the member, in every browser.
pub(crate) async fn log_out_everywhere(CsrfForm { session, .. }: CsrfForm) -> PageResult {
    let count = session.store().log_out_everywhere(&session.caller).await?;
    let sessions = if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") };
    Ok(redirect_to_login(&session, &format!("You are logged out everywhere: {sessions} ended.")))
}

fn redirect_to_login(session: &BrowserSession, message: &str) -> Response {
    let mut response = redirect::with_message(session, "/console/login", message);
    cookies::clear_session(&mut response, session.browser.over_tls);
    // `no-store` keeps pages out of the cache on disk, but not out of the one that the "back" button uses
    // (https://www.w3.org/TR/clear-site-data/). `"cookies"` would delete the message and the theme as well.
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\""));
    response
}
