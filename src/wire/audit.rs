//! The audit log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditEntryView {
    /// The chain it stands in.
    pub chain: String,
    /// Its position in the chain, from 0.
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
    /// The kind of the target, such as `secret`.
    pub target_kind: Option<String>,
    /// The name of the target.
    pub target: Option<String>,
    /// The id of the target.
    pub target_id: Option<String>,
    /// Names, identifiers, numbers and addresses; never a value.
    pub details: BTreeMap<String, String>,
    /// The name of the member who created the credential that acted; `details` has the id as `author`. Absent where the operator
    /// did, where it is unknown, and for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What a boot received; with the parameter `secret`, only that secret. Absent for other entries, and for a boot whose
    /// record was deleted or does not match the digest in the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Vec<ReleasedVersionView>>,
}

/// A version of a secret that a boot received.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReleasedVersionView {
    /// The name it was exported as.
    pub env: String,
    /// The secret's name then.
    pub name: String,
    /// The secret's id.
    pub secret: String,
    /// `private` or `shared`.
    pub scope: String,
    /// The version.
    pub version: String,
}

/// `GET /v1/audit/verify`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditVerificationView {
    /// Whether every chain is complete, and every row that was read is what the log says.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// The chains.
    pub chains: Vec<ChainView>,
    /// The rows of the store beside the log. Absent unless the request asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateView>,
}

/// The rows of the store beside the log, and those that do not fit it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StateView {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that somebody changed without the store, by table.
    pub faults: Vec<RowFaultsView>,
}

/// Rows of one table that somebody changed without the store.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RowFaultsView {
    /// The table, such as `ticket` or `secrets`.
    pub table: String,
    /// `missing`: deleted. `replaced`: changed, or an older version of the row. `inserted`: made up, or put back after its deletion.
    pub fault: String,
    /// How many rows.
    pub rows: u64,
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
