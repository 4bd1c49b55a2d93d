//! `/v1/audit`: the audit log, its export and its verification.

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
use super::page::{PageQuery, Paged, page_view};
use super::problem::ApiError;
use super::query::{FromQuery, NoParams, QueryParams, QueryReader};
use super::{Api, stream};
use crate::domain::audit::AuditText;
use crate::domain::time::Timestamp;
use crate::store;
use crate::store::{AuditFilter, Caller, PageAsk};
use crate::wire::{AuditEntryView, AuditVerificationView, ChainView, Code, PageView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(audit)).routes(routes!(export_audit)).routes(routes!(verify_audit))
}

error_responses! {
    ListAuditErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    VerifyAuditErrors = [AUTHENTICATED];
}

/// The filter of the list and of the export. An absent parameter matches every entry.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListAuditQuery {
    /// A part of the action or of the name of the actor or target, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    q: Option<String>,
    /// The action, for example `secret.create`, or its first part.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z_.]+$")]
    action: Option<String>,
    /// The name or id of the actor.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9._@-]+$")]
    actor: Option<String>,
    /// Only entries at or after this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only entries before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl FromQuery for ListAuditQuery {
    const NAMES: &'static [&'static str] = &["q", "action", "actor", "since", "until"];

    fn read(query: &mut QueryReader) -> Self {
        let is_action = |byte| matches!(byte, b'a'..=b'z' | b'_' | b'.');
        let is_actor = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-');
        Self {
            q: query.text("q", 200),
            action: query.word("action", 64, is_action),
            actor: query.word("actor", 64, is_actor),
            since: query.parsed("since"),
            until: query.parsed("until"),
        }
    }
}

impl From<ListAuditQuery> for AuditFilter {
    fn from(query: ListAuditQuery) -> Self {
        let ListAuditQuery { q, action, actor, since, until } = query;
        Self { q, action, actor, since, until, any_of: Vec::new() }
    }
}

/// List the entries of the audit log
///
/// Newest first. An admin or auditor sees the entries of the organization, the operator those of the whole store.
#[utoipa::path(get, path = paths::AUDIT, tag = "audit", operation_id = "audit", params(ListAuditQuery, PageQuery),
    responses((status = 200, body = PageView<AuditEntryView>, description = "A page of entries."), ListAuditErrors),
    security(("member" = []), ("operator" = [])))]
async fn audit(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(Paged { filter, page }): QueryParams<Paged<ListAuditQuery>>,
) -> Result<Json<PageView<AuditEntryView>>, ApiError> {
    Ok(Json(page_view(api.store().audit(&caller, &filter.into(), page).await?, entry_view)))
}

/// Export the audit log as JSON lines
///
/// One entry per line, newest first: every entry that matches. An export that fails is cut off, without the last chunk of
/// the transfer.
#[utoipa::path(get, path = paths::AUDIT_EXPORT, tag = "audit", operation_id = "export_audit", params(ListAuditQuery),
    responses((status = 200, body = String, content_type = "application/jsonl", description = "The entries, one JSON object per line."), ListAuditErrors),
    security(("member" = []), ("operator" = [])))]
async fn export_audit(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(filter): QueryParams<ListAuditQuery>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], stream_entries(&api, caller, filter.into()).await?))
}

/// Streams the entries that match as JSON lines, newest first.
pub(crate) async fn stream_entries(api: &Api, caller: Caller, filter: AuditFilter) -> Result<Body, ApiError> {
    let next = |cursor| PageAsk { cursor, limit: Some(EXPORT_PAGE) };
    // The first page is read before the response begins, so that a refusal still gets its status.
    let mut page = api.store().audit(&caller, &filter, next(None)).await?;
    let (sender, body) = stream::channel();
    let store = api.store().clone();
    let send = async move {
        loop {
            if sender.send(Ok(json_lines(page.items))).await.is_err() {
                return;
            }
            let Some(cursor) = page.next else { return };
            page = match store.audit(&caller, &filter, next(Some(cursor))).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!("an export of the audit log failed: {error}");
                    let _ = sender.send(Err(io::Error::other("the export failed"))).await;
                    return;
                }
            };
        }
    };
    tokio::spawn(send.in_current_span());
    Ok(body)
}

/// The number of entries in one chunk of an export.
const EXPORT_PAGE: usize = 500;

fn json_lines(items: Vec<store::AuditItem>) -> Bytes {
    let mut text = Vec::new();
    for item in items {
        // An entry is made of texts and numbers, so serializing it cannot fail.
        let _ = serde_json::to_writer(&mut text, &entry_view(item));
        text.push(b'\n');
    }
    Bytes::from(text)
}

/// Verify the audit log
///
/// Reads every entry of every chain, and checks that none was changed, removed or inserted. Takes time in proportion to
/// the number of entries.
#[utoipa::path(get, path = paths::AUDIT_VERIFY, tag = "audit", operation_id = "verify_audit",
    responses((status = 200, body = AuditVerificationView, description = "The state of each chain."), VerifyAuditErrors),
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
