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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    pub include: Vec<String>,
    /// Names not wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    pub exclude: Vec<String>,
    /// Names that other values refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    pub references: Vec<String>,
    /// The plugins that this workload runs; absent: no restriction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    pub plugins: Option<Vec<String>>,
    /// A stable name of the machine, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_length = 128))]
    pub machine: Option<String>,
    /// The kernel's boot id, so that a reboot is told from a second workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_length = 128))]
    pub kernel_boot: Option<String>,
    /// The host name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_length = 128))]
    pub host: Option<String>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_length = 128))]
    pub agent: Option<String>,
}

/// The answer to `POST /v1/boot`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BootResponse {
    /// `boot_…`
    pub boot: String,
    /// The organization's name.
    pub organization: String,
    /// The member that the ticket acts for.
    pub member: String,
    /// RFC 3339.
    pub released_at: String,
    /// How many entries were released; equals the receipt's.
    pub count: u32,
    /// The receipt's digest, hexadecimal SHA-256.
    pub digest: String,
    /// What was released and what was not, without values.
    pub receipt: Receipt,
    /// The values, by secret id, one for each entry of the receipt.
    pub values: Vec<Released>,
}

/// One released value.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Released {
    /// The secret's id.
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
pub struct Explanation {
    /// The organization's name.
    pub organization: String,
    /// The member that the ticket acts for.
    pub member: String,
    /// What a boot would be given, and what not and why.
    pub receipt: Receipt,
    /// Whether the store is locked: then a boot would have to wait.
    pub locked: bool,
    /// Uses that the ticket has left; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u64>,
    /// RFC 3339; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// `POST /v1/boots/{id}/report`, by the ticket that booted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BootReport {
    /// Digest of what the agent received.
    #[cfg_attr(feature = "server", schema(max_length = 64))]
    pub digest: String,
    /// How many variables the workload was given in all.
    pub variables: u32,
}

/// A boot as it is shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BootView {
    /// `boot_…`
    pub id: String,
    /// The member it acted for.
    pub member: String,
    /// The ticket's id.
    pub ticket: String,
    /// RFC 3339.
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
    pub boot: String,
    /// The member it acted for.
    pub member: String,
    /// RFC 3339.
    pub at: String,
    /// The host name.
    pub host: Option<String>,
    /// The secret's id.
    pub secret: String,
    /// The name it was exported as.
    pub env: String,
    /// The version that it holds.
    pub version: String,
    /// False when the secret has a newer version or is gone.
    pub current: bool,
}
