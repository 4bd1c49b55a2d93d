//! Plugins, categories, presets and statistics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::boot::NamedSecretView;
use super::unparsed::{ColourText, DescriptionText, LabelText, SecretNameText};
use crate::domain::catalog::Colour;
use crate::domain::id::SecretId;
use crate::domain::name::{Category, EnvName, FieldKey, Label, PluginName, PresetId, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::domain::value::Kind;

/// `PUT /v1/plugins/{name}`: the whole declaration.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclarePluginRequest {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<LabelText>,
    /// Names of secrets without which it does not work; what they are exported as counts. 100 with the optional ones.
    #[cfg_attr(feature = "server", schema(max_items = 50))]
    #[serde(default)]
    pub required: Vec<SecretNameText>,
    /// Names that it uses when they are there.
    #[cfg_attr(feature = "server", schema(max_items = 50))]
    #[serde(default)]
    pub optional: Vec<SecretNameText>,
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
    pub name: PluginName,
    /// What people call it.
    pub title: Option<Label>,
    /// Whether its secrets are released.
    pub enabled: bool,
    /// False for a name that secrets are tied to and that was never declared.
    pub declared: bool,
    /// What it cannot do without.
    pub required: Vec<NeedView>,
    /// What it uses when it is there.
    pub optional: Vec<NeedView>,
    /// Exported names that are required and not there for the caller.
    pub missing: Vec<EnvName>,
    /// Secrets in the caller's scope that are tied to it.
    pub secrets: usize,
    /// RFC 3339; none for one that was never declared.
    pub updated_at: Option<Timestamp>,
}

/// A name that a plugin declares.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct NeedView {
    /// As declared.
    pub name: SecretName,
    /// As exported.
    pub env: EnvName,
    /// The secret in the caller's scope that is exported so.
    pub secret: Option<SecretId>,
    /// That secret's scope.
    pub scope: Option<ScopeKind>,
}

/// `PUT /v1/categories/{name}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclareCategoryRequest {
    /// What people call it.
    pub title: LabelText,
    /// Its colour.
    pub colour: ColourText,
    /// What belongs there, on one line.
    #[serde(default)]
    pub description: DescriptionText,
}

/// A category, as the caller sees it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CategoryView {
    /// The word that secrets carry.
    pub name: Category,
    /// What people call it.
    pub title: Label,
    /// Its colour.
    pub colour: Colour,
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
    pub id: PresetId,
    /// What people call it.
    pub title: Label,
    /// The category of its secrets.
    pub category: Category,
    /// What it needs.
    pub fields: Vec<PresetFieldView>,
}

/// One secret of a preset.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PresetFieldView {
    /// The last part of its name.
    pub key: FieldKey,
    /// What people call it.
    pub label: Label,
    /// The secret's name, `skill:<platform>:<key>`.
    pub name: SecretName,
    /// What that is exported as.
    pub env: EnvName,
    /// The variable in which most programs expect it, for `as`.
    pub usual: Option<EnvName>,
    /// Whether it may be left out.
    pub optional: bool,
    /// `encrypted`, or `plain` for what is no secret.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Known prefixes of its values; empty if none is known.
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
    /// Auto-installed ones.
    pub auto_install: u64,
    /// Those that only boots that name them receive.
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
    /// Which of the secrets that running boots hold are outdated.
    pub holders: HolderStatisticsView,
    /// Those whose values are known not to open.
    #[serde(default)]
    pub unusable: super::UnusableSecretsView,
}

/// What running boots hold of the secrets whose holders the caller may see.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HolderStatisticsView {
    /// Running boots that hold such a secret.
    pub running: u64,
    /// Those that hold a version that was replaced or deleted.
    pub outdated: u64,
    /// The secrets of these versions. Those that the most boots hold come first; at most 100.
    pub secrets: Vec<OutdatedSecretView>,
    /// Whether boots that an older version of the program stored are not counted yet.
    pub incomplete: bool,
}

/// A secret that running boots hold in an outdated version.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct OutdatedSecretView {
    /// The secret.
    #[serde(flatten)]
    pub secret: NamedSecretView,
    /// How many boots.
    pub outdated: u64,
}
