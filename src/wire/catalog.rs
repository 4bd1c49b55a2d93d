//! Plugins, categories, presets and statistics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;

/// `PUT /v1/plugins/{name}`: the whole declaration.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclarePluginRequest {
    /// What people call it.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::Label>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Names of secrets without which it does not work; what they are exported as counts. 100 with the optional ones.
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::domain::name::SecretName>, max_items = 50))]
    #[serde(default)]
    pub required: Vec<String>,
    /// Names that it uses when they are there.
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::domain::name::SecretName>, max_items = 50))]
    #[serde(default)]
    pub optional: Vec<String>,
    /// Whether its secrets are released; absent: as before, and those of a new one are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `PATCH /v1/plugins/{name}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdatePluginRequest {
    /// Whether its secrets are released.
    pub enabled: bool,
}

/// A plugin, as the caller sees it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PluginView {
    /// The name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::PluginName))]
    pub name: String,
    /// What people call it.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::Label>))]
    pub title: Option<String>,
    /// Whether its secrets are released.
    pub enabled: bool,
    /// False for a name that secrets are tied to and that was never declared.
    pub declared: bool,
    /// What it cannot do without.
    pub required: Vec<NeedView>,
    /// What it uses when it is there.
    pub optional: Vec<NeedView>,
    /// Exported names that are required and not there for the caller.
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::domain::name::EnvName>))]
    pub missing: Vec<String>,
    /// Secrets in the caller's scope that are tied to it.
    pub secrets: usize,
    /// RFC 3339; none for one that was never declared.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::time::Timestamp>))]
    pub updated_at: Option<String>,
}

/// A name that a plugin declares.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct NeedView {
    /// As declared.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::SecretName))]
    pub name: String,
    /// As exported.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::EnvName))]
    pub env: String,
    /// The secret in the caller's scope that is exported so.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::id::SecretId>))]
    pub secret: Option<String>,
    /// That secret's scope.
    pub scope: Option<ScopeKind>,
}

/// `PUT /v1/categories/{name}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclareCategoryRequest {
    /// What people call it.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::Label))]
    pub title: String,
    /// Its colour.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::catalog::Colour))]
    pub colour: String,
    /// What belongs there, on one line.
    #[cfg_attr(feature = "server", schema(max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$"))]
    #[serde(default)]
    pub description: String,
}

/// A category, as the caller sees it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CategoryView {
    /// The word that secrets carry.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::Category))]
    pub name: String,
    /// What people call it.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::Label))]
    pub title: String,
    /// Its colour.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::catalog::Colour))]
    pub colour: String,
    /// What belongs there.
    pub description: String,
    /// Whether it is one of the five that every organization has.
    pub builtin: bool,
    /// False for a word that secrets carry and that was never declared.
    pub declared: bool,
    /// Secrets in it that the caller may see.
    pub secrets: u64,
}

/// A preset.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PresetView {
    /// The platform, as it stands in names.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::PresetId))]
    pub id: String,
    /// What people call it.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::Label))]
    pub title: String,
    /// The category of its secrets.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::Category))]
    pub category: String,
    /// What it needs.
    pub fields: Vec<PresetFieldView>,
}

/// One secret of a preset.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PresetFieldView {
    /// The last part of its name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::FieldKey))]
    pub key: String,
    /// What people call it.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::Label))]
    pub label: String,
    /// The secret's name, `skill:<platform>:<key>`.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::SecretName))]
    pub name: String,
    /// What that is exported as.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::EnvName))]
    pub env: String,
    /// The variable in which most programs expect it, for `as`.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::EnvName>))]
    pub usual: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
    /// `encrypted`, or `plain` for what is no secret.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// How its values begin; none: nothing is known.
    pub prefixes: Vec<String>,
}

/// `GET /v1/statistics`: counts of the secrets that the caller may see.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StatisticsView {
    /// All.
    pub total: u64,
    /// Of type encrypted.
    pub encrypted: u64,
    /// Of type plain.
    pub plain: u64,
    /// Shared ones.
    pub shared: u64,
    /// Private ones.
    pub private: u64,
    /// That every boot in scope gets.
    pub auto_install: u64,
    /// That only boots get which name them.
    pub not_auto_install: u64,
    /// Delivered as files.
    pub files: u64,
    /// By the plugin that they are tied to.
    pub by_plugin: BTreeMap<String, u64>,
    /// Tied to none.
    pub without_plugin: u64,
    /// By category.
    pub by_category: BTreeMap<String, u64>,
    /// In none.
    pub without_category: u64,
}
