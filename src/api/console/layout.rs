//! What surrounds every page: navigation, the session's member, messages and errors. Also renders templates.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

use super::display::capitalize;
use super::session::BrowserSession;
use crate::api::problem::ApiError;
use crate::domain::role::{Action, MemberKind, Role};
use crate::wire::{Code, Problem};

/// The data of `base.html`, which every page with a session extends.
pub(crate) struct Layout {
    pub(crate) title: String,
    pub(crate) nav: Vec<NavItem>,
    pub(crate) theme: &'static str,
    /// The theme that the theme button switches to.
    pub(crate) next_theme: &'static str,
    /// This page's own address, to return to after an action; empty on the response to a form.
    pub(crate) here: String,
    /// The member's name, or `operator`.
    pub(crate) who: String,
    pub(crate) role: &'static str,
    pub(crate) org: String,
    pub(crate) locked: bool,
    pub(crate) operator: bool,
    /// The hidden field of every form on the page.
    pub(crate) csrf_token: String,
    /// The message that the last action left for this page.
    pub(crate) flash: Option<String>,
    /// Commands that do the same as the page, one per line.
    pub(crate) cli: Vec<String>,
}

/// A link of the navigation.
pub(crate) struct NavItem {
    pub(crate) path: &'static str,
    pub(crate) name: &'static str,
    /// A name that the macro `icon` draws.
    pub(crate) icon: &'static str,
    pub(crate) current: bool,
}

impl Layout {
    /// Describes the surroundings of a page. `path` is the navigation link to highlight.
    pub(crate) fn new(session: &BrowserSession, title: &str, path: &'static str) -> Self {
        let browser = &session.browser;
        Self {
            title: title.to_owned(),
            nav: navigation(session, path),
            theme: browser.theme,
            next_theme: next_theme(browser.theme),
            here: browser.here.clone(),
            who: session.caller.member().map_or_else(|| "operator".to_owned(), |(_, name)| name.to_string()),
            role: session.caller.role().map_or("", |role| role.as_str()),
            org: session.caller.org().map_or_else(String::new, |(_, name)| name.to_string()),
            locked: session.locked,
            operator: session.is_operator(),
            csrf_token: session.key.form_token(),
            flash: browser.flash.clone(),
            cli: Vec::new(),
        }
    }

    /// Adds the commands that do the same as the page.
    pub(crate) fn with_cli<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.cli = lines.into_iter().map(Into::into).collect();
        self
    }
}

/// Returns the theme after `theme` in the order system, light, dark.
pub(crate) fn next_theme(theme: &str) -> &'static str {
    match theme {
        "light" => "dark",
        "dark" => "system",
        _ => "light",
    }
}

/// Returns the links to the pages that this member can use.
fn navigation(session: &BrowserSession, current: &str) -> Vec<NavItem> {
    // The operator belongs to no organization, so pages about an organization's data would all answer 403.
    let in_org = !session.is_operator();
    let deposits = session.caller.role() != Some(Role::Auditor);
    let audit = session.may(Action::ReadOwnAudit) || session.may(Action::ReadStoreAudit);
    // The same page serves both: without the right to list members it has tokens only.
    let members = if session.may(Action::ListMembers) { "Members" } else { "Tokens" };
    let signs_in =
        session.caller.kind() == Some(MemberKind::Person) && !session.api.providers().all().is_empty();
    let all = [
        ("/console/secrets", "Secrets", "key", in_org),
        ("/console/import", "Import", "import", in_org && deposits),
        ("/console/plugins", "Plugins", "plug", in_org),
        ("/console/boots", "Boots", "power", in_org),
        ("/console/tickets", "Tickets", "ticket", in_org),
        ("/console/members", members, "people", true),
        ("/console/sign-in", "Sign-in", "person", signs_in),
        ("/console/audit", "Audit log", "list", audit),
        ("/console/settings", "Settings", "sliders", in_org),
        ("/console/status", "Status", "pulse", true),
    ];
    // Hiding a link protects nothing: the store decides again on each request.
    let visible = all.into_iter().filter(|(.., visible)| *visible);
    visible.map(|(path, name, icon, _)| NavItem { path, name, icon, current: path == current }).collect()
}

/// ReleaseReason a form was refused. It is displayed above that form.
pub(crate) struct ErrorNotice {
    pub(crate) detail: String,
    /// What to do about it; empty if the API gives no hint.
    pub(crate) hint: String,
    /// The fields at fault, if there is more than one.
    pub(crate) faults: Vec<String>,
    pub(crate) status: StatusCode,
}

impl From<ApiError> for ErrorNotice {
    fn from(error: ApiError) -> Self {
        Self::new(error.problem())
    }
}

impl ErrorNotice {
    /// Describes a problem of the API for people.
    pub(crate) fn new(problem: &Problem) -> Self {
        // The detail of a problem with one fault already is that fault; a list would repeat it.
        let faults = if problem.errors.len() > 1 { problem.errors.as_slice() } else { &[] };
        Self {
            detail: capitalize(&problem.detail),
            hint: problem.hint.as_deref().map(capitalize).unwrap_or_default(),
            faults: faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect(),
            status: StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }

    /// Returns the status of a page that displays this error, or 200 without one.
    pub(crate) fn status(error: Option<&Self>) -> StatusCode {
        error.map_or(StatusCode::OK, |error| error.status)
    }
}

/// Renders a page.
pub(crate) fn render<T: Template>(status: StatusCode, page: &T) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => {
            // The error is not logged: its text could quote what the template was given.
            tracing::error!("a page could not be rendered");
            ApiError::new(Code::Internal, "the page could not be rendered").into_response()
        }
    }
}
