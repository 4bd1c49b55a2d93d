//! Lock state, key slots, the deposit key, re-encryption.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::unparsed::LabelText;
use crate::domain::id::{MemberId, OrgId, SlotId, StoreId};
use crate::domain::time::Timestamp;

/// What a client needs to seal a deposit. `GET /v1/deposit-key`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DepositKeyView {
    /// `sto_…`
    pub store: StoreId,
    /// `org_…`
    pub organization: OrgId,
    /// `mem_…`: the owner of the caller's private secrets.
    pub member: MemberId,
    /// Generation of the key.
    pub generation: u32,
    /// HPKE KEM identifier (RFC 9180 section 7.1).
    pub suite: u16,
    /// The public key, base64.
    pub public_key: String,
    /// What clients pin: `sha256/` and a digest of suite, generation, deposit key and, if it has one, signing key.
    pub fingerprint: String,
    /// The generations that endorse each other up to the current one, oldest first. A client that has pinned one of them
    /// verifies the signatures and follows. Empty if the generation has no signing key.
    #[serde(default)]
    pub chain: Vec<GenerationView>,
    /// The organization's ceiling for a variable's value, bytes.
    pub variable_ceiling: u32,
    /// Whether the organization keeps redacted forms.
    pub hints: bool,
}

/// The public keys of a key generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct GenerationView {
    /// Its number.
    pub generation: u32,
    /// The X25519 deposit key, base64.
    pub public_key: String,
    /// The Ed25519 key that signs the next generation, base64.
    pub signing_key: String,
    /// The signature of the generation before, base64; none for the first.
    pub endorsement: Option<String>,
}

/// A passphrase or key file's text, in a request. Wiped on drop, never printed.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct UnlockText(pub String);

#[cfg(feature = "server")]
impl utoipa::PartialSchema for UnlockText {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};

        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(4096));
        text.write_only(true).into()
    }
}

#[cfg(feature = "server")]
impl utoipa::ToSchema for UnlockText {}

impl std::fmt::Debug for UnlockText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What opens a key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnlockKind {
    /// A passphrase.
    Passphrase,
    /// The text of a key file.
    KeyFile,
}

impl UnlockKind {
    /// The text of the wire, which is also a part of what a sealed text is bound to.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key_file",
        }
    }
}

/// A passphrase or the text of a key file, sealed by the client to the key of a server process. Binary fields are base64.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SealedTextBody {
    /// What the text is.
    pub kind: UnlockKind,
    /// The key that it is sealed to: `process_key` of `GET /v1/status`.
    #[cfg_attr(feature = "server", schema(pattern = r"^[A-Za-z0-9+/]{43}=$"))]
    pub process_key: String,
    /// HPKE encapsulated key.
    #[cfg_attr(feature = "server", schema(pattern = r"^[A-Za-z0-9+/]{43}=$"))]
    pub enc: String,
    /// The text under HPKE (RFC 9180): base mode, DHKEM(X25519), HKDF-SHA256, ChaCha20-Poly1305.
    #[cfg_attr(feature = "server", schema(min_length = 24, pattern = r"^[A-Za-z0-9+/]*={0,2}$"))]
    pub ciphertext: String,
}

/// `POST /v1/unlock`. Exactly one of the three.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UnlockRequest {
    /// Tried on passphrase slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<UnlockText>,
    /// The text of a key file (`dropsafe-key-1…`), tried on key file and credential slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<UnlockText>,
    /// Either of them, sealed by the client.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedTextBody>,
}

/// The response to it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct UnlockResponse {
    /// The slot that opened.
    pub slot: SlotId,
    /// The current key generation.
    pub generation: u32,
}

/// The response to `POST /v1/lock`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LockResponse {
    /// Always true.
    pub locked: bool,
}

/// `POST /v1/keyslots`, on an unlocked store. Exactly one of `passphrase`, `key_file` and `sealed`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddKeyslotRequest {
    /// A passphrase for the new slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<UnlockText>,
    /// A key file's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<UnlockText>,
    /// Either of them, sealed by the client.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedTextBody>,
    /// Whether the key file is kept as a systemd credential (only shown).
    #[serde(default)]
    pub credential: bool,
    /// Whether to accept a passphrase that fewer than 10^10 guesses find.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_weak: bool,
    /// For people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelText>,
}

/// A key slot as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeyslotView {
    /// `slot_…`
    pub id: SlotId,
    /// `passphrase`, `key_file` or `credential`.
    pub kind: String,
    /// For people.
    pub label: Option<String>,
    /// RFC 3339.
    pub created_at: Timestamp,
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
    /// Secrets whose values do not open. They stay under older generations.
    #[serde(default)]
    pub left: u64,
    /// Secrets whose records are damaged.
    #[serde(default)]
    pub damaged: u64,
    /// The older generations that these may need, whose release keys are kept.
    #[serde(default)]
    pub kept: Vec<u32>,
    /// Whether the generation before signed the current one, so that clients that have pinned it follow by themselves.
    #[serde(default)]
    pub endorsed: bool,
}
