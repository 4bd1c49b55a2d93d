//! Lock state, key slots, the deposit key, re-encryption.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What a client needs to seal a deposit. `GET /v1/deposit-key`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DepositKeyView {
    /// `sto_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::StoreId))]
    pub store: String,
    /// `org_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::OrgId))]
    pub organization: String,
    /// `mem_…`: the owner of the caller's private secrets.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::MemberId))]
    pub member: String,
    /// Generation of the key.
    pub generation: u32,
    /// HPKE KEM identifier (RFC 9180 section 7.1).
    pub suite: u16,
    /// The public key, base64.
    pub public_key: String,
    /// What clients pin.
    pub fingerprint: String,
    /// The organization's ceiling for a variable's value, bytes.
    pub variable_ceiling: u32,
    /// Whether the organization keeps redacted forms.
    pub hints: bool,
}

/// A passphrase or key file's text, in a request. Wiped on drop, never printed.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct UnlockText(pub String);

impl std::fmt::Debug for UnlockText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// `POST /v1/unlock`. Exactly one of the two.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UnlockRequest {
    /// Tried on passphrase slots.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, min_length = 1, max_length = 4096))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<UnlockText>,
    /// The text of a key file (`dropsafe-key-1…`), tried on key file and credential slots.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, min_length = 1, max_length = 4096))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<UnlockText>,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct UnlockResponse {
    /// The slot that opened.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::SlotId))]
    pub slot: String,
    /// The current key generation.
    pub generation: u32,
}

/// The answer to `POST /v1/lock`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LockResponse {
    /// Always true.
    pub locked: bool,
}

/// `POST /v1/keyslots`, on an unlocked store. Exactly one of `passphrase` and `key_file`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddKeyslotRequest {
    /// A passphrase for the new slot.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, min_length = 1, max_length = 4096))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<UnlockText>,
    /// A key file's text.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, write_only, min_length = 1, max_length = 4096))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<UnlockText>,
    /// Whether the key file is kept as a systemd credential (only shown).
    #[serde(default)]
    pub credential: bool,
    /// For people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub label: Option<String>,
}

/// A key slot as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeyslotView {
    /// `slot_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::SlotId))]
    pub id: String,
    /// `passphrase`, `key_file` or `credential`.
    pub kind: String,
    /// For people.
    pub label: Option<String>,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub created_at: String,
}

/// Re-encryption of everything: `GET` or `POST /v1/secrets/re-encrypt`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReencryptView {
    /// Whether one is under way.
    pub running: bool,
    /// The generation that deposits go to.
    pub generation: u32,
    /// Secrets moved so far in this run.
    pub done: u64,
    /// Secrets to move in all, as counted at its start; absent when not known.
    pub total: Option<u64>,
}
