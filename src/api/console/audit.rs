//! The Audit page: the trail, searched; as JSON lines; and whether its chains are whole.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use super::layout::{Shell, Trouble, show};
use super::secret_row::{When, query, quoted};
use super::session::{Posted, Visitor};
use crate::api::Api;
use crate::api::audit::{entry_view, stream_entries};
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::audit::AuditAction;
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::{AuditFilter, AuditItem, Cursor, PageAsk, Verification};

const ROWS: usize = 50;
/// Details that a page leaves out; the export has them.
const ASIDE: &[&str] = &["request", "digest", "revision"];

#[derive(Template)]
#[template(path = "audit.html", config = "src/api/console/askama.toml")]
struct AuditPage {
    shell: Shell,
    ask: Asked,
    actions: Vec<&'static str>,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
    export: String,
    may_verify: bool,
    verified: Option<Verified>,
    trouble: Option<Trouble>,
}

#[derive(Default)]
struct Asked {
    q: String,
    action: String,
    actor: String,
    since: String,
    until: String,
}

struct Row {
    at: When,
    actor: String,
    actor_kind: String,
    action: String,
    outcome: String,
    target_kind: String,
    target: String,
    details: Vec<(String, String)>,
}

struct Verified {
    ok: bool,
    entries: u64,
    chains: Vec<Chain>,
}

struct Chain {
    id: String,
    length: u64,
    state: &'static str,
    fault: String,
}

/// Parameters of the page and of the export.
pub(crate) struct Ask {
    filter: AuditFilter,
    shown: Asked,
    cursor: Option<Cursor>,
}

impl FromQuery for Ask {
    const NAMES: &'static [&'static str] = &["q", "action", "actor", "since", "until", "cursor"];

    fn read(query: &mut QueryReader) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (since, until) = (query.text("since", 40), query.text("until", 40));
        let filter = AuditFilter {
            q: query.text("q", 200),
            action: query.word("action", 64, |byte| matches!(byte, b'a'..=b'z' | b'_' | b'.')),
            actor: query.text("actor", 64),
            since: since.as_deref().and_then(|text| query.check("since", moment(text))),
            until: until.as_deref().and_then(|text| query.check("until", moment(text))),
            ..AuditFilter::default()
        };
        let shown = Asked {
            q: text(&filter.q),
            action: text(&filter.action),
            actor: text(&filter.actor),
            since: text(&since),
            until: text(&until),
        };
        Self { filter, shown, cursor: query.cursor() }
    }
}

/// What a browser's field for date and time gives, as UTC; or a whole time.
fn moment(text: &str) -> Result<Timestamp, &'static str> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    whole.parse().map_err(|_| "expected a date and time, in UTC")
}

impl Asked {
    fn link(&self, path: &str, cursor: Option<String>) -> String {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let pairs = [
            ("q", text(&self.q)),
            ("action", text(&self.action)),
            ("actor", text(&self.actor)),
            ("since", text(&self.since)),
            ("until", text(&self.until)),
            ("cursor", cursor),
        ];
        format!("{path}{}", query(&pairs))
    }

    fn cli(&self) -> String {
        let mut line = "dropsafe audit".to_owned();
        for (flag, text) in [("--text", &self.q), ("--action", &self.action), ("--actor", &self.actor)] {
            if !text.is_empty() {
                line.push_str(&format!(" {flag} {}", quoted(text)));
            }
        }
        line
    }
}

impl Row {
    fn of(item: AuditItem) -> Self {
        let view = entry_view(item);
        Self {
            at: When::of(view.at),
            actor: view.actor,
            actor_kind: view.actor_kind,
            action: view.action,
            outcome: view.outcome,
            target_kind: view.target_kind.unwrap_or_default(),
            target: view.target.or(view.target_id).unwrap_or_default(),
            details: view.details.into_iter().filter(|(key, _)| !ASIDE.contains(&key.as_str())).collect(),
        }
    }
}

/// The page.
pub(crate) async fn page(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<Ask>,
) -> Result<Response, ApiError> {
    shown(&api, &visitor, ask, None, None).await
}

async fn shown(
    api: &Api,
    visitor: &Visitor,
    ask: Ask,
    verified: Option<Verified>,
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let first = ask.cursor.is_some().then(|| ask.shown.link("/console/audit", None));
    let page_ask = PageAsk { cursor: ask.cursor, limit: Some(ROWS) };
    let found = api.store().audit(&visitor.caller, &ask.filter, page_ask).await?;
    let page = AuditPage {
        shell: Shell::new(visitor, "Audit", "/console/audit")
            .cli([ask.shown.cli(), "dropsafe audit verify".to_owned()]),
        actions: AuditAction::ALL.iter().map(|action| action.as_str()).collect(),
        rows: found.items.into_iter().map(Row::of).collect(),
        next: found.next.map(|next| ask.shown.link("/console/audit", Some(next.to_string()))),
        first,
        export: ask.shown.link("/console/audit/export", None),
        may_verify: visitor.may(Action::VerifyAudit),
        verified,
        trouble,
        ask: ask.shown,
    };
    Ok(show(Trouble::status(page.trouble.as_ref()), &page))
}

/// Verifies every chain.
pub(crate) async fn verify(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    let ask = Ask { filter: AuditFilter::default(), shown: Asked::default(), cursor: None };
    let Verification { ok, entries, chains } = match api.store().verify_audit(&visitor.caller).await {
        Ok(verification) => verification,
        Err(error) => return shown(&api, &visitor, ask, None, Some(ApiError::from(error).into())).await,
    };
    let chains = chains.into_iter().map(|chain| Chain {
        id: chain.id,
        length: chain.length,
        state: chain.state.as_str(),
        fault: chain.fault.unwrap_or_default(),
    });
    let verified = Verified { ok, entries, chains: chains.collect() };
    shown(&api, &visitor, ask, Some(verified), None).await
}

/// What the filter admits, as JSON lines, newest first.
pub(crate) async fn export(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<Ask>,
) -> Result<Response, ApiError> {
    let lines = stream_entries(&api, visitor.caller, ask.filter).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.jsonl\""),
    ];
    Ok((StatusCode::OK, headers, lines).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browsers_times_are_read_as_utc() {
        for text in ["2026-11-22", "2026-11-22T11:04", "2026-11-22T11:04:05", "2026-11-22T11:04:05Z"] {
            assert!(moment(text).is_ok(), "{text}");
        }
        assert!(moment("yesterday").is_err());
    }
}
