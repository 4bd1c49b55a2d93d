//! What all pages have around them, and a page as an answer.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

use super::session::Visitor;
use crate::api::problem::ApiError;
use crate::domain::role::{Action, Role};
use crate::wire::{Code, Problem};

/// The frame of a page: who looks at it, where it stands, and what there is to say.
pub(crate) struct Shell {
    pub(crate) title: String,
    pub(crate) nav: Vec<Place>,
    pub(crate) theme: &'static str,
    /// What the next press of the theme's button chooses.
    pub(crate) next_theme: &'static str,
    pub(crate) here: String,
    /// The member's name, or `operator`.
    pub(crate) who: String,
    pub(crate) role: &'static str,
    pub(crate) org: String,
    pub(crate) locked: bool,
    pub(crate) operator: bool,
    /// For the forms of the page.
    pub(crate) form: String,
    pub(crate) told: Option<String>,
    /// The same by the command line, a line each.
    pub(crate) cli: Vec<String>,
}

/// A place of the navigation.
pub(crate) struct Place {
    pub(crate) path: &'static str,
    pub(crate) name: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) current: bool,
}

impl Shell {
    pub(crate) fn new(visitor: &Visitor, title: &str, path: &'static str) -> Self {
        let browser = &visitor.browser;
        Self {
            title: title.to_owned(),
            nav: nav(visitor, path),
            theme: browser.theme,
            next_theme: next_theme(browser.theme),
            here: browser.here.clone(),
            who: visitor.caller.member().map_or_else(|| "operator".to_owned(), |(_, name)| name.to_string()),
            role: visitor.caller.role().map_or("", |role| role.as_str()),
            org: visitor.caller.org().map_or_else(String::new, |(_, name)| name.to_string()),
            locked: visitor.locked,
            operator: visitor.is_operator(),
            form: visitor.key.form_token(),
            told: browser.told.clone(),
            cli: Vec::new(),
        }
    }

    /// With the command lines that do the same.
    pub(crate) fn cli<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.cli = lines.into_iter().map(Into::into).collect();
        self
    }
}

/// System, light, dark, and around again.
pub(crate) fn next_theme(theme: &str) -> &'static str {
    match theme {
        "light" => "dark",
        "dark" => "system",
        _ => "light",
    }
}

fn nav(visitor: &Visitor, current: &str) -> Vec<Place> {
    let inside = !visitor.is_operator();
    let deposits = visitor.caller.role() != Some(Role::Auditor);
    let audit = visitor.may(Action::ReadAudit) || visitor.may(Action::ReadStoreAudit);
    let members = if visitor.may(Action::ListMembers) { "Members" } else { "Tokens" };
    let all = [
        ("/console/secrets", "Secrets", "key", inside),
        ("/console/import", "Import", "import", inside && deposits),
        ("/console/plugins", "Plugins", "plug", inside),
        ("/console/boots", "Boots", "power", inside),
        ("/console/tickets", "Tickets", "ticket", inside),
        ("/console/members", members, "people", true),
        ("/console/audit", "Audit", "list", audit),
        ("/console/status", "Status", "pulse", true),
    ];
    let shown = all.into_iter().filter(|(.., shown)| *shown);
    shown.map(|(path, name, icon, _)| Place { path, name, icon, current: path == current }).collect()
}

/// Why something was not done, above the form that it came by.
pub(crate) struct Trouble {
    pub(crate) detail: String,
    pub(crate) hint: String,
    pub(crate) errors: Vec<String>,
    pub(crate) status: StatusCode,
}

impl From<ApiError> for Trouble {
    fn from(refused: ApiError) -> Self {
        let problem = refused.problem();
        Self::of(problem)
    }
}

impl Trouble {
    pub(crate) fn of(problem: &Problem) -> Self {
        // One fault is told by the detail itself.
        let errors = if problem.errors.len() > 1 { problem.errors.as_slice() } else { &[] };
        Self {
            detail: sentence(&problem.detail),
            hint: problem.hint.as_deref().map(sentence).unwrap_or_default(),
            errors: errors.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect(),
            status: StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }

    /// The status of a page that has it.
    pub(crate) fn status(trouble: Option<&Self>) -> StatusCode {
        trouble.map_or(StatusCode::OK, |trouble| trouble.status)
    }
}

/// Messages of programs, as a sentence for people.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = letters.next().map(char::to_uppercase).into_iter().flatten().collect();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '?', '!', '…']) {
        sentence.push('.');
    }
    sentence
}

/// A page as an answer.
pub(crate) fn show<T: Template>(status: StatusCode, page: &T) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => {
            tracing::error!("a page could not be written");
            ApiError::new(Code::Internal, "the page could not be written").into_response()
        }
    }
}
