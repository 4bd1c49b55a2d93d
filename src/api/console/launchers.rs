//! The Launchers page: the platforms that an admin authorized, and the buttons that accept them and withdraw that.

use askama::Template;
use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};

use super::display::DisplayTime;
use super::form_options::first_rows;
use super::layout::{ErrorNotice, Layout, render};
use super::multipart::MultipartForm;
use super::redirect;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::Api;
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::domain::id::MemberId;
use crate::domain::name::MemberName;
use crate::domain::role::Action;
use crate::store;
use crate::wire::Code;

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/console/launchers", get(show_launchers))
        .route("/console/launchers/{name}/accept", post(accept))
        .route("/console/launchers/{name}/withdraw", post(withdraw))
}

/// The list and its forms.
#[derive(Template)]
#[template(path = "launchers.html", config = "src/api/console/askama.toml")]
struct LaunchersPage {
    layout: Layout,
    rows: Vec<LauncherRow>,
    may_accept: bool,
    error: Option<ErrorNotice>,
}

/// A launcher, with what tells it from another one of the same name.
pub(crate) struct LauncherRow {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The admin who authorized it.
    pub(crate) author: String,
    pub(crate) created: DisplayTime,
    pub(crate) enrolled: Option<DisplayTime>,
    /// The address that redeemed its enrolment; empty if unknown.
    pub(crate) enrolled_from: String,
    pub(crate) accepted: Option<DisplayTime>,
}

impl LauncherRow {
    pub(crate) fn new(launcher: store::Launcher) -> Self {
        Self {
            id: launcher.id.to_string(),
            name: launcher.name.to_string(),
            author: launcher.author.map_or_else(|| "an admin".to_owned(), |author| author.to_string()),
            created: DisplayTime::new(launcher.created_at),
            enrolled: launcher.enrolled_at.map(DisplayTime::new),
            enrolled_from: launcher.enrolled_from.map(|from| from.to_string()).unwrap_or_default(),
            accepted: launcher.accepted_at.map(DisplayTime::new),
        }
    }
}

/// Displays the page.
async fn show_launchers(session: BrowserSession) -> PageResult {
    render_launchers(&session, None).await
}

async fn render_launchers(session: &BrowserSession, error: Option<ApiError>) -> PageResult {
    let found = session.store().list_launchers(&session.caller, first_rows()).await?;
    let error = error.map(ErrorNotice::from);
    let page = LaunchersPage {
        layout: Layout::new(session, "Launchers", "/console/tickets").with_cli([
            "dropsafe launcher list",
            "dropsafe launcher accept NAME",
            "dropsafe launcher withdraw NAME",
        ]),
        rows: found.items.into_iter().map(LauncherRow::new).collect(),
        may_accept: session.may(Action::AcceptLauncher),
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page).into_response())
}

/// Accepts the launcher that the page displayed.
async fn accept(PathParam(name): PathParam<MemberName>, CsrfForm { session, form }: CsrfForm) -> PageResult {
    let accepted = async {
        let id = displayed_id(&form)?;
        Ok(session.store().accept_launcher(&session.caller, &name, id).await?)
    };
    match accepted.await {
        Ok(_) => {
            let message = format!("{name} can now start machines with your secrets.");
            Ok(redirect::with_message(&session, "/console/launchers", &message))
        }
        Err(error) => render_launchers(&session, Some(error)).await,
    }
}

/// Withdraws the acceptance.
async fn withdraw(PathParam(name): PathParam<MemberName>, CsrfForm { session, .. }: CsrfForm) -> PageResult {
    match session.store().withdraw_acceptance(&session.caller, &name).await {
        Ok(_) => {
            let message = format!("{name} no longer acts for you. Its tickets for you are revoked.");
            Ok(redirect::with_message(&session, "/console/launchers", &message))
        }
        Err(error) => render_launchers(&session, Some(error.into())).await,
    }
}

/// The launcher that was on the page, so that another one that has its name now is not accepted.
fn displayed_id(form: &MultipartForm) -> Result<MemberId, ApiError> {
    let id = form.text("id").and_then(|id| id.parse().ok());
    id.ok_or_else(|| {
        ApiError::new(Code::Unprocessable, "the form has no launcher").hint("open the page again")
    })
}
