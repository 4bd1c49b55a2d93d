//! The audit trail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditEntryView {
    /// The chain it stands in.
    pub chain: String,
    /// Its place there, from 0.
    pub seq: u64,
    /// RFC 3339.
    pub at: String,
    /// `operator`, `member`, `ticket`, `store` or `unknown`.
    pub actor_kind: String,
    /// The actor's name.
    pub actor: String,
    /// What was done, such as `secret.create`.
    pub action: String,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// What it was done to: its kind, such as `secret`.
    pub target_kind: Option<String>,
    /// Its name.
    pub target: Option<String>,
    /// Its id.
    pub target_id: Option<String>,
    /// Names, identifiers, numbers and addresses; never a value.
    pub details: BTreeMap<String, String>,
}

/// `GET /v1/audit/verify`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditVerificationView {
    /// Whether every chain is whole.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// The chains.
    pub chains: Vec<ChainView>,
}

/// A chain's state.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ChainView {
    /// Its id.
    pub id: String,
    /// How many entries it has.
    pub length: u64,
    /// `open`, `ended` or `broken`.
    pub state: String,
    /// What is wrong with it, and where.
    pub fault: Option<String>,
}
