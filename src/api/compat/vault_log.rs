//! `/vault/audit-log`: the audit entries about secrets, with the seven actions of a vault. The details of each entry name
//! the action of the audit log too, so that no information is lost.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::vault_org::VaultOrgQuery;
use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::openapi::{AUTHENTICATED, error_responses};
use crate::api::page::{PageQuery, Paged};
use crate::api::problem::ApiError;
use crate::api::query::{FromQuery, QueryParams, QueryReader};
use crate::domain::audit::{AuditEvent, VaultAction};
use crate::store::AuditFilter;
use crate::wire::{Code, VaultEntryView, VaultLogView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(vault_log))
}

error_responses! {
    ListVaultLogErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
}

/// The filter of the log. An absent parameter matches every entry.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListVaultLogQuery {
    #[param(ignore)]
    org: VaultOrgQuery,
    /// A part of the name of the secret or the actor, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    search: Option<String>,
    /// Only entries with this action.
    action: Option<VaultAction>,
}

impl FromQuery for ListVaultLogQuery {
    const NAMES: &'static [&'static str] = &["orgId", "search", "action"];

    fn read(query: &mut QueryReader) -> Self {
        Self {
            org: VaultOrgQuery::read(query),
            search: query.text("search", 200),
            action: query.parsed("action"),
        }
    }
}

/// List the audit log of the vault
///
/// Newest first. A page can be shorter than `limit`, or empty, and still have a `next`.
#[utoipa::path(get, path = paths::VAULT_LOG, tag = "compat", operation_id = "vault_log", params(VaultOrgQuery, ListVaultLogQuery, PageQuery),
    responses((status = 200, body = VaultLogView, description = "A page of entries."), ListVaultLogErrors),
    security(("member" = []), ("operator" = [])))]
async fn vault_log(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(Paged { filter: query, page }): QueryParams<Paged<ListVaultLogQuery>>,
) -> Result<Json<VaultLogView>, ApiError> {
    query.org.resolve(&caller)?;
    let is_selected = |word: &VaultAction| query.action.is_none_or(|action| action == *word);
    let words = VaultAction::ALL.iter().filter(|word| is_selected(word));
    // By the store, not here: a page that is filtered afterwards could be empty for hours of entries.
    let any_of = words.flat_map(|word| word.actions()).copied().collect();
    let filter = AuditFilter { q: query.search, any_of, ..AuditFilter::default() };
    let found = api.store().audit(&caller, &filter, page).await?;
    let entries = found.items.into_iter().filter_map(|item| entry(item.event)).collect();
    Ok(Json(VaultLogView { entries, next: found.next.map(|next| next.to_string()) }))
}

fn entry(event: AuditEvent) -> Option<VaultEntryView> {
    // The filter selects only actions that have one.
    let action = VaultAction::of(event.action)?;
    // One vault action stands for several of ours, and a denial looks like a success without these two.
    let mut details: std::collections::BTreeMap<String, String> =
        event.details.into_iter().map(|(key, text)| (key.to_string(), text.to_string())).collect();
    details.insert("event".to_owned(), event.action.to_string());
    details.insert("outcome".to_owned(), event.outcome.to_string());
    let target = event.target.and_then(|target| target.name.or(target.id));
    Some(VaultEntryView {
        action,
        secret: target.map(|text| text.to_string()).unwrap_or_default(),
        actor: event.actor.name.map_or_else(|| event.actor.kind.to_string(), |name| name.to_string()),
        timestamp: event.at,
        details,
    })
}
