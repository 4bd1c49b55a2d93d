//! Boots: the only bodies that carry values outward.

use serde::{Deserialize, Serialize};

use super::value::{Value, ValueBase64};
use crate::domain::receipt::Receipt;

/// `POST /v1/boot` and `/v1/boot/explain`.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BootRequest {
    /// Names wanted although their auto-install is off (secret or exported names).
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::domain::name::SecretName>, max_items = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Names not wanted.
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::domain::name::SecretName>, max_items = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Names that other values refer to.
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::domain::name::SecretName>, max_items = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// The plugins that this workload runs; absent: no restriction.
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<crate::domain::name::PluginName>>, max_items = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Vec<String>>,
    /// A stable name of the machine, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub machine: Option<String>,
    /// The kernel's boot id, so that a reboot is told from a second workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub kernel_boot: Option<String>,
    /// The host name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub host: Option<String>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub agent: Option<String>,
}

/// The answer to `POST /v1/boot`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BootResponse {
    /// `boot_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::BootId))]
    pub boot: String,
    /// The organization's name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::OrgName))]
    pub organization: String,
    /// The member that the ticket acts for.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub member: String,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub released_at: String,
    /// How many entries were released; equals the receipt's.
    pub count: u32,
    /// The receipt's digest, hexadecimal SHA-256.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::digest::Digest))]
    pub digest: String,
    /// What was released and what was not, without values.
    pub receipt: Receipt,
    /// The values, by secret id, one for each entry of the receipt.
    pub values: Vec<ReleasedView>,
}

/// One released value.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReleasedView {
    /// The secret's id.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::SecretId))]
    pub id: String,
    /// The value when it is text.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The value when it is not.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<ValueBase64>,
}

/// The answer to `POST /v1/boot/explain`: as a boot, without values; spends nothing.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ExplainResponse {
    /// The organization's name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::OrgName))]
    pub organization: String,
    /// The member that the ticket acts for.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub member: String,
    /// What a boot would be given, and what not and why.
    pub receipt: Receipt,
    /// Whether the store is locked: then a boot would have to wait.
    pub locked: bool,
    /// Uses that the ticket has left; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u64>,
    /// RFC 3339; absent: no limit.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::time::Timestamp>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// `POST /v1/boots/{id}/report`, by the ticket that booted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportBootRequest {
    /// Digest of what the agent received.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::digest::Digest))]
    pub digest: String,
    /// How many variables the workload was given in all.
    #[serde(deserialize_with = "super::number::whole")]
    pub variables: u32,
}

/// A boot as it is shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BootView {
    /// `boot_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::BootId))]
    pub id: String,
    /// The member it acted for.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub member: String,
    /// The ticket's id.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::TicketId))]
    pub ticket: String,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub at: String,
    /// The peer's address.
    pub source: Option<String>,
    /// The machine's name for itself.
    pub machine: Option<String>,
    /// The host name.
    pub host: Option<String>,
    /// The kernel's boot id.
    pub kernel_boot: Option<String>,
    /// When the agent said that the workload was started.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::time::Timestamp>))]
    pub confirmed_at: Option<String>,
    /// True when a later boot of the same machine shows that this one is over.
    pub superseded: bool,
    /// What was released and what was not.
    pub receipt: Receipt,
    /// Released entries that were replaced or deleted since, and are still held.
    pub stale: Vec<HolderView>,
}

/// A boot that holds a version of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HolderView {
    /// `boot_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::BootId))]
    pub boot: String,
    /// The member it acted for.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub member: String,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub at: String,
    /// The host name.
    pub host: Option<String>,
    /// The secret's id.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::SecretId))]
    pub secret: String,
    /// The name it was exported as.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::EnvName))]
    pub env: String,
    /// The version that it holds.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::VersionId))]
    pub version: String,
    /// False when the secret has a newer version or is gone.
    pub current: bool,
}
