//! The choices that forms offer: categories, plugins, members and presets.

use super::members::managed_services;
use super::secret_row::{CategoryTag, CategoryTags};
use super::session::BrowserSession;
use crate::api::problem::ApiError;
use crate::domain::role::{Action, ScopeSubject};
use crate::domain::value::Kind;
use crate::store::PageAsk;

/// The most rows that a list without a "next" link displays. The command line lists more.
pub(crate) const MAX_ROWS: usize = 500;

/// What every form for a secret offers to its member.
pub(crate) struct FormOptions {
    pub(crate) tags: Vec<CategoryTag>,
    pub(crate) plugins: Vec<String>,
    /// The services that the member manages.
    pub(crate) services: Vec<String>,
    /// Whether the member may deposit into the shared scope.
    pub(crate) may_share: bool,
    /// Whether the member is an administrator, who may allow an exported name that is refused otherwise.
    pub(crate) admin: bool,
    /// How keys of known platforms begin, separated by blanks. Scripts warn about a plain value that looks like a key.
    pub(crate) key_prefixes: String,
}

impl FormOptions {
    /// Loads the choices.
    pub(crate) async fn load(session: &BrowserSession) -> Result<Self, ApiError> {
        Self::new(session, CategoryTags::load(session).await?).await
    }

    /// As [`Self::load`], with categories that are loaded already.
    pub(crate) async fn new(session: &BrowserSession, tags: CategoryTags) -> Result<Self, ApiError> {
        Ok(Self {
            tags: tags.0,
            plugins: plugin_names(session).await?,
            services: managed_services(session).await?,
            may_share: session.may(Action::Deposit(ScopeSubject::Shared)),
            admin: session.is_admin(),
            key_prefixes: key_prefixes(session),
        })
    }
}

/// A preset in a list of choices.
pub(crate) struct PresetChoice {
    pub(crate) id: String,
    pub(crate) title: String,
}

/// Returns all presets.
pub(crate) fn presets(session: &BrowserSession) -> Vec<PresetChoice> {
    let presets = session.store().presets().all().iter();
    presets
        .map(|preset| PresetChoice { id: preset.id.to_string(), title: preset.title.to_string() })
        .collect()
}

fn key_prefixes(session: &BrowserSession) -> String {
    // Prefixes are public: platforms document them so that scanners find leaked keys. A plain field's prefix, such as
    // `https://`, says nothing about a key.
    let fields = session.store().presets().all().iter().flat_map(|preset| &preset.fields);
    let prefixes = fields.filter(|field| field.kind == Kind::Encrypted).flat_map(|field| &field.prefixes);
    prefixes.map(|prefix| &**prefix).collect::<Vec<_>>().join(" ")
}

/// Returns the names of all plugins, declared or not.
pub(crate) async fn plugin_names(session: &BrowserSession) -> Result<Vec<String>, ApiError> {
    let plugins = session.store().plugins(&session.caller).await?;
    Ok(plugins.into_iter().map(|plugin| plugin.name.to_string()).collect())
}

/// Returns the names of the members that a ticket can be created for: the member and the services that the member manages.
pub(crate) async fn ticket_members(session: &BrowserSession) -> Result<Vec<String>, ApiError> {
    let own = session.caller.member().map(|(_, name)| name.to_string());
    Ok(own.into_iter().chain(managed_services(session).await?).collect())
}

/// Asks the store for the first [`MAX_ROWS`] of a list.
pub(crate) fn first_rows() -> PageAsk {
    PageAsk { cursor: None, limit: Some(MAX_ROWS) }
}
