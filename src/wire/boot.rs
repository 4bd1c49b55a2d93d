//! Boots: the only bodies that carry values outward.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unparsed::{DigestText, EnvNameText, PluginNameText, SecretNameText};
// By another name, since `#[derive(ToSchema)]` takes every `Value` for that of serde_json, which may be anything.
use super::value::{Value as ValueText, ValueBase64};
use crate::domain::boot::{BootStatus, EndSource};
use crate::domain::digest::Digest;
use crate::domain::id::{BootId, IdentityId, SecretId, StoreId, TicketId, VersionId};
use crate::domain::name::{EnvName, MemberName, OrgName, SecretName};
use crate::domain::receipt::Receipt;
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;

/// `POST /v1/boot` and `/v1/boot/explain`.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BootRequest {
    /// Secrets to release although they are not auto-installed, by name or exported name.
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<SecretNameText>,
    /// Secrets not to release, by name or exported name.
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<SecretNameText>,
    /// Secrets that other values refer to.
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<SecretNameText>,
    /// By the name of a variable, the secret that the whole variable refers to: the name under which the workload receives the value.
    #[cfg_attr(feature = "server", schema(value_type = BTreeMap<String, String>))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub referenced_as: BTreeMap<EnvNameText, SecretNameText>,
    /// The plugins that this workload runs; absent: no restriction.
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Vec<PluginNameText>>,
    /// Exported names that this machine takes from the shared scope although they name a place that its private secrets would go to,
    /// or are refused otherwise.
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_names: Vec<EnvNameText>,
    /// A stable name of the machine, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub machine: Option<String>,
    /// The kernel's boot id, which distinguishes a reboot from a second workload.
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
    /// The name of the workload, for a machine that runs several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub workload: Option<String>,
    /// Whether the agent reports the end of this boot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reports_end: bool,
    /// Whether the machine has no place for a secret that is a file. A boot that would receive one is then refused, and
    /// spends no use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refuse_files: bool,
}

/// The response to `POST /v1/boot`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BootResponse {
    /// `boot_…`
    pub boot: BootId,
    /// `sto_…`: whose revision the receipt has. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreId>,
    /// The newest checkpoint of the audit chain of the server that answers, as `POST /v1/audit/checkpoint` returns it. A machine keeps it as
    /// evidence. The receipt's digest does not cover it. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The organization's name.
    pub organization: OrgName,
    /// The member that the ticket acts for.
    pub member: MemberName,
    /// RFC 3339.
    pub released_at: Timestamp,
    /// How many entries were released; equals the receipt's.
    pub count: u32,
    /// The receipt's digest, hexadecimal SHA-256.
    pub digest: Digest,
    /// What was released and what was not, without values.
    pub receipt: Receipt,
    /// `dsb_…`: ends this boot, and can do nothing else. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_credential: Option<ValueText>,
    /// The values, by secret id, one for each entry of the receipt.
    pub values: Vec<ReleasedView>,
    /// A keyed digest of the values, hexadecimal HMAC-SHA-256. The key is the text of `end_credential`. It covers the digest of the
    /// receipt and, for each value in their order here, its id, `text` or `base64`, and the text of `value` or `value_base64`. Absent
    /// from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values_digest: Option<Digest>,
}

impl BootResponse {
    /// Computes what `values_digest` has to be: the keyed digest of `dropsafe values v1` and of what it covers, each part with its
    /// length in front. Returns `None` without a key, or if a value has not exactly one form.
    pub fn compute_values_digest(&self) -> Option<Digest> {
        // A key that only this answer carries, and the digest is stored nowhere: nobody can try values until one fits.
        let key = self.end_credential.as_ref()?;
        let mut parts: Vec<&[u8]> = vec![b"dropsafe values v1", self.digest.as_bytes()];
        for ReleasedView { id, value, value_base64 } in &self.values {
            let (form, text) = match (value, value_base64) {
                (Some(text), None) => ("text", text.expose()),
                (None, Some(text)) => ("base64", text.expose()),
                _ => return None,
            };
            parts.extend([id.as_bytes().as_slice(), form.as_bytes(), text.as_bytes()]);
        }
        Some(Digest::keyed(key.expose().as_bytes(), parts))
    }
}

/// One released value.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReleasedView {
    /// The secret's id.
    pub id: SecretId,
    /// The value, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueText>,
    /// The value as base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<ValueBase64>,
}

/// The response to `POST /v1/boot/explain`. It has no values, and spends no use of the ticket.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ExplainResponse {
    /// The organization's name.
    pub organization: OrgName,
    /// The member that the ticket acts for.
    pub member: MemberName,
    /// What a boot would receive, and what it would not receive and why.
    pub receipt: Receipt,
    /// Whether the store is locked. Boots wait until it is unlocked.
    pub locked: bool,
    /// Uses that the ticket has left; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u64>,
    /// RFC 3339; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `POST /v1/boots/{id}/report`, by the ticket that booted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportBootRequest {
    /// Digest of what the agent received.
    pub digest: DigestText,
    /// How many variables the workload was given in all.
    #[serde(deserialize_with = "super::number::whole")]
    pub variables: u32,
}

/// `POST /v1/boots/{id}/end`, by the boot's end credential, its member, the author of its ticket, or an admin if the member was
/// removed.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EndBootRequest {
    /// The exit status of the workload.
    #[cfg_attr(feature = "server", schema(maximum = 255))]
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    pub status: Option<u8>,
    /// Whether the workload was not started at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// A boot as it is shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BootView {
    /// `boot_…`
    pub id: BootId,
    /// The member it acted for.
    pub member: MemberName,
    /// Whether it runs, as far as the store knows.
    pub state: BootStatus,
    /// Its end, if it is over.
    pub end: Option<BootEndView>,
    /// The identity that the machine proved: `idn_…`
    pub identity: IdentityId,
    /// The ticket, which has the same id: `tkt_…` Absent if the machine proved something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketId>,
    /// The label of the identity.
    pub ticket_label: Option<String>,
    /// The member who made the identity.
    pub created_by: Option<MemberName>,
    /// The launcher that made the identity, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launcher: Option<MemberName>,
    /// RFC 3339.
    pub at: Timestamp,
    /// The peer's address.
    pub source: Option<String>,
    /// The machine's name for itself.
    pub machine: Option<String>,
    /// The host name.
    pub host: Option<String>,
    /// The kernel's boot id.
    pub kernel_boot: Option<String>,
    /// When the agent reported that the workload starts.
    pub confirmed_at: Option<Timestamp>,
    /// The name of the workload, if the machine gave one.
    pub workload: Option<String>,
    /// Whether the agent said that it reports the end.
    pub reports_end: bool,
    /// RFC 3339: when the lifetime that the ticket declares passes.
    pub lifetime_ends_at: Option<Timestamp>,
    /// What was released and what was not; after several tries, in the last one.
    pub receipt: Receipt,
    /// Released entries that were replaced or deleted since, and are still held.
    pub stale: Vec<HeldView>,
    /// With the parameter `secret`: the versions of it that the boot received, in any of its tries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<HeldView>,
}

/// The end of a boot.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BootEndView {
    /// RFC 3339.
    pub at: Timestamp,
    /// Who or what says so.
    pub source: EndSource,
    /// The exit status of the workload, if it was reported.
    pub status: Option<u8>,
}

/// A version of a secret that a boot holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HeldView {
    /// The secret's id.
    pub secret: SecretId,
    /// The name it was exported as.
    pub env: EnvName,
    /// The version that it holds.
    pub version: VersionId,
}

/// `GET /v1/holders/{id}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HoldersResponse {
    /// The secrets that are counted. Several, if the name has passed from one to another.
    pub secrets: Vec<NamedSecretView>,
    /// The numbers, of all holders.
    #[serde(flatten)]
    pub counts: HolderCountsView,
    /// RFC 3339: when they were counted, by the store's clock.
    pub at: Timestamp,
    /// A page of the holders.
    pub items: Vec<HolderView>,
    /// The cursor of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A secret that a name stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct NamedSecretView {
    /// `sec_…`
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// As exported; of a deleted secret, as a running boot received it.
    pub env: EnvName,
    /// Who gets it.
    pub scope: ScopeKind,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// How many running boots hold a secret.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HolderCountsView {
    /// Boots that hold the current version only.
    pub current: u64,
    /// Boots that hold a version that was replaced or deleted.
    pub outdated: u64,
    /// Outdated and lapsed holders that nothing is known to end: no report is expected, and no lifetime is left.
    pub without_end: u64,
    /// RFC 3339: when the last lifetime of an outdated holder passes.
    pub last_lifetime_end: Option<Timestamp>,
    /// Boots that held an outdated version when their lifetime passed, within the last day, without a report of their end.
    pub lapsed: u64,
    /// Boots that hold another member's private secret of the same name, which the other numbers do not count. 0 for callers who
    /// may not see them.
    #[serde(default)]
    pub other_private: u64,
    /// Whether boots that an older version of the program stored are not counted yet.
    pub incomplete: bool,
}

/// A boot that holds a version of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HolderView {
    /// `boot_…`
    pub boot: BootId,
    /// The member it acted for.
    pub member: MemberName,
    /// RFC 3339.
    pub at: Timestamp,
    /// The host name.
    pub host: Option<String>,
    /// Running or presumed running; ended if its lifetime has passed without a report of its end.
    pub state: BootStatus,
    /// Whether the agent said that it reports the end.
    pub reports_end: bool,
    /// RFC 3339: when the lifetime that the ticket declares passes.
    pub lifetime_ends_at: Option<Timestamp>,
    /// The secret's id.
    pub secret: SecretId,
    /// The name it was exported as.
    pub env: EnvName,
    /// The version that it holds.
    pub version: VersionId,
    /// False when the secret has a newer version or is gone.
    pub current: bool,
}
