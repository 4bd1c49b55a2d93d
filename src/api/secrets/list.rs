//! The filter of `GET /v1/secrets`.

use crate::api::query::{FromQuery, QueryReader};
use crate::domain::name::{Category, EnvName, MemberName, PluginName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;
use crate::store::SecretFilter;

/// The filter of the list. An absent parameter matches every secret.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListSecretsQuery {
    /// A part of the name, of the exported name or of the description, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    q: Option<String>,
    /// Only shared secrets, or only private ones.
    scope: Option<ScopeKind>,
    /// Only private secrets of this member.
    owner: Option<MemberName>,
    /// Only secrets with exactly this name or exported name.
    name: Option<SecretName>,
    /// Only secrets with exactly this exported name.
    env: Option<EnvName>,
    /// Only secrets of this plugin.
    plugin: Option<PluginName>,
    /// Only secrets of this category.
    category: Option<Category>,
    /// Only encrypted secrets, or only plain ones.
    #[param(rename = "type")]
    kind: Option<Kind>,
    /// Only secrets that are auto-installed, or only those that are not.
    auto_install: Option<bool>,
    /// Only secrets that have a plugin, or only those without one.
    has_plugin: Option<bool>,
    /// Only secrets that have a category, or only those without one.
    has_category: Option<bool>,
    /// Only secrets whose plugin is enabled, or only those whose plugin is disabled.
    plugin_enabled: Option<bool>,
}

impl ListSecretsQuery {
    /// Returns the store's filter, and the exported name by which the caller filters the page afterwards.
    pub(crate) fn into_parts(self) -> (SecretFilter, Option<EnvName>) {
        // One index has names and exported names, so an exported name can use it too.
        let name = self.name.map(|name| name.to_string());
        let filter = SecretFilter {
            name: name.or_else(|| self.env.as_ref().map(EnvName::to_string)),
            q: self.q,
            scope: self.scope,
            owner: self.owner,
            kind: self.kind,
            plugin: self.plugin,
            category: self.category,
            auto_install: self.auto_install,
            has_plugin: self.has_plugin,
            has_category: self.has_category,
            plugin_enabled: self.plugin_enabled,
        };
        (filter, self.env)
    }
}

impl FromQuery for ListSecretsQuery {
    const NAMES: &'static [&'static str] = &[
        "q",
        "scope",
        "owner",
        "name",
        "env",
        "plugin",
        "category",
        "type",
        "auto_install",
        "has_plugin",
        "has_category",
        "plugin_enabled",
    ];

    fn read(query: &mut QueryReader) -> Self {
        Self {
            q: query.text("q", 200),
            scope: query.parsed("scope"),
            owner: query.parsed("owner"),
            name: query.parsed("name"),
            env: query.parsed("env"),
            plugin: query.parsed("plugin"),
            category: query.parsed("category"),
            kind: query.parsed("type"),
            auto_install: query.flag("auto_install"),
            has_plugin: query.flag("has_plugin"),
            has_category: query.flag("has_category"),
            plugin_enabled: query.flag("plugin_enabled"),
        }
    }
}
