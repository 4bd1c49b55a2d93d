//! The enrolment page: a new member redeems a code for a first token, and is logged in with it. The code arrives in the address's
//! fragment, which no browser sends, and leaves the page in the body of a form. The token is displayed once.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::{Extensions, StatusCode};

use super::cookies;
use super::form_options::first_rows;
use super::launchers::LauncherRow;
use super::layout::{ErrorNotice, next_theme, render};
use super::session::{Browser, SameOriginForm, request_id};
use crate::api::auth::charge_failure;
use crate::api::problem::ApiError;
use crate::api::request_marks::Peer;
use crate::api::{Api, enrolments};
use crate::domain::credential::Credential;
use crate::domain::role::Action;
use crate::store::{Caller, Redemption, SessionKey};
use crate::wire::Code;

/// The form, or the token.
#[derive(Template)]
#[template(path = "enroll.html", config = "src/api/console/askama.toml")]
struct EnrolmentPage {
    title: &'static str,
    theme: &'static str,
    next_theme: &'static str,
    /// This page's own address, to which the theme button returns.
    here: String,
    flash: Option<String>,
    issued: Option<FirstToken>,
    error: Option<ErrorNotice>,
}

/// The member's first token. Only this response displays it.
struct FirstToken {
    member: String,
    token: String,
    /// Absent if there is nothing to accept.
    launchers: Option<OfferedLaunchers>,
}

/// The launchers that the new member may accept, and the hidden field of their forms.
struct OfferedLaunchers {
    csrf_token: String,
    rows: Vec<LauncherRow>,
}

fn render_enrolment(browser: Browser, result: Result<Option<FirstToken>, ApiError>) -> Response {
    let (status, issued, error) = match result {
        Ok(Some(issued)) => (StatusCode::CREATED, Some(issued), None),
        Ok(None) => (StatusCode::OK, None, None),
        Err(error) => {
            let error = ErrorNotice::from(error);
            (error.status, None, Some(error))
        }
    };
    let page = EnrolmentPage {
        title: "Enrolment",
        theme: browser.theme,
        next_theme: next_theme(browser.theme),
        here: browser.here,
        flash: browser.flash,
        issued,
        error,
    };
    render(status, &page)
}

/// Displays the form. A link's code stays in the browser: a script moves it from the fragment into the form.
pub(crate) async fn show_enrolment(browser: Browser) -> Response {
    render_enrolment(browser, Ok(None))
}

/// Redeems a code, logs in, and displays the token.
pub(crate) async fn redeem(
    State(api): State<Api>,
    browser: Browser,
    extensions: Extensions,
    SameOriginForm(mut form): SameOriginForm,
) -> Response {
    // Taken out of the form, so that it is wiped at the end and nothing can write it into the page.
    let code = form.take_secret_line("code");
    let over_tls = browser.over_tls;
    let source = Peer::from_extensions(&extensions).address();
    let issued = async {
        let code = parse_code(&code).map_err(|error| charge_failure(&api, source, error))?;
        enrolments::redeem(&api, &extensions, &code, Redemption::default()).await
    };
    let issued = match issued.await {
        Ok(issued) => issued,
        Err(error) => return render_enrolment(browser, Err(error)),
    };
    let session = api.store().log_in(&issued.credential, source, &request_id(&extensions)).await;
    let launchers = match &session {
        Ok((caller, key)) => offer_launchers(&api, caller, key).await,
        Err(_) => None,
    };
    let mut response = render_enrolment(
        browser,
        Ok(Some(FirstToken {
            launchers,
            member: issued.token.member.map(|member| member.to_string()).unwrap_or_default(),
            token: issued.credential.to_text().to_string(),
        })),
    );
    // The code is spent. A member who cannot be logged in now still has the token.
    if let Ok((_, key)) = session {
        cookies::set_session(&mut response, &key, over_tls);
    }
    response
}

/// Lists the launchers that can be accepted, so that one click is enough.
async fn offer_launchers(api: &Api, caller: &Caller, key: &SessionKey) -> Option<OfferedLaunchers> {
    let may_accept = caller.may(Action::AcceptLauncher);
    // A failure here must not cost the member the token, which no other page displays.
    let found = api.store().list_launchers(caller, first_rows()).await.ok().filter(|_| may_accept)?;
    let enrolled = found.items.into_iter().filter(|launcher| launcher.enrolled_at.is_some());
    let mut rows: Vec<_> = enrolled.map(LauncherRow::new).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    (!rows.is_empty()).then(|| OfferedLaunchers { csrf_token: key.form_token(), rows })
}

fn parse_code(text: &str) -> Result<Credential, ApiError> {
    Credential::parse_enrolment(text).map_err(|error| {
        let refusal = ApiError::new(Code::Unauthorized, error.to_string());
        match error.hint() {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    })
}
