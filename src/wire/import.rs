//! Importing several secrets with one request.

use serde::{Deserialize, Serialize};

use super::attributes::{AttributesRequest, UpdateSecretRequest};
use super::object::flattened_body;
use super::secret::SealedBody;
use super::unparsed::{MemberNameText, SecretNameText, VersionIdText};
use super::value::{Value, ValueBase64};
use crate::domain::id::{SecretId, VersionId};
use crate::domain::import::{ExistingPolicy, ImportOutcome};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};

/// `POST /v1/import`. Exactly one of `env` and `items`. `type` and the attributes are for new secrets: existing ones keep
/// theirs, unless a line sets them.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(remote = "Self")]
pub struct ImportRequest {
    /// The text of a `.env` file: `NAME=VALUE` lines, quoted where programs would read them differently. A line means the
    /// secret that is exported under its exported name, or else the one of its name.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Value>,
    /// Parsed lines. Each means the secret of its name.
    #[serde(
        default,
        deserialize_with = "super::object::optional_list",
        skip_serializing_if = "Option::is_none"
    )]
    pub items: Option<Vec<ImportItemRequest>>,
    /// The scope of all lines; default: `private`.
    #[serde(default = "private")]
    pub scope: ScopeKind,
    /// The owner of private secrets, a service that the caller manages; default: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<MemberNameText>,
    /// What to do with secrets that exist; default: `replace`.
    #[serde(default = "replace")]
    pub existing: ExistingPolicy,
    /// The type of new secrets; default: `encrypted`.
    #[serde(default = "encrypted", rename = "type")]
    pub kind: Kind,
    /// The attributes of new secrets.
    #[serde(flatten)]
    pub attributes: AttributesRequest,
    /// Return what would become of each line, and store nothing.
    #[serde(default)]
    pub preview: bool,
}

flattened_body!(ImportRequest, ["env", "items", "scope", "owner", "existing", "type", "preview"]);

/// One line: at most one of `value`, `value_base64` and `sealed`, and exactly one unless it is a preview.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportItemRequest {
    /// The name. It is converted to the exported name of a new secret.
    pub name: SecretNameText,
    /// The type; default: that of the secret, unless another member stored it as plain, or that of new ones.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The delivery; default: that of the secret, or `variable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Attributes to change in the same commit.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub change: Option<UpdateSecretRequest>,
    /// Whether an administrator allows an exported name on the refusal list.
    #[serde(default)]
    pub allow_refused: bool,
    /// Refuse the line unless the secret exists with this version, for example that of a preview. A line whose value the
    /// secret already has is kept in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<VersionIdText>,
    /// The value as text.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, pattern = r"^[^\u0000]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The value as base64.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, pattern = r"^[A-Za-z0-9+/]*={0,2}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<ValueBase64>,
    /// The value sealed by the client, under the id and the exported name that the preview returns. If the secret already
    /// has this version, it is kept: the request may be sent again.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBody>,
    /// The length of the value in bytes, for a preview without the value: it then foresees what budgets and quotas refuse.
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 4294967295_u64))]
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    pub value_len: Option<u32>,
    /// Redacted form, with `sealed` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The result of an import or of its preview.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ImportResponse {
    /// False for a preview. An import with a refused line stores nothing and returns an error.
    pub stored: bool,
    /// The assignments and faults, in their order.
    pub lines: Vec<ImportLineView>,
}

/// The result of one line.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ImportLineView {
    /// The number of the line or item, from 1.
    pub line: usize,
    /// The name, if it could be read. That of the secret, if it exists.
    pub name: Option<SecretName>,
    /// The exported name.
    pub env: Option<EnvName>,
    /// What the import does with it.
    pub fate: ImportOutcome,
    /// Why it is refused, and what to do.
    pub why: Option<String>,
    /// What the depositor should know.
    pub warnings: Vec<String>,
    /// The id of the secret, if it exists or was created.
    pub secret: Option<SecretId>,
    /// Its version: in a preview without a value, the current one.
    pub version: Option<VersionId>,
    /// The type that it has after the import.
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// The delivery that it has after the import.
    pub delivery: Option<Delivery>,
    /// Whether the secret exists with the settings that the line asks for, so that only its value may differ.
    pub same_settings: bool,
}

fn private() -> ScopeKind {
    ScopeKind::Private
}

fn replace() -> ExistingPolicy {
    ExistingPolicy::Replace
}

fn encrypted() -> Kind {
    Kind::Encrypted
}
