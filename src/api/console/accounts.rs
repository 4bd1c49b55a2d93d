//! The Sign-in page: the accounts at providers that sign in as the member, linking one and unlinking one. An account is linked only
//! after the member has seen which one it is, in the session that began it.

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Extensions, HeaderMap, StatusCode};

use super::display::DisplayTime;
use super::layout::{ErrorNotice, Layout, render};
use super::login::ProviderButton;
use super::session::{BrowserSession, CsrfForm, PageResult};
use super::sign_in::{CONFIRM, leave_to_provider};
use super::{cookies, redirect, sign_in};
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::sign_in::flow::{self, SignInStart};
use crate::api::sign_in::origin::SignInOrigin;
use crate::signin::{SealedProof, SignInPurpose};
use crate::store::LinkedAccount;
use crate::wire::Code;

const PATH: &str = "/console/sign-in";

/// The routes of this page, and those of signing in.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route(PATH, get(show_accounts))
        .route("/console/sign-in/link", post(link))
        .route(CONFIRM, get(show_confirmation).post(confirm))
        .route("/console/sign-in/unlink", post(unlink))
        .merge(sign_in::routes())
}

/// The linked accounts, and the providers.
#[derive(Template)]
#[template(path = "accounts.html", config = "src/api/console/askama.toml")]
struct AccountsPage {
    layout: Layout,
    rows: Vec<AccountRow>,
    providers: Vec<ProviderButton>,
    error: Option<ErrorNotice>,
}

struct AccountRow {
    id: String,
    /// What the provider calls the person; else the subject.
    shown: String,
    subject: String,
    provider: String,
    issuer: String,
    created: DisplayTime,
    used: Option<DisplayTime>,
}

/// An account that is about to be linked.
#[derive(Template)]
#[template(path = "confirm_account.html", config = "src/api/console/askama.toml")]
struct ConfirmAccountPage {
    layout: Layout,
    shown: String,
    provider: String,
    issuer: String,
    subject: String,
}

impl AccountRow {
    fn new(account: LinkedAccount) -> Self {
        let LinkedAccount { id, provider, issuer, subject, shown, created_at, used_at } = account;
        Self {
            id: id.to_string(),
            shown: shown.unwrap_or_else(|| subject.clone()),
            subject,
            provider: provider.to_string(),
            issuer,
            created: DisplayTime::new(created_at),
            used: used_at.map(DisplayTime::new),
        }
    }
}

/// Displays the page.
async fn show_accounts(session: BrowserSession) -> PageResult {
    render_accounts(&session, None).await
}

async fn render_accounts(session: &BrowserSession, error: Option<ApiError>) -> PageResult {
    let accounts = session.store().linked_accounts(&session.caller).await?;
    let error = error.map(ErrorNotice::from);
    let page = AccountsPage {
        layout: Layout::new(session, "Sign-in", PATH).with_cli([
            "dropsafe login --oidc",
            "dropsafe login --oidc PROVIDER --link",
            "dropsafe login --oidc PROVIDER --unlink",
        ]),
        rows: accounts.into_iter().map(AccountRow::new).collect(),
        providers: ProviderButton::all(&session.api),
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Leads to the provider, to sign in with the account to link.
async fn link(extensions: Extensions, CsrfForm { session, form }: CsrfForm) -> PageResult {
    let (api, origin) = (&session.api, SignInOrigin::of(&extensions));
    let begun = async {
        session.store().permit_linking(&session.caller).await?;
        let provider = flow::find_provider(api, &form.text_or_empty("provider"))?;
        // The proof will be for this member, whoever uses the browser when it comes back.
        let purpose = SignInPurpose::Link(session.caller.member().map(|(id, _)| id));
        let start = SignInStart { provider, purpose, next: PATH.to_owned() };
        leave_to_provider(api, &origin, &session.browser, start).await
    };
    match begun.await {
        Ok(response) => Ok(response),
        Err(error) => render_accounts(&session, Some(error)).await,
    }
}

/// Displays which account the provider has proved.
async fn show_confirmation(headers: HeaderMap, session: BrowserSession) -> PageResult {
    session.store().permit_linking(&session.caller).await?;
    let proof = match own_proof(&session, &headers) {
        Ok(proof) => proof,
        Err(error) => return render_accounts(&session, Some(error)).await,
    };
    let account = proof.account;
    let subject = account.subject.to_string();
    let page = ConfirmAccountPage {
        layout: Layout::new(&session, "Link an account", PATH),
        shown: account.shown.map_or_else(|| subject.clone(), |shown| shown.to_string()),
        provider: account.provider.to_string(),
        issuer: account.issuer.to_string(),
        subject,
    };
    Ok(render(StatusCode::OK, &page))
}

/// Links the account.
async fn confirm(headers: HeaderMap, CsrfForm { session, .. }: CsrfForm) -> PageResult {
    let linked = async {
        session.store().permit_linking(&session.caller).await?;
        let proof = own_proof(&session, &headers)?;
        let proof = flow::store_proof(&session.api, proof);
        Ok(session.store().link_account(&session.caller, proof).await?)
    };
    match linked.await {
        Ok(account) => {
            let message = format!("You can now sign in with {}.", account.provider);
            let response = redirect::with_message(&session, PATH, &message);
            Ok(without_sign_in(response, &session))
        }
        Err(error) => Ok(without_sign_in(render_accounts(&session, Some(error)).await?, &session)),
    }
}

/// Unlinks an account.
async fn unlink(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let unlinked = async {
        let id = form.text("id").and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| {
            ApiError::new(Code::Unprocessable, "the form has no account").hint("open the page again")
        })?;
        Ok(session.store().unlink_account(&session.caller, id).await?)
    };
    match unlinked.await {
        Ok(account) => {
            // If it started this session, the redirect leads to the login page.
            let message = format!("Unlinked {}. Sessions that it started have ended.", account.provider);
            Ok(redirect::with_message(&session, PATH, &message))
        }
        Err(error) => render_accounts(&session, Some(error)).await,
    }
}

/// The proof in the browser's cookie, if it was begun by the member who is logged in.
fn own_proof(session: &BrowserSession, headers: &HeaderMap) -> Result<SealedProof, ApiError> {
    let sealed = cookies::read_sign_in(headers, session.browser.over_tls);
    let proof = sealed.and_then(|sealed| flow::open_proof(&session.api, &sealed));
    let own = session.caller.member().map(|(id, _)| id);
    let proof = proof.filter(|proof| own.is_some() && proof.purpose == SignInPurpose::Link(own));
    proof.ok_or_else(|| {
        ApiError::new(
            Code::Conflict,
            "there is no account to confirm, or it waited for more than ten minutes",
        )
        .hint("link it again")
    })
}

fn without_sign_in(mut response: Response, session: &BrowserSession) -> Response {
    cookies::clear_sign_in(&mut response, session.browser.over_tls);
    response
}
