//! The login page: exchanges a token for a session. Each login creates a new session and ends the browser's former one.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Extensions, HeaderMap};

use super::layout::{ErrorNotice, next_theme, render};
use super::session::{Browser, SameOriginForm, request_id};
use super::{cookies, redirect};
use crate::api::Api;
use crate::api::auth::charge_failure;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::api::request_marks::Peer;
use crate::domain::credential::{Credential, CredentialKind};
use crate::store::SessionKey;
use crate::wire::Code;

/// The login form.
#[derive(Template)]
#[template(path = "login.html", config = "src/api/console/askama.toml")]
struct LoginPage {
    title: &'static str,
    theme: &'static str,
    next_theme: &'static str,
    /// This page's own address, to which the theme button returns.
    here: String,
    flash: Option<String>,
    /// The page to open after the login.
    next: String,
    error: Option<ErrorNotice>,
}

fn render_login(browser: Browser, next: &str, error: Option<ErrorNotice>) -> Response {
    let page = LoginPage {
        title: "Log in",
        theme: browser.theme,
        next_theme: next_theme(browser.theme),
        here: browser.here,
        flash: browser.flash,
        next: next.to_owned(),
        error,
    };
    render(ErrorNotice::status(page.error.as_ref()), &page)
}

/// The page to open after the login.
pub(crate) struct LoginQuery {
    next: Option<String>,
}

impl FromQuery for LoginQuery {
    const NAMES: &'static [&'static str] = &["next"];

    fn read(query: &mut QueryReader) -> Self {
        Self { next: query.text("next", 2000) }
    }
}

/// Displays the form.
pub(crate) async fn show_login(
    browser: Browser,
    FormQueryParams(query): FormQueryParams<LoginQuery>,
) -> Response {
    render_login(browser, redirect::local_path_or_home(query.next.as_deref()), None)
}

/// Checks a token and starts a session.
pub(crate) async fn log_in(
    State(api): State<Api>,
    browser: Browser,
    headers: HeaderMap,
    extensions: Extensions,
    SameOriginForm(mut form): SameOriginForm,
) -> Response {
    let next = form.text("next");
    // Checked again: the hidden field of the form may hold anything.
    let next = redirect::local_path_or_home(next.as_deref()).to_owned();
    // Taken out of the form, so that it is wiped at the end and nothing can write it into the page.
    let token = form.take_secret_line("token");
    let former = cookies::read_session(&headers, browser.over_tls);
    match start_session(&api, &extensions, &token, former).await {
        Ok(key) => {
            let mut response = Redirect::to(&next).into_response();
            cookies::set_session(&mut response, &key, browser.over_tls);
            response
        }
        Err(error) => render_login(browser, &next, Some(error.into())),
    }
}

/// Checks a token, starts a session and ends the former one.
async fn start_session(
    api: &Api,
    extensions: &Extensions,
    token: &str,
    former: Option<SessionKey>,
) -> Result<SessionKey, ApiError> {
    let source = Peer::from_extensions(extensions).address();
    let unauthorized = |detail: &str| ApiError::new(Code::Unauthorized, detail);
    if token.is_empty() {
        return Err(unauthorized("the token is missing").hint("paste the whole token: dsm_… or dso_…"));
    }
    // Tokens carry a checksum. A mistyped one is refused without a look into the store, but counts as a failure too.
    let credential = Credential::parse(token).map_err(|error| {
        let refusal = unauthorized(&error.to_string());
        let refusal = match error.hint() {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        };
        charge_failure(api, source, refusal)
    })?;
    if credential.kind == CredentialKind::Enrolment {
        return Err(
            unauthorized("this is an enrolment code, not a token").hint("redeem it at /console/enroll")
        );
    }
    // A ticket acts for a machine. In a console it could list what its member can see, which a boot never needs.
    if matches!(credential.kind, CredentialKind::Ticket | CredentialKind::Boot) {
        return Err(unauthorized("this is the credential of a machine, not a token"));
    }
    let started = api.store().log_in(&credential, source, &request_id(extensions)).await;
    let (_, key) = started.map_err(|error| {
        let is_denial = error.is_denial();
        let error = ApiError::from(error);
        if is_denial { charge_failure(api, source, error) } else { error }
    })?;
    // Somebody may have planted the former session (session fixation), or it belongs to the person before.
    if let Some(former) = former
        && let Ok(caller) = api.store().session(&former, source).await
    {
        api.store().log_out(&caller, &former).await?;
    }
    Ok(key)
}
