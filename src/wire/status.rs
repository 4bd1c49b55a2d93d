//! State of the store.

use serde::{Deserialize, Serialize};

use crate::domain::id::{MemberId, StoreId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::pin::Pin;
use crate::domain::role::{MemberKind, Role};
use crate::domain::time::Timestamp;

/// `GET /v1/status`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StatusView {
    /// `sto_…`
    pub store: StoreId,
    /// The program's version.
    pub version: String,
    /// Whether boots are refused for want of the release key.
    pub locked: bool,
    /// The current key generation.
    pub generation: u32,
    /// Fingerprint of the deposit key.
    pub fingerprint: String,
    /// The key of the server process that answers, to which passphrases are sealed (X25519, base64). It changes after each use
    /// and with each start.
    pub process_key: String,
    /// The pins of the TLS keys of the server that answers: of the current one and, if it is known, of the next one.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// `memory`, `sqlite` or `etcd`.
    pub backend: String,
    /// The byte store's revision.
    pub revision: u64,
    /// Whether the byte store answers and can be written.
    pub healthy: bool,
    /// Who is asking: `operator`, or a member's name.
    pub identity: String,
    /// The caller's organization.
    pub organization: Option<OrgName>,
    /// The caller's role.
    pub role: Option<Role>,
    /// RFC 3339.
    pub started_at: Timestamp,
    /// Re-encryption under way.
    pub reencrypt: super::ReencryptView,
    /// The last verification of the audit log and of all rows, by any server. Absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_check: Option<StateCheckView>,
    /// Secrets whose values are known not to open: shared ones and the caller's own; for the operator, the number of all.
    #[serde(default)]
    pub unusable: UnusableSecretsView,
}

/// Secrets whose values are known not to open, or cannot be exported. A private one stops its owner's boots, a shared one is
/// left out.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct UnusableSecretsView {
    /// How many.
    pub count: u64,
    /// Those that the caller may see, at most 100.
    pub secrets: Vec<super::NamedSecretView>,
}

/// A verification of the audit log and of all rows of the store.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StateCheckView {
    /// RFC 3339.
    pub started_at: Timestamp,
    /// RFC 3339. Absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Seconds since the start of the verification before. Absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u64>,
    /// Entries of the audit log.
    pub entries: u64,
    /// Rows of the store beside the log.
    pub rows: u64,
    /// Whether the log and all rows were verified.
    pub ok: bool,
    /// Rows that are not what the log says.
    pub faults: u64,
}

/// `GET /healthz` and `/readyz`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HealthView {
    /// `ok`.
    pub status: String,
}

/// `GET /v1/whoami`: who the credential stands for.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct IdentityView {
    /// `operator` or `member`.
    pub kind: String,
    /// The caller's organization; none for the operator.
    pub organization: Option<OrgName>,
    /// The member's name; none for the operator.
    pub member: Option<MemberName>,
    /// `mem_…`; none for the operator.
    pub id: Option<MemberId>,
    /// The role; none for the operator.
    pub role: Option<Role>,
    /// Person, service or launcher; none for the operator, and from an older server.
    #[serde(default)]
    pub member_kind: Option<MemberKind>,
}
