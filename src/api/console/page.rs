//! What all pages have around them, and a page as an answer.

use askama::Template;
use axum::response::Html;
use axum::response::IntoResponse;
use axum::response::Response;
use http::StatusCode;

use super::super::problem::Refused;
use super::visitor::Visitor;
use crate::domain::role::Action;
use crate::domain::role::Role;
use crate::wire::Code;
use crate::wire::Problem;

/// The frame of a page: who looks at it, where it stands, and what there is to say.
pub(super) struct Shell {
    pub(super) title: String,
    pub(super) nav: Vec<Place>,
    pub(super) theme: &'static str,
    /// What the next press of the theme's button chooses.
    pub(super) next_theme: &'static str,
    pub(super) here: String,
    /// The member's name, or `operator`.
    pub(super) who: String,
    pub(super) role: &'static str,
    pub(super) org: String,
    pub(super) locked: bool,
    pub(super) operator: bool,
    /// For the forms of the page.
    pub(super) form: String,
    pub(super) told: Option<String>,
    /// The same by the command line, a line each.
    pub(super) cli: Vec<String>,
}

/// A place of the navigation.
pub(super) struct Place {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) icon: &'static str,
    pub(super) current: bool,
}

impl Shell {
    pub(super) fn new(visitor: &Visitor, title: &str, path: &'static str) -> Self {
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
    pub(super) fn cli<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.cli = lines.into_iter().map(Into::into).collect();
        self
    }
}

/// System, light, dark, and around again.
pub(super) fn next_theme(theme: &str) -> &'static str {
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
pub(super) struct Trouble {
    pub(super) detail: String,
    pub(super) hint: String,
    pub(super) faults: Vec<String>,
    pub(super) status: StatusCode,
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        let problem = refused.problem();
        Self::of(problem)
    }
}

impl Trouble {
    pub(super) fn of(problem: &Problem) -> Self {
        // One fault is told by the detail itself.
        let faults = if problem.errors.len() > 1 { problem.errors.as_slice() } else { &[] };
        Self {
            detail: sentence(&problem.detail),
            hint: problem.hint.as_deref().map(sentence).unwrap_or_default(),
            faults: faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect(),
            status: StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }

    /// The status of a page that has it.
    pub(super) fn status(trouble: Option<&Self>) -> StatusCode {
        trouble.map_or(StatusCode::OK, |trouble| trouble.status)
    }
}

/// Messages of programs, as a sentence for people.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = letters.next().map(char::to_uppercase).into_iter().flatten().collect();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '?', '!', '…']) {
        sentence.push('.');
    }
    sentence
}

/// A page as an answer.
pub(super) fn show<T: Template>(status: StatusCode, page: &T) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => {
            tracing::error!("a page could not be written");
            Refused::new(Code::Internal, "the page could not be written").into_response()
        }
    }
}
