//! Bodies of the compatibility APIs. No response has a field for a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unparsed::{CategoryText, SecretNameText};
use super::value::Value;
use crate::domain::audit::VaultAction;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{Category, EnvName, MemberName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::domain::value::Kind;

/// `GET /api/secrets`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VariablesView {
    /// By the name of the variable.
    pub secrets: BTreeMap<String, VariableView>,
}

/// What is known of a variable.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VariableView {
    /// The redacted value, `****` where no redacted form is kept; empty when it is not set.
    pub value: String,
    /// Whether it has a value that is not empty.
    pub set: bool,
    /// The plugin that uses it; empty when none is known.
    pub plugin_id: String,
    /// Whether that plugin is enabled.
    pub plugin_enabled: bool,
}

/// `PUT /api/secrets`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SetVariablesRequest {
    /// By the name of the variable; an empty text clears.
    #[cfg_attr(feature = "server", schema(value_type = BTreeMap<String, String>, write_only))]
    pub secrets: BTreeMap<String, Value>,
}

/// The response to it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SetVariablesResponse {
    /// Always true: a failure is answered with a problem.
    pub ok: bool,
}

/// `POST /vault/secrets`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreateVaultSecretRequest {
    /// What the client calls the organization. Only the credential selects the organization.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._@-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// Such as `skill:openai:access_token`.
    pub name: SecretNameText,
    /// The value; sealed at once.
    #[cfg_attr(feature = "server", schema(value_type = String, write_only, pattern = r"^[^\u0000]*$"))]
    pub value: Value,
    /// Such as `skill_credential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<CategoryText>,
}

/// A secret in the vault: everything but its value.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VaultSecretView {
    /// `sec_…`
    pub id: SecretId,
    /// The client's name for the organization; default: the organization's id.
    pub org_id: String,
    /// The name.
    pub name: SecretName,
    /// What it is exported as.
    pub exported_as: EnvName,
    /// The category.
    pub category: Option<Category>,
    /// Who gets it.
    pub scope: ScopeKind,
    /// Encrypted or plain.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Opaque; changes with each value.
    pub version: VersionId,
    /// Who wrote this version.
    pub created_by: Option<MemberName>,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// RFC 3339.
    pub updated_at: Timestamp,
}

/// `GET /vault/secrets`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VaultSecretsView {
    /// Metadata only.
    pub secrets: Vec<VaultSecretView>,
    /// Pass it as `cursor`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `DELETE /vault/secrets/{id}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DeleteVaultSecretResponse {
    /// Always true.
    pub ok: bool,
    /// The deleted secret's id.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
}

/// `POST /vault/rotate-all`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RotateVaultResponse {
    /// Always true.
    pub ok: bool,
    /// Secrets that were sealed again.
    pub rotated: u64,
    /// Whether it goes on in the background: a new key generation, which the operator asked for.
    pub running: bool,
}

/// An entry of the vault's audit log.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VaultEntryView {
    /// What was done.
    pub action: VaultAction,
    /// Name or id of what it was done to; empty for what concerns no single secret.
    pub secret: String,
    /// The member, or the system, that did it.
    pub actor: String,
    /// RFC 3339.
    pub timestamp: Timestamp,
    /// The source address and other details; never a value.
    pub details: BTreeMap<String, String>,
}

/// `GET /vault/audit-log`, newest first.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VaultLogView {
    /// The entries.
    pub entries: Vec<VaultEntryView>,
    /// Pass it as `cursor`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /vault/status`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VaultStatusView {
    /// `unlocked`, or `locked`: a locked vault accepts deposits, and refuses boots and rotation.
    pub status: String,
    /// What encrypts values.
    pub algorithm: String,
    /// What derives keys from passphrases.
    pub key_derivation: String,
    /// The current key generation.
    pub key_generation: u32,
    /// Whether a new generation is under way.
    pub rotating: bool,
    /// Secrets that the caller may see.
    pub total_secrets: u64,
    /// Of type encrypted.
    pub encrypted: u64,
    /// Of type plain.
    pub plain: u64,
    /// By category.
    pub by_category: BTreeMap<String, u64>,
}
