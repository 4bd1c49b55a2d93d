//! Checkpoints of the audit log.

use serde::{Deserialize, Deserializer, Serialize};

/// `POST /v1/audit/checkpoint`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckpointRequest {
    /// The chains of an earlier checkpoint. The answer proves that the log continues each of them. A chain that the log does not have,
    /// or that is shorter there, has no proof.
    #[serde(
        default,
        deserialize_with = "super::object::optional_list",
        skip_serializing_if = "Option::is_none"
    )]
    pub since: Option<Vec<ChainSizeRequest>>,
}

/// How many entries a chain had.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChainSizeRequest {
    /// Its id.
    pub chain: String,
    /// The number of its entries.
    #[serde(deserialize_with = "whole_int64")]
    pub size: u64,
}

/// The description says `int64`, as programs in other languages have no larger number.
fn whole_int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    super::number::whole::<_, i64>(deserializer).map(i64::unsigned_abs)
}
