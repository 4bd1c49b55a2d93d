//! What `GET /v1/secrets` takes.

use crate::api::query::{FromQuery, QueryReader};
use crate::domain::name::{Category, EnvName, MemberName, PluginName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;
use crate::store::{Cursor, PageAsk, SecretFilter};

/// Parameters of the list; absent ones admit all.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListSecretsQuery {
    /// Part of the name or of the exported name, without regard to case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    q: Option<String>,
    /// Shared, or private ones that the caller may see.
    scope: Option<ScopeKind>,
    /// Private ones of this member.
    owner: Option<MemberName>,
    /// The name or the exported name, exactly.
    name: Option<SecretName>,
    /// The exported name, exactly.
    env: Option<EnvName>,
    /// Of this plugin.
    plugin: Option<PluginName>,
    /// Of this category.
    category: Option<Category>,
    /// Encrypted or plain.
    #[param(rename = "type")]
    kind: Option<Kind>,
    /// On or off.
    auto_install: Option<bool>,
    /// Tied to a plugin at all, or to none.
    has_plugin: Option<bool>,
    /// In a category at all, or in none.
    has_category: Option<bool>,
    /// Tied to a plugin that is enabled, or to one that is disabled.
    plugin_enabled: Option<bool>,
    /// From the former page's `next`.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// Items at most; 100 unless said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: usize,
}

impl ListSecretsQuery {
    /// The filter, the page, and the exported name that the page is filtered by afterwards.
    pub(crate) fn into_parts(self) -> (SecretFilter, PageAsk, Option<EnvName>) {
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
        (filter, PageAsk { cursor: self.cursor, limit: Some(self.limit) }, self.env)
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
        "cursor",
        "limit",
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
            cursor: query.cursor(),
            limit: query.limit(),
        }
    }
}
