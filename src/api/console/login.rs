//! The login page: a token becomes a session. Each login makes a new session and ends the one that the browser had.

use std::time::Instant;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Extensions, HeaderMap};

use super::layout::{Trouble, next_theme, show};
use super::session::{Browser, Unsigned, request_id};
use super::{cookies, redirect};
use crate::api::Api;
use crate::api::auth::count_guess;
use crate::api::middleware::Peer;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::credential::{Credential, CredentialKind};
use crate::wire::Code;

#[derive(Template)]
#[template(path = "login.html", config = "src/api/console/askama.toml")]
struct LoginPage {
    title: &'static str,
    theme: &'static str,
    next_theme: &'static str,
    here: String,
    told: Option<String>,
    next: String,
    trouble: Option<Trouble>,
}

impl LoginPage {
    fn shown(browser: Browser, next: &str, trouble: Option<Trouble>) -> Response {
        let page = Self {
            title: "Log in",
            theme: browser.theme,
            next_theme: next_theme(browser.theme),
            here: browser.here,
            told: browser.told,
            next: next.to_owned(),
            trouble,
        };
        show(Trouble::status(page.trouble.as_ref()), &page)
    }
}

/// Where to go afterwards.
pub(crate) struct Ask {
    next: Option<String>,
}

impl FromQuery for Ask {
    const NAMES: &'static [&'static str] = &["next"];

    fn read(query: &mut QueryReader) -> Self {
        Self { next: query.text("next", 2000) }
    }
}

/// The page.
pub(crate) async fn page(browser: Browser, FormQueryParams(ask): FormQueryParams<Ask>) -> Response {
    LoginPage::shown(browser, redirect::own_page(ask.next.as_deref()), None)
}

/// Takes a token.
pub(crate) async fn log_in(
    State(api): State<Api>,
    browser: Browser,
    headers: HeaderMap,
    extensions: Extensions,
    Unsigned(mut form): Unsigned,
) -> Response {
    let next = form.text("next");
    let next = redirect::own_page(next.as_deref()).to_owned();
    let token = form.secret_line("token");
    match begin(&api, &browser, &headers, &extensions, &token).await {
        Ok(key) => {
            let mut response = Redirect::to(&next).into_response();
            cookies::keep_session(&mut response, &key, browser.over_tls);
            response
        }
        Err(refused) => LoginPage::shown(browser, &next, Some(refused.into())),
    }
}

async fn begin(
    api: &Api,
    browser: &Browser,
    headers: &HeaderMap,
    extensions: &Extensions,
    token: &str,
) -> Result<crate::store::SessionKey, ApiError> {
    let source = Peer::from_extensions(extensions).address();
    api.limits().check_auth_throttle(source, Instant::now())?;
    let unauthorized = |detail: &str| ApiError::new(Code::Unauthorized, detail);
    if token.is_empty() {
        return Err(unauthorized("there is no token").hint("paste the whole token, dsm_… or dso_…"));
    }
    let credential = Credential::parse(token).map_err(|error| {
        count_guess(api, source);
        let refused = unauthorized(&error.to_string());
        match error.hint() {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    })?;
    if credential.kind == CredentialKind::Ticket {
        return Err(unauthorized("this is a boot ticket's credential, not a token"));
    }
    let (_, key) =
        api.store().log_in(&credential, source, &request_id(extensions)).await.map_err(|error| {
            if error.is_guess() {
                count_guess(api, source);
            }
            ApiError::from(error)
        })?;
    // Whatever session the browser had, it is not gone on with.
    if let Some(before) = cookies::session(headers, browser.over_tls)
        && let Ok(caller) = api.store().session(&before, source).await
    {
        api.store().log_out(&caller, &before).await?;
    }
    Ok(key)
}
