//! The Audit log page: search, export as JSON lines, and verification.

use askama::Template;
use axum::response::IntoResponse as _;
use http::{StatusCode, header};

use super::display::{DisplayTime, encode_query, shell_quote};
use super::layout::{ErrorNotice, Layout, render};
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::audit::{entry_view, stream_entries, verify_log};
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::audit::AuditAction;
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::{AuditFilter, AuditItem, Cursor, PageAsk, RowReport, Verification};
use crate::wire::ReleasedVersionView;

/// Rows per page.
const ROWS: usize = 50;
/// Details that matter to programs only. The export has them.
const HIDDEN_DETAILS: &[&str] = &["request", "digest", "revision", "receipt", "member_id", "credential"];

/// The entries with their filter, and the result of a verification.
#[derive(Template)]
#[template(path = "audit.html", config = "src/api/console/askama.toml")]
struct AuditLogPage {
    layout: Layout,
    fields: AuditFields,
    /// Every action there is, for the filter.
    actions: Vec<&'static str>,
    rows: Vec<AuditRow>,
    /// The address of the next page, if there is one.
    next: Option<String>,
    /// The address of the first page, on any other.
    first: Option<String>,
    /// The address of the export with the same filter.
    export: String,
    may_verify: bool,
    verification: Option<VerificationResult>,
    error: Option<ErrorNotice>,
}

/// The filter as texts of its fields.
#[derive(Default)]
struct AuditFields {
    q: String,
    action: String,
    actor: String,
    secret: String,
    since: String,
    until: String,
}

/// An entry of the audit log.
struct AuditRow {
    at: DisplayTime,
    /// The actor's name or id; empty for the store itself.
    actor: String,
    /// `member`, `ticket`, `operator` …
    actor_kind: String,
    action: String,
    outcome: String,
    target_kind: String,
    target: String,
    details: Vec<(String, String)>,
    /// The name and the id of the member who created the credential that acted.
    author: Option<(String, String)>,
    /// What a boot received, with its versions.
    released: Vec<ReleasedVersionView>,
}

/// What a verification found.
struct VerificationResult {
    ok: bool,
    entries: u64,
    chains: Vec<ChainRow>,
    /// Rows that were checked. `None` if only the log was.
    rows: Option<u64>,
    /// Rows that somebody changed without the store: how many, what happened, and the table.
    row_faults: Vec<(u64, &'static str, &'static str)>,
}

/// A chain of the audit log.
struct ChainRow {
    id: String,
    length: u64,
    state: &'static str,
    /// What is wrong with it; empty if nothing is.
    fault: String,
}

/// The query of the page and of the export.
#[derive(Default)]
pub(crate) struct AuditQuery {
    filter: AuditFilter,
    fields: AuditFields,
    cursor: Option<Cursor>,
}

impl FromQuery for AuditQuery {
    const NAMES: &'static [&'static str] = &["q", "action", "actor", "secret", "since", "until", "cursor"];

    fn read(query: &mut QueryReader) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (since, until) = (query.text("since", 40), query.text("until", 40));
        let filter = AuditFilter {
            q: query.text("q", 200),
            action: query.word("action", 64, |byte| matches!(byte, b'a'..=b'z' | b'_' | b'.')),
            actor: query.text("actor", 64),
            secret: query.text("secret", 256),
            // A time that cannot be parsed is an error, not a filter that is ignored: the result would look complete.
            since: since.as_deref().and_then(|text| query.check("since", parse_utc(text))),
            until: until.as_deref().and_then(|text| query.check("until", parse_utc(text))),
            ..AuditFilter::default()
        };
        // Times go back into their fields as they came: a browser's field displays no other format than its own.
        let fields = AuditFields {
            q: text(&filter.q),
            action: text(&filter.action),
            actor: text(&filter.actor),
            secret: text(&filter.secret),
            since: text(&since),
            until: text(&until),
        };
        Self { filter, fields, cursor: query.cursor() }
    }
}

/// Parses what a browser's field for a date and time sends, as UTC, or a complete RFC 3339 time.
fn parse_utc(text: &str) -> Result<Timestamp, &'static str> {
    // HTML's "local date and time string" has no offset, and leaves out seconds that are zero.
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    whole.parse().map_err(|_| "expected a date and time in UTC")
}

impl AuditFields {
    /// Returns the address of `path` with this filter.
    fn link(&self, path: &str, cursor: Option<String>) -> String {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let pairs = [
            ("q", text(&self.q)),
            ("action", text(&self.action)),
            ("actor", text(&self.actor)),
            ("secret", text(&self.secret)),
            ("since", text(&self.since)),
            ("until", text(&self.until)),
            ("cursor", cursor),
        ];
        format!("{path}{}", encode_query(&pairs))
    }

    /// Returns the command that prints the same entries.
    fn cli(&self) -> String {
        let mut line = "dropsafe audit".to_owned();
        let flags = [
            ("--text", &self.q),
            ("--action", &self.action),
            ("--actor", &self.actor),
            ("--secret", &self.secret),
        ];
        for (flag, text) in flags {
            if !text.is_empty() {
                line.push_str(&format!(" {flag} {}", shell_quote(text)));
            }
        }
        line
    }
}

impl AuditRow {
    fn new(item: AuditItem) -> Self {
        let view = entry_view(item);
        let mut details = view.details;
        let author = view.author.and_then(|name| Some((name, details.remove("author")?)));
        let details = details.into_iter().filter(|(key, _)| !HIDDEN_DETAILS.contains(&key.as_str()));
        Self {
            at: DisplayTime::new(view.at),
            actor: view.actor,
            actor_kind: view.actor_kind,
            action: view.action,
            outcome: view.outcome,
            target_kind: view.target_kind.unwrap_or_default(),
            // The target may be gone, so entries keep its name. Entries about something unnamed have its id only.
            target: view.target.or(view.target_id).unwrap_or_default(),
            details: details.collect(),
            author,
            released: view.released.unwrap_or_default(),
        }
    }
}

/// Displays the page.
pub(crate) async fn show_audit_log(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<AuditQuery>,
) -> PageResult {
    render_audit_log(&session, query, Ok(None)).await
}

async fn render_audit_log(
    session: &BrowserSession,
    query: AuditQuery,
    result: Result<Option<VerificationResult>, ApiError>,
) -> PageResult {
    // The page of a verification lists the newest entries below, among them the verification itself.
    let AuditQuery { filter, fields, cursor } = query;
    let first = cursor.is_some().then(|| fields.link("/console/audit", None));
    let ask = PageAsk { cursor, limit: Some(ROWS) };
    let found = session.store().audit(&session.caller, &filter, ask).await?;
    let (verification, error) = match result {
        Ok(verification) => (verification, None),
        Err(error) => (None, Some(ErrorNotice::from(error))),
    };
    let page = AuditLogPage {
        layout: Layout::new(session, "Audit log", "/console/audit")
            .with_cli([fields.cli(), "dropsafe audit verify".to_owned()]),
        actions: AuditAction::ALL.iter().map(|action| action.as_str()).collect(),
        rows: found.items.into_iter().map(AuditRow::new).collect(),
        next: found.next.map(|next| fields.link("/console/audit", Some(next.to_string()))),
        first,
        export: fields.link("/console/audit/export", None),
        may_verify: session.may(Action::VerifyAudit),
        verification,
        error,
        fields,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Verifies the whole audit log, for the operator also the rows, and displays the result.
pub(crate) async fn verify(CsrfForm { session, .. }: CsrfForm) -> PageResult {
    let state = session.may(Action::VerifyState);
    let result = verify_log(&session.api, &session.caller, state).await;
    // Displayed at once instead of after a redirect: a flash message could not hold the table of chains.
    let result = result.map(|verification| Some(VerificationResult::new(verification)));
    render_audit_log(&session, AuditQuery::default(), result).await
}

impl VerificationResult {
    fn new(verification: Verification) -> Self {
        let chains = verification.chains.into_iter().map(|chain| ChainRow {
            id: chain.id,
            length: chain.length,
            state: chain.state.as_str(),
            fault: chain.fault.unwrap_or_default(),
        });
        let faults = verification.rows.iter().flat_map(RowReport::by_table);
        let row_faults = faults.map(|((table, kind), count)| (count, kind.as_str(), table)).collect();
        let (ok, entries) = (verification.ok, verification.entries);
        let rows = verification.rows.map(|rows| rows.rows);
        Self { ok, entries, chains: chains.collect(), rows, row_faults }
    }
}

/// Sends the entries that match the filter as JSON lines, newest first.
pub(crate) async fn export(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<AuditQuery>,
) -> PageResult {
    // Streamed: an export can be larger than the memory of the server.
    let lines = stream_entries(&session.api, session.caller, query.filter).await?;
    // An attachment: a browser must download it, not display text that members wrote under this origin.
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
            assert!(parse_utc(text).is_ok(), "{text}");
        }
        assert!(parse_utc("yesterday").is_err());
    }
}
