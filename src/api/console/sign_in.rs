//! Signing in with a provider, before there is a session: to the provider, back from it, and the choice of an organization.
//!
//! The session's cookie is `Strict`, so that a browser does not send it when a provider redirects here, nor with a redirect from there
//! on. So the answer to the provider's redirect is a page that leads on by itself: what it leads to comes from this site. On the way
//! out it is a page too, because a form may not lead to another site (`form-action` in the content security policy).

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{Extensions, HeaderMap, StatusCode, Uri};
use zeroize::Zeroizing;

use super::layout::{ErrorNotice, next_theme, render};
use super::login::{end_former_session, render_login};
use super::session::{Browser, SameOriginForm};
use super::{HOME, cookies, redirect};
use crate::api::Api;
use crate::api::extract::PathParam;
use crate::api::problem::{ApiError, parse_name};
use crate::api::query::foreign_parameters;
use crate::api::sign_in::flow::{self, AnswerPlace, BegunSignIn, SignInProgress, SignInStart};
use crate::api::sign_in::origin::SignInOrigin;
use crate::domain::name::{OrgName, ProviderName};
use crate::domain::provider::SignInMethod;
use crate::signin::{ClientKind, CodeAnswer, SealedProof, SignInPurpose};
use crate::store::{RoleChange, SessionKey, SignedIn};
use crate::wire::{Code, paths};

/// The page that confirms an account to link.
pub(crate) const CONFIRM: &str = "/console/sign-in/confirm";
/// Where a provider redirects browsers to.
const CALLBACK: &str = "/console/sign-in/callback/{provider}";
/// The longest address of a page to open after a sign-in. It is in a cookie.
const MAX_NEXT: usize = 300;
/// The longest parameter that a provider sends. Codes of some have one or two kilobytes.
const MAX_PARAMETER: usize = 4096;

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/console/sign-in/start", post(start))
        .route(CALLBACK, get(finish))
        .route("/console/sign-in/organization", post(choose_org))
}

/// A page that leads to another one by itself.
#[derive(Template)]
#[template(path = "leave.html", config = "src/api/console/askama.toml")]
struct LeavePage {
    title: &'static str,
    theme: &'static str,
    next_theme: &'static str,
    /// Without an address: the theme button leads home.
    here: String,
    text: String,
    url: String,
}

/// The choice of an organization.
#[derive(Template)]
#[template(path = "choose_org.html", config = "src/api/console/askama.toml")]
struct ChooseOrgPage {
    title: &'static str,
    theme: &'static str,
    next_theme: &'static str,
    here: String,
    shown: String,
    orgs: Vec<OrgName>,
    error: Option<ErrorNotice>,
}

/// Renders a page that leads on to `url`.
pub(crate) fn lead_on(browser: &Browser, title: &'static str, text: String, url: String) -> Response {
    let (theme, next_theme) = (browser.theme, next_theme(browser.theme));
    render(StatusCode::OK, &LeavePage { title, theme, next_theme, here: String::new(), text, url })
}

/// Begins a sign-in, or the linking of an account, and leads the browser to the provider.
pub(crate) async fn leave_to_provider(
    api: &Api,
    origin: &SignInOrigin,
    browser: &Browser,
    start: SignInStart<'_>,
) -> Result<Response, ApiError> {
    let title = start.provider.title().to_owned();
    let callback = paths::fill(CALLBACK, start.provider.name());
    let redirect = format!("{}{callback}", api.providers().url());
    let begun = flow::begin_in_browser(api, origin, start, ClientKind::Console, redirect).await?;
    let BegunSignIn { url, sealed, .. } = begun;
    let mut response = lead_on(browser, "Sign in", format!("You are being sent to {title}."), url);
    cookies::set_sign_in(&mut response, &sealed, browser.over_tls);
    Ok(response)
}

/// Begins a sign-in.
async fn start(
    State(api): State<Api>,
    browser: Browser,
    headers: HeaderMap,
    extensions: Extensions,
    SameOriginForm(form): SameOriginForm,
) -> Response {
    let next = form.text("next");
    let next = redirect::local_path_or_home(next.as_deref());
    // Too long for the cookie: the person finds the page again.
    let next = if next.len() <= MAX_NEXT { next.to_owned() } else { HOME.to_owned() };
    let origin = SignInOrigin::of(&extensions);
    let begun = async {
        let provider = flow::find_provider(&api, &form.text_or_empty("provider"))?;
        let former = cookies::read_session(&headers, browser.over_tls);
        // Now, because the provider's redirect will not carry the session's cookie.
        end_former_session(&api, origin.source, former).await?;
        let start = SignInStart { provider, purpose: SignInPurpose::SignIn, next: next.clone() };
        leave_to_provider(&api, &origin, &browser, start).await
    };
    match begun.await {
        Ok(mut response) => {
            cookies::clear_session(&mut response, browser.over_tls);
            response
        }
        Err(error) => render_login(&api, browser, &next, Some(error.into())),
    }
}

/// Takes the provider's answer, which the browser brings back.
async fn finish(
    State(api): State<Api>,
    browser: Browser,
    PathParam(name): PathParam<ProviderName>,
    request: Parts,
) -> Response {
    let origin = SignInOrigin::of(&request.extensions);
    let over_tls = browser.over_tls;
    let finished = async {
        let sealed = cookies::read_sign_in(&request.headers, over_tls).ok_or_else(|| no_sign_in(&api))?;
        let place = AnswerPlace::Console(&name);
        match flow::prove(&api, &origin, place, &sealed, read_answer(&request.uri)).await? {
            SignInProgress::Proven(proof) => go_on(&api, &origin, &browser, proof).await,
            // A device code never leads here.
            SignInProgress::Pending { .. } => Err(ApiError::internal()),
        }
    };
    finished.await.unwrap_or_else(|error| {
        // The address holds the provider's answer: the page must not lead back to it.
        let page = Browser { here: String::new(), ..browser };
        let mut response = render_login(&api, page, HOME, Some(error.into()));
        cookies::clear_sign_in(&mut response, over_tls);
        response
    })
}

/// Goes on with a proven person: to the console, to the choice of an organization, or to the confirmation of an account to link.
async fn go_on(
    api: &Api,
    origin: &SignInOrigin,
    browser: &Browser,
    proof: SealedProof,
) -> Result<Response, ApiError> {
    let sealed = flow::seal_proof(api, &proof)?;
    if let SignInPurpose::Link(_) = proof.purpose {
        let text = "You are being sent back to the console.".to_owned();
        let mut response = lead_on(browser, "Link an account", text, CONFIRM.to_owned());
        cookies::set_sign_in(&mut response, &sealed, browser.over_tls);
        return Ok(response);
    }
    // Before the store takes the proof.
    let (next, shown) = (proof.next.clone(), proof.account.shown.clone());
    let request = flow::store_request(api, origin, proof, None);
    let refuse = |error| flow::refuse_by_store(api, origin, error);
    let orgs = api.store().sign_in_organizations(&request).await.map_err(refuse)?;
    if orgs.len() > 1 {
        let shown = shown.map(|shown| shown.to_string()).unwrap_or_default();
        let mut response = render_choice(browser, shown, orgs, None);
        cookies::set_sign_in(&mut response, &sealed, browser.over_tls);
        return Ok(response);
    }
    let signed_in = api.store().sign_in_to_console(&request).await.map_err(refuse)?;
    let text = format!("You are signed in as {} of {}.", signed_in.member, signed_in.org);
    let mut response = lead_on(browser, "Signed in", text, next);
    set_session(&mut response, &signed_in, browser);
    Ok(response)
}

fn render_choice(
    browser: &Browser,
    shown: String,
    orgs: Vec<OrgName>,
    error: Option<ErrorNotice>,
) -> Response {
    let page = ChooseOrgPage {
        title: "Choose an organization",
        theme: browser.theme,
        next_theme: next_theme(browser.theme),
        here: String::new(),
        shown,
        orgs,
        error,
    };
    render(ErrorNotice::status(page.error.as_ref()), &page)
}

/// Signs in to the organization that the person has chosen.
async fn choose_org(
    State(api): State<Api>,
    browser: Browser,
    headers: HeaderMap,
    extensions: Extensions,
    SameOriginForm(form): SameOriginForm,
) -> Response {
    let origin = SignInOrigin::of(&extensions);
    let chosen = async {
        let sealed = cookies::read_sign_in(&headers, browser.over_tls).ok_or_else(|| no_sign_in(&api))?;
        let is_own = |proof: &SealedProof| {
            proof.purpose == SignInPurpose::SignIn && proof.method == SignInMethod::Console
        };
        let proof = flow::open_proof(&api, &sealed).filter(is_own);
        let proof = proof.ok_or_else(|| flow::refuse_proof(&api, &origin))?;
        let next = proof.next.clone();
        let org = parse_name("organization", &form.text_or_empty("organization"))?;
        let request = flow::store_request(&api, &origin, proof, Some(org));
        let signed_in = api.store().sign_in_to_console(&request).await;
        let signed_in = signed_in.map_err(|error| flow::refuse_by_store(&api, &origin, error))?;
        // This request comes from a page of the console, so that a redirect carries the new cookie.
        let mut response = Redirect::to(&next).into_response();
        set_session(&mut response, &signed_in, &browser);
        Ok::<_, ApiError>(response)
    };
    match chosen.await {
        Ok(response) => response,
        Err(error) => render_login(&api, browser, HOME, Some(error.into())),
    }
}

/// Starts the session in the browser, and says what the sign-in has changed.
fn set_session(response: &mut Response, signed_in: &SignedIn<SessionKey>, browser: &Browser) {
    cookies::clear_sign_in(response, browser.over_tls);
    cookies::set_session(response, &signed_in.opened, browser.over_tls);
    let SignedIn { member, org, role, change, created, .. } = signed_in;
    let message = match change {
        _ if *created => format!("Welcome. You are now {member}, {role} of {org}."),
        RoleChange::Changed { from } => format!("Your groups changed your role from {from} to {role}."),
        RoleChange::KeptLastAdmin { granted } => format!(
            "Your groups make you {granted}, but you are the last administrator of {org} and stay one. Appoint another one."
        ),
        RoleChange::Unchanged => return,
    };
    cookies::set_flash(response, &message, browser.over_tls);
}

/// Reads what a provider put into the address. Its description of an error is never read: it can be anything.
fn read_answer(uri: &Uri) -> CodeAnswer {
    let mut answer = CodeAnswer::default();
    let names = ["code", "state", "iss", "error"];
    for (name, value) in foreign_parameters(uri.query().unwrap_or(""), &names, MAX_PARAMETER) {
        match name {
            "code" => answer.code = Some(Zeroizing::new(value)),
            "state" => answer.state = Some(value),
            "iss" => answer.iss = Some(value),
            _ => answer.error = Some(value),
        }
    }
    answer
}

/// The error of a browser that has begun no sign-in here.
fn no_sign_in(api: &Api) -> ApiError {
    let url = api.providers().url();
    ApiError::new(Code::SignInRefused, "this browser has begun no sign-in here, or more than ten minutes ago")
        .hint(format!("sign in again, at {url}/console/login and with cookies allowed"))
}
