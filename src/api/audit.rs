//! `/v1/audit`: the trail and its verification.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Authenticated;
use super::openapi::{AUTHENTICATED, error_responses};
use super::page::page;
use super::problem::ApiError;
use super::query::{FromQuery, NoParams, QueryParams, QueryReader};
use super::{Api, stream};
use crate::domain::audit::AuditText;
use crate::domain::time::Timestamp;
use crate::store;
use crate::store::{AuditFilter, Caller, Cursor, PageAsk};
use crate::wire::{AuditEntryView, AuditVerificationView, ChainView, Code, PageView, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(audit)).routes(routes!(export_audit)).routes(routes!(verify_audit))
}

error_responses! {
    Listing = [AUTHENTICATED, &[Code::Unprocessable]];
    Verifying = [AUTHENTICATED];
}

/// Parameters of the list; absent ones admit all.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListAuditQuery {
    /// Part of the action, the actor's or the target's name, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    q: Option<String>,
    /// The action, such as `secret.create`, or its first part.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z_.]+$")]
    action: Option<String>,
    /// The actor's name or id.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9._@-]+$")]
    actor: Option<String>,
    /// From this time on, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before this time, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// From the former page's `next`.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// Items at most; 100 unless said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: usize,
}

impl FromQuery for ListAuditQuery {
    const NAMES: &'static [&'static str] = &["q", "action", "actor", "since", "until", "cursor", "limit"];

    fn read(query: &mut QueryReader) -> Self {
        Self {
            q: query.text("q", 200),
            action: query.word("action", 64, |byte| matches!(byte, b'a'..=b'z' | b'_' | b'.')),
            actor: query.word(
                "actor",
                64,
                |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-'),
            ),
            since: query.parsed("since"),
            until: query.parsed("until"),
            cursor: query.cursor(),
            limit: query.limit(),
        }
    }
}

/// The audit trail
///
/// Newest first: its organization's for an admin or auditor, the whole store's for the operator.
#[utoipa::path(get, path = paths::AUDIT, tag = "audit", operation_id = "audit", params(ListAuditQuery),
    responses((status = 200, body = PageView<AuditEntryView>, description = "A page."), Listing),
    security(("member" = []), ("operator" = [])))]
async fn audit(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<ListAuditQuery>,
) -> Result<Json<PageView<AuditEntryView>>, ApiError> {
    let ListAuditQuery { q, action, actor, since, until, cursor, limit } = ask;
    let filter = AuditFilter { q, action, actor, since, until, any_of: Vec::new() };
    let ask = PageAsk { cursor, limit: Some(limit) };
    Ok(Json(page(api.store().audit(&caller, &filter, ask).await?, entry_view)))
}

/// Parameters of the export; absent ones admit all.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ExportAuditQuery {
    /// Part of the action, the actor's or the target's name, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    q: Option<String>,
    /// The action, such as `secret.create`, or its first part.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z_.]+$")]
    action: Option<String>,
    /// The actor's name or id.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9._@-]+$")]
    actor: Option<String>,
    /// From this time on, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before this time, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl FromQuery for ExportAuditQuery {
    const NAMES: &'static [&'static str] = &["q", "action", "actor", "since", "until"];

    fn read(query: &mut QueryReader) -> Self {
        let ListAuditQuery { q, action, actor, since, until, .. } = ListAuditQuery::read(query);
        Self { q, action, actor, since, until }
    }
}

/// The audit trail as JSON lines
///
/// One entry a line, newest first, all of those that the filter admits. An export that fails breaks off.
#[utoipa::path(get, path = paths::AUDIT_EXPORT, tag = "audit", operation_id = "export_audit", params(ExportAuditQuery),
    responses((status = 200, body = String, content_type = "application/jsonl", description = "The entries."), Listing),
    security(("member" = []), ("operator" = [])))]
async fn export_audit(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<ExportAuditQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let ExportAuditQuery { q, action, actor, since, until } = ask;
    let filter = AuditFilter { q, action, actor, since, until, any_of: Vec::new() };
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], exported(&api, caller, filter).await?))
}

/// What the filter admits as JSON lines, newest first, read and sent piece by piece.
pub(crate) async fn exported(api: &Api, caller: Caller, filter: AuditFilter) -> Result<Body, ApiError> {
    let next = |cursor| PageAsk { cursor, limit: Some(EXPORTED) };
    // Whatever stands in the way shows with the first page, before an answer has begun.
    let mut page = api.store().audit(&caller, &filter, next(None)).await?;
    let (pieces, taken) = stream::channel();
    let store = api.store().clone();
    let pump = async move {
        loop {
            if pieces.give(Ok(lines(page.items))).await.is_err() {
                return;
            }
            let Some(cursor) = page.next else { return };
            page = match store.audit(&caller, &filter, next(Some(cursor))).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!("an export of the trail broke off: {error}");
                    let _ = pieces.give(Err(io::Error::other("the export broke off"))).await;
                    return;
                }
            };
        }
    };
    tokio::spawn(pump.in_current_span());
    Ok(taken)
}

/// Entries of one piece of an export.
const EXPORTED: usize = 500;

fn lines(items: Vec<store::AuditItem>) -> Bytes {
    let mut text = Vec::new();
    for item in items {
        // Made of texts and numbers: nothing in it can fail to serialize.
        let _ = serde_json::to_writer(&mut text, &entry_view(item));
        text.push(b'\n');
    }
    Bytes::from(text)
}

/// Verifies every chain of the trail
///
/// Reads all of it.
#[utoipa::path(get, path = paths::AUDIT_VERIFY, tag = "audit", operation_id = "verify_audit",
    responses((status = 200, body = AuditVerificationView, description = "What was found."), Verifying),
    security(("member" = []), ("operator" = [])))]
async fn verify_audit(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<AuditVerificationView>, ApiError> {
    let store::Verification { ok, entries, chains } = api.store().verify_audit(&caller).await?;
    let chain = |chain: store::ChainReport| ChainView {
        id: chain.id,
        length: chain.length,
        state: chain.state.as_str().to_owned(),
        fault: chain.fault,
    };
    Ok(Json(AuditVerificationView { ok, entries, chains: chains.into_iter().map(chain).collect() }))
}

/// An entry as shown.
pub(crate) fn entry_view(item: store::AuditItem) -> AuditEntryView {
    let text = |text: AuditText| text.as_str().to_owned();
    let event = item.event;
    let (target_kind, target, target_id) = match event.target {
        Some(target) => (Some(target.kind.to_string()), target.name.map(text), target.id.map(text)),
        None => (None, None, None),
    };
    AuditEntryView {
        chain: item.chain,
        seq: item.seq,
        at: event.at.to_string(),
        actor_kind: event.actor.kind.to_string(),
        actor: event.actor.name.or(event.actor.id).map(text).unwrap_or_default(),
        action: event.action.to_string(),
        outcome: event.outcome.to_string(),
        target_kind,
        target,
        target_id,
        details: event.details.into_iter().map(|(key, value)| (key.to_string(), text(value))).collect(),
    }
}
