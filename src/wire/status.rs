//! State of the store.

use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StatusView {
    /// `sto_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::StoreId))]
    pub store: String,
    /// The program's version.
    pub version: String,
    /// Whether boots are refused for want of the release key.
    pub locked: bool,
    /// The current key generation.
    pub generation: u32,
    /// Fingerprint of the deposit key.
    pub fingerprint: String,
    /// `memory`, `sqlite` or `etcd`.
    pub backend: String,
    /// The byte store's revision.
    pub revision: u64,
    /// Whether the byte store answers and can be written.
    pub healthy: bool,
    /// Who is asking: `operator`, or a member's name.
    pub identity: String,
    /// The caller's organization.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::OrgName>))]
    pub organization: Option<String>,
    /// The caller's role.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::role::Role>))]
    pub role: Option<String>,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub started_at: String,
    /// Re-encryption under way.
    pub reencrypt: super::ReencryptView,
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
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::OrgName>))]
    pub organization: Option<String>,
    /// The member's name; none for the operator.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::MemberName>))]
    pub member: Option<String>,
    /// `mem_…`; none for the operator.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::id::MemberId>))]
    pub id: Option<String>,
    /// The role; none for the operator.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::role::Role>))]
    pub role: Option<String>,
}
