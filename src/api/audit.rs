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
use super::body::{JsonBody, LARGE_BODY};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, Paged, page_view};
use super::problem::ApiError;
use super::query::{FromQuery, NoParams, QueryParams, QueryReader};
use super::{Api, stream};
use crate::domain::audit::AuditText;
use crate::domain::time::Timestamp;
use crate::store;
use crate::store::{AuditFilter, Caller, PageAsk};
use crate::wire::{
    AuditEntryView, AuditVerificationView, ChainView, CheckpointRequest, Code, PageView, ReleasedVersionView,
    RowFaultsView, StateView, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(audit))
        .routes(routes!(export_audit))
        .routes(routes!(verify_audit))
        .routes(routes!(checkpoint_audit))
}

error_responses! {
    ListAuditErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    VerifyAuditErrors = [AUTHENTICATED];
    CheckpointAuditErrors = [AUTHENTICATED, WITH_BODY, WRITE];
}

/// What a verification reads.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct VerifyQuery {
    /// `true`: verify the rows of the store too (the operator).
    state: Option<bool>,
}

impl FromQuery for VerifyQuery {
    const NAMES: &'static [&'static str] = &["state"];

    fn read(query: &mut QueryReader) -> Self {
        Self { state: query.flag("state") }
    }
}

/// The filter of the list and of the export. An absent parameter matches every entry.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListAuditQuery {
    /// A part of the action, of the name of the actor or target, or of a name that a boot received, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    q: Option<String>,
    /// The action, for example `secret.create`, or its first part.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z_.]+$")]
    action: Option<String>,
    /// The name or id of the actor.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9._@-]+$")]
    actor: Option<String>,
    /// Only entries about this secret, and boots that received it: its exported name, name or id. Also finds deleted secrets.
    #[param(min_length = 1, max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    secret: Option<String>,
    /// Only entries at or after this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only entries before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl FromQuery for ListAuditQuery {
    const NAMES: &'static [&'static str] = &["q", "action", "actor", "secret", "since", "until"];

    fn read(query: &mut QueryReader) -> Self {
        let is_action = |byte| matches!(byte, b'a'..=b'z' | b'_' | b'.');
        let is_actor = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-');
        Self {
            q: query.text("q", 200),
            action: query.word("action", 64, is_action),
            actor: query.word("actor", 64, is_actor),
            secret: query.text("secret", 256),
            since: query.parsed("since"),
            until: query.parsed("until"),
        }
    }
}

impl From<ListAuditQuery> for AuditFilter {
    fn from(query: ListAuditQuery) -> Self {
        let ListAuditQuery { q, action, actor, secret, since, until } = query;
        Self { q, action, actor, secret, since, until, any_of: Vec::new() }
    }
}

/// List the entries of the audit log
///
/// Newest first. An admin or auditor sees the entries of the organization, and any other member those about themselves and the
/// services that they manage: where one of these is the actor or the target, and where a boot or a credential acted for it. The operator sees the entries of the
/// whole store, without names of secrets. A page can be shorter than `limit`, or empty, and still have a `next`.
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
            // The client went away, or has read nothing for a minute.
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
    // In the request's span, so that a failure is logged with the request's id.
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
/// Reads every entry of every chain, and checks that none was changed, removed or inserted. With `state=true`, for which only the
/// operator has permission, reads every row of the store too, and checks that it is what the log says. Takes time in proportion to what it reads: a million rows
/// take up to a minute, and a server stops after 15 minutes. It runs one verification at a time, and answers other requests with 429.
#[utoipa::path(get, path = paths::AUDIT_VERIFY, tag = "audit", operation_id = "verify_audit",
    params(VerifyQuery),
    responses((status = 200, body = AuditVerificationView, description = "The state of each chain."), VerifyAuditErrors),
    security(("member" = []), ("operator" = [])))]
async fn verify_audit(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(VerifyQuery { state }): QueryParams<VerifyQuery>,
) -> Result<Json<AuditVerificationView>, ApiError> {
    let store::Verification { ok, entries, chains, rows, .. } =
        verify_log(&api, &caller, state.unwrap_or(false)).await?;
    // A broken chain is a result, not an error: the status stays 200.
    let chain = |chain: store::ChainReport| ChainView {
        id: chain.id,
        length: chain.length,
        state: chain.state.as_str().to_owned(),
        fault: chain.fault,
    };
    let chains = chains.into_iter().map(chain).collect();
    Ok(Json(AuditVerificationView { ok, entries, chains, state: rows.as_ref().map(state_view) }))
}

/// Make checkpoints of the audit log
///
/// Reads every entry of every chain, as the verification does, and signs the size and the root of each chain. The answer is a text file: a
/// C2SP tlog-checkpoint of each chain, with the key that checks their signatures and a consistency proof from the size given in
/// `since`. Shares the limits of the verification. Fails with `corrupt` if the log is damaged: `GET /v1/audit/verify` says where.
#[utoipa::path(post, path = paths::AUDIT_CHECKPOINT, tag = "audit", operation_id = "checkpoint_audit",
    request_body = CheckpointRequest,
    responses((status = 200, body = String, content_type = "text/plain", description = "The checkpoints."), CheckpointAuditErrors),
    security(("member" = []), ("operator" = [])))]
async fn checkpoint_audit(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CheckpointRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let since = body.since.into_iter().flatten().map(|chain| (chain.chain, chain.size)).collect();
    let _permit = api.limits().admit_verification(&caller)?;
    let file = api.store().checkpoint_audit(&caller, &since).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], file))
}

fn state_view(report: &store::RowReport) -> StateView {
    let faults = report.by_table().into_iter().map(|((table, kind), rows)| RowFaultsView {
        table: table.to_owned(),
        fault: kind.as_str().to_owned(),
        rows,
    });
    StateView { rows: report.rows, faults: faults.collect() }
}

/// Verifies the audit log and, with `state`, the rows, unless another verification runs. Dropping the future ends the work.
pub(crate) async fn verify_log(
    api: &Api,
    caller: &Caller,
    state: bool,
) -> Result<store::Verification, ApiError> {
    let _permit = api.limits().admit_verification(caller)?;
    Ok(api.store().verify_audit(caller, state).await?)
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
        // People search for names. An actor without one has its id.
        actor: event.actor.name.or(event.actor.id).map(text).unwrap_or_default(),
        action: event.action.to_string(),
        outcome: event.outcome.to_string(),
        target_kind,
        target,
        target_id,
        author: item.author.map(|author| author.to_string()),
        details: event.details.into_iter().map(|(key, value)| (key.to_string(), text(value))).collect(),
        released: item.released.map(|released| released.iter().map(released_view).collect()),
    }
}

fn released_view(version: &store::ReleasedVersion) -> ReleasedVersionView {
    ReleasedVersionView {
        env: version.env.to_string(),
        name: version.name.to_string(),
        secret: version.secret.to_string(),
        scope: version.scope.to_string(),
        version: version.version.to_string(),
    }
}
