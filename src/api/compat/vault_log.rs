//! `/vault/audit-log`: what the trail holds of secrets, in the vault's seven words. Each entry's details name the trail's
//! own action, so that nothing is lost in translation.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::vault::{called, org_of};
use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::openapi::{AUTHENTICATED, error_responses};
use crate::api::problem::ApiError;
use crate::api::query::{FromQuery, QueryParams, QueryReader};
use crate::domain::audit::{AuditEvent, VaultAction};
use crate::store::{AuditFilter, Cursor, PageAsk};
use crate::wire::{Code, VaultEntryView, VaultLogView, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(vault_log))
}

error_responses! {
    Listing = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
}

/// Parameters of the log; absent ones admit all.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListVaultLogQuery {
    /// What the client calls its organization; the credential decides which one it is.
    #[param(rename = "orgId", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._@-]+$")]
    org: Option<String>,
    /// Part of the secret's or the actor's name, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    search: Option<String>,
    /// Only this action.
    action: Option<VaultAction>,
    /// From the former page's `next`.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// Entries at most; 100 unless said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: usize,
}

impl FromQuery for ListVaultLogQuery {
    const NAMES: &'static [&'static str] = &["orgId", "search", "action", "cursor", "limit"];

    fn read(query: &mut QueryReader) -> Self {
        Self {
            org: org_of(query),
            search: query.text("search", 200),
            action: query.parsed("action"),
            cursor: query.cursor(),
            limit: query.limit(),
        }
    }
}

/// The vault's audit log
///
/// Newest first. A page may be short, even empty, and still have a `next`.
#[utoipa::path(get, path = paths::VAULT_LOG, tag = "faces", operation_id = "vault_log", params(ListVaultLogQuery),
    responses((status = 200, body = VaultLogView, description = "A page."), Listing),
    security(("member" = []), ("operator" = [])))]
async fn vault_log(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<ListVaultLogQuery>,
) -> Result<Json<VaultLogView>, ApiError> {
    called(&caller, ask.org)?;
    let wanted = |word: &VaultAction| ask.action.is_none_or(|action| action == *word);
    let words = VaultAction::ALL.iter().filter(|word| wanted(word));
    let any_of = words.flat_map(|word| word.actions()).copied().collect();
    let filter = AuditFilter { q: ask.search, any_of, ..AuditFilter::default() };
    let page = PageAsk { cursor: ask.cursor, limit: Some(ask.limit) };
    let found = api.store().audit(&caller, &filter, page).await?;
    let entries = found.items.into_iter().filter_map(|item| entry(item.event)).collect();
    Ok(Json(VaultLogView { entries, next: found.next.map(|next| next.to_string()) }))
}

fn entry(event: AuditEvent) -> Option<VaultEntryView> {
    let action = VaultAction::of(event.action)?;
    let mut details: std::collections::BTreeMap<String, String> =
        event.details.into_iter().map(|(key, text)| (key.to_string(), text.to_string())).collect();
    details.insert("event".to_owned(), event.action.to_string());
    details.insert("outcome".to_owned(), event.outcome.to_string());
    let target = event.target.and_then(|target| target.name.or(target.id));
    Some(VaultEntryView {
        action,
        secret: target.map(|text| text.to_string()).unwrap_or_default(),
        actor: event.actor.name.map_or_else(|| event.actor.kind.to_string(), |name| name.to_string()),
        timestamp: event.at.to_string(),
        details,
    })
}
