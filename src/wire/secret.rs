//! Secrets.

use serde::{Deserialize, Serialize};

use super::attributes::{AttributesRequest, UpdateSecretRequest};
use super::object::flattened_body;
use super::unparsed::{EnvNameText, MemberNameText, SecretIdText, SecretNameText, VersionIdText};
use super::value::{Value, ValueBase64};
use crate::domain::attributes::Attributes;
use crate::domain::hint::Hint;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{EnvName, MemberName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::domain::value::{Delivery, Kind};

/// `POST /v1/secrets`. Exactly one of `value`, `value_base64` and `sealed`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(remote = "Self")]
pub struct CreateSecretRequest {
    /// 1 to 200 of ASCII letters, digits and `- _ . : /`, with at least one letter.
    pub name: SecretNameText,
    /// The exported name; default: converted from `name`.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvNameText>,
    /// The scope; default: `private`.
    #[serde(default = "private")]
    pub scope: ScopeKind,
    /// The owner of a private secret, a service that the caller manages; default: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<MemberNameText>,
    /// The type; default: `encrypted`. A `plain` value may be shown.
    #[serde(default = "encrypted", rename = "type")]
    pub kind: Kind,
    /// The delivery; default: `variable`.
    #[serde(default = "variable")]
    pub delivery: Delivery,
    /// What can change later without a new value.
    #[serde(flatten)]
    pub attributes: AttributesRequest,
    /// The value as text; the server seals it at once.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, pattern = r"^[^\u0000]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The value as base64, for files.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, pattern = r"^[A-Za-z0-9+/]*={0,2}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<ValueBase64>,
    /// The value sealed by the client.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBody>,
    /// Redacted form, with `sealed` only: otherwise the server makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether an administrator allows an exported name on the refusal list.
    #[serde(default)]
    pub allow_refused: bool,
}

flattened_body!(
    CreateSecretRequest,
    [
        "name",
        "as",
        "scope",
        "owner",
        "type",
        "delivery",
        "value",
        "value_base64",
        "sealed",
        "hint",
        "allow_refused"
    ]
);

/// A value sealed to the deposit key. Binary fields are base64 (RFC 4648 section 4).
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SealedBody {
    /// The secret's id: chosen by the depositor for a new one, the existing one for a replacement.
    pub id: SecretIdText,
    /// The new version's id, chosen by the depositor.
    pub version: VersionIdText,
    /// Generation of the deposit key.
    #[serde(deserialize_with = "super::number::whole")]
    pub generation: u32,
    /// HPKE suite (registry values of RFC 9180): KEM identifier.
    #[cfg_attr(feature = "server", schema(minimum = 32, maximum = 32))]
    #[serde(deserialize_with = "super::number::whole")]
    pub suite: u16,
    /// HPKE encapsulated key.
    #[cfg_attr(feature = "server", schema(pattern = r"^[A-Za-z0-9+/]{43}=$"))]
    pub enc: String,
    /// The data key, sealed.
    #[cfg_attr(feature = "server", schema(pattern = r"^[A-Za-z0-9+/]{64}$"))]
    pub wrapped_key: String,
    /// 24 bytes.
    #[cfg_attr(feature = "server", schema(pattern = r"^[A-Za-z0-9+/]{32}$"))]
    pub nonce: String,
    /// The value under the data key.
    #[cfg_attr(feature = "server", schema(min_length = 24, pattern = r"^[A-Za-z0-9+/]*={0,2}$"))]
    pub ciphertext: String,
}

/// `PUT /v1/secrets/{id}`: a new value, hence a new version. Exactly one of `value`, `value_base64` and `sealed`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplaceSecretRequest {
    /// The value as text.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, pattern = r"^[^\u0000]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The value as base64, for files.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, pattern = r"^[A-Za-z0-9+/]*={0,2}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<ValueBase64>,
    /// The value sealed by the client.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBody>,
    /// Redacted form, with `sealed` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Another exported name from now on (it is part of what seals the value, so it changes only with one).
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvNameText>,
    /// Another type from now on. Required for a secret that another member stored as plain: it is readable.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Another delivery from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Whether an administrator allows an exported name on the refusal list.
    #[serde(default)]
    pub allow_refused: bool,
    /// Attributes to change in the same commit.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub change: Option<UpdateSecretRequest>,
}

/// A secret as it is shown: everything but an encrypted value.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SecretView {
    /// `sec_…`
    pub id: SecretId,
    /// As deposited.
    pub name: SecretName,
    /// As exported.
    pub env: EnvName,
    /// Who gets it.
    pub scope: ScopeKind,
    /// The member whose private secret it is.
    pub owner: Option<MemberName>,
    /// `encrypted` or `plain`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// `variable` or `file`.
    pub delivery: Delivery,
    /// What can change without a new value.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// Opaque; changes with each value.
    pub version: VersionId,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// RFC 3339.
    pub updated_at: Timestamp,
    /// The member who wrote this version.
    pub author: Option<MemberName>,
    /// Redacted form, when one is kept.
    pub hint: Option<Hint>,
    /// Only of type `plain`.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, read_only))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What the depositor should know, on a write only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// After a replacement with `holders=true`: how many boots hold it. Absent for callers who may not see them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holders: Option<super::HolderCountsView>,
}

/// `DELETE /v1/secrets/{id}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DeleteSecretResponse {
    /// The deleted secret's id.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// Its exported name.
    pub env: EnvName,
    /// How many boots still hold it. They keep what they have.
    pub holders: super::HolderCountsView,
    /// The first 100 of them. `GET /v1/holders/{id}` lists all.
    pub held_by: Vec<super::HolderView>,
}

fn private() -> ScopeKind {
    ScopeKind::Private
}

fn encrypted() -> Kind {
    Kind::Encrypted
}

fn variable() -> Delivery {
    Delivery::Variable
}
