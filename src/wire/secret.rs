//! Secrets.

use serde::{Deserialize, Serialize};

use super::attributes::{AttributesRequest, UpdateSecretRequest};
use super::value::{Value, ValueBase64};
use crate::domain::attributes::Attributes;
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};

/// `POST /v1/secrets`. Exactly one of `value`, `value_base64` and `sealed`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSecretRequest {
    /// 1 to 200 of ASCII letters, digits and `- _ . : /`, with at least one letter.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::SecretName))]
    pub name: String,
    /// The exported name, when it is not to be converted from `name`.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::EnvName>))]
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Who gets it; `private` unless said.
    #[serde(default = "private")]
    pub scope: ScopeKind,
    /// `encrypted` unless said; a `plain` value may be shown.
    #[serde(default = "encrypted", rename = "type")]
    pub kind: Kind,
    /// `variable` unless said.
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
    /// Redacted form kept for display, with `sealed` only (otherwise the server makes it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// An administrator's word that an exported name on the refusal list is meant.
    #[serde(default)]
    pub allow_refused: bool,
}

/// A value sealed to the deposit key. Binary fields are base64 (RFC 4648 section 4).
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SealedBody {
    /// The secret's id: chosen by the depositor for a new one, the existing one for a replacement.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::SecretId))]
    pub id: String,
    /// The new version's id, chosen by the depositor.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::VersionId))]
    pub version: String,
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
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::EnvName>))]
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Another type from now on.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Another delivery from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// An administrator's word that an exported name on the refusal list is meant.
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
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::SecretId))]
    pub id: String,
    /// As deposited.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::SecretName))]
    pub name: String,
    /// As exported.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::EnvName))]
    pub env: String,
    /// Who gets it.
    pub scope: ScopeKind,
    /// The member whose private secret it is.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::MemberName>))]
    pub owner: Option<String>,
    /// `encrypted` or `plain`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// `variable` or `file`.
    pub delivery: Delivery,
    /// What can change without a new value.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// Opaque; changes with each value.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::VersionId))]
    pub version: String,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub created_at: String,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub updated_at: String,
    /// The member who wrote this version.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::MemberName>))]
    pub author: Option<String>,
    /// Redacted form, when one is kept.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::hint::Hint>))]
    pub hint: Option<String>,
    /// Only of type `plain`.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, read_only))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What the depositor should know, on a write only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `DELETE /v1/secrets/{id}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DeleteSecretResponse {
    /// The deleted secret's id.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::SecretId))]
    pub id: String,
    /// Its name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::SecretName))]
    pub name: String,
    /// Its exported name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::EnvName))]
    pub env: String,
    /// Boots that still hold it: they keep what they have.
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
