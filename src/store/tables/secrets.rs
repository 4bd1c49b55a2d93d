//! Secrets: metadata and sealed value in one record, a long value in a second one, the indexes by id, name
//! and exported name, the version stamp of each scope, and the marks of values that are still to be settled, or do not open.
//!
//! Everything of one scope lies together, so that a boot reads what it needs with one scan per scope.

use serde_bytes::ByteBuf;

use crate::crypto::aead::Nonce;
use crate::crypto::value::WrappedKey;
use crate::domain::attributes::Attributes;
use crate::domain::id::{OrgId, SecretId, VersionId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::secret::{Scope, SecretMeta};
use crate::domain::value::ValueWarning;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const SECRETS: Table = Table::new(b's', "secrets");
pub(crate) const UNSETTLED: Table = Table::new(b'u', "unsettled");
pub(crate) const UNUSABLE: Table = Table::new(b'x', "unusable values");
pub(crate) const BODIES: Table = Table::new(b'v', "bodies");
pub(crate) const SECRET_SCOPES: Table = Table::new(b'i', "secret ids");
pub(crate) const SECRET_ENVS: Table = Table::new(b'e', "exported name");
pub(crate) const SECRET_NAMES: Table = Table::new(b'n', "secret name");

pub(crate) fn all_secrets() -> Prefix<SecretRecord> {
    SECRETS.all()
}

/// Returns the prefix of the marks of all secrets whose data keys are to be settled.
pub(crate) fn all_unsettled() -> Prefix<Unsettled> {
    UNSETTLED.all()
}

pub(crate) fn unsettled(secret: &Key<SecretRecord>) -> Key<Unsettled> {
    // The key of the secret under another letter: a scan of the marks then finds the secrets.
    all_unsettled().key(&secret.bytes()[1..])
}

/// Returns the key of the secret that a mark is for.
pub(crate) fn marked(marker: &[u8]) -> Key<SecretRecord> {
    all_secrets().key(&marker[1..])
}

/// Returns the prefix of the marks of all secrets whose values did not open.
pub(crate) fn all_unusable() -> Prefix<UnusableMark> {
    UNUSABLE.all()
}

pub(crate) fn body(place: [u8; 16]) -> Key<BodyRecord> {
    BODIES.by_id(&place)
}

impl Records {
    /// Returns the prefix of the secrets of one scope.
    pub(crate) fn secrets(&self, org: OrgId, scope: Scope) -> Prefix<SecretRecord> {
        // The kind is a part of its own, so that no owner's id can stand for the shared scope.
        let (kind, owner) = scope_parts(&scope);
        self.grouped(&SECRETS, &[org.as_bytes(), kind, owner])
    }

    pub(crate) fn secret(&self, org: OrgId, scope: Scope, id: SecretId) -> Key<SecretRecord> {
        self.secrets(org, scope).key(id.as_bytes())
    }

    /// Returns the prefix of the marks of an organization's secrets whose values did not open.
    pub(crate) fn unusable(&self, org: OrgId) -> Prefix<UnusableMark> {
        self.grouped(&UNUSABLE, &[org.as_bytes()])
    }

    /// Returns the prefix of the scopes of an organization's secrets, by id.
    pub(crate) fn scopes(&self, org: OrgId) -> Prefix<Scope> {
        self.grouped(&SECRET_SCOPES, &[org.as_bytes()])
    }

    /// Returns the key that says which secret of a scope is exported under a name.
    pub(crate) fn secret_env(&self, org: OrgId, scope: Scope, env: &EnvName) -> Key<SecretId> {
        let (kind, owner) = scope_parts(&scope);
        self.hashed(&SECRET_ENVS, &[org.as_bytes(), kind, owner, env.as_str().as_bytes()])
    }

    /// Returns the key that says which secret of a scope has a name.
    pub(crate) fn secret_name(&self, org: OrgId, scope: Scope, name: &SecretName) -> Key<SecretId> {
        let (kind, owner) = scope_parts(&scope);
        self.hashed(&SECRET_NAMES, &[org.as_bytes(), kind, owner, name.as_str().as_bytes()])
    }
}

fn scope_parts(scope: &Scope) -> (&'static [u8], &[u8]) {
    match scope {
        Scope::Shared => (b"shared", &[]),
        Scope::Private(owner) => (b"private", owner.as_bytes()),
    }
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretRecord {
    pub(crate) org: OrgId,
    pub(crate) meta: SecretMeta,
    pub(crate) value: SecretValueRecord,
}

/// Its value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SecretValueRecord {
    /// Of type `plain`: encrypted with the record only.
    Plain(Body),
    /// Sealed.
    Sealed { generation: u32, nonce: Nonce, wrapped: WrappedKey, ciphertext: Body },
}

/// Bytes that may be long.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// In the secret's own record.
    Here(ByteBuf),
    /// In a [`BodyRecord`] at this random place, which is another one for each sealing: a reader of the secret's record finds the
    /// bytes that belong to it there, or nothing.
    Apart([u8; 16]),
}

stored! {
    StoredAttributesV1 = Attributes {
        auto_install: bool,
        plugin: Option<String>,
        category: Option<String>,
    } before { description: None }
}

stored! {
    StoredAttributesV2 = Attributes {
        auto_install: bool,
        plugin: Option<String>,
        category: Option<String>,
        description: Option<String>,
    }
}

// A format of its own inside the record around it, because attributes gain fields most often.
record! { Attributes { 1 => StoredAttributesV1, } newest 2 => StoredAttributesV2 }

stored! {
    StoredSecretMetaV1 = SecretMeta {
        id: [u8; 16],
        name: String,
        env: String,
        scope: Option<[u8; 16]>,
        kind: String,
        delivery: String,
        attributes: ByteBuf,
        version: [u8; 16],
        hint: Option<String>,
        allow_refused: bool,
        value_len: u32,
        created_at: i64,
        updated_at: i64,
        author: [u8; 16],
    }
}

stored! {
    enum StoredSecretValueV1 {
        Plain(StoredBodyV1),
        Sealed { generation: u32, nonce: [u8; 24], wrapped: StoredWrappedKeyV1, ciphertext: StoredBodyV1 },
    }
}

stored! {
    enum StoredBodyV1 { Here(ByteBuf), Apart([u8; 16]) }
}

stored! {
    enum StoredWrappedKeyV1 {
        Hpke { suite: u16, enc: ByteBuf, ct: ByteBuf },
        Settled { nonce: [u8; 24], ct: ByteBuf },
    }
}

impl Convert<StoredSecretValueV1> for SecretValueRecord {
    fn to_stored(&self) -> Result<StoredSecretValueV1, Failure> {
        Ok(match self {
            Self::Plain(body) => StoredSecretValueV1::Plain(body.to_stored()?),
            Self::Sealed { generation, nonce, wrapped, ciphertext } => StoredSecretValueV1::Sealed {
                generation: *generation,
                nonce: *nonce,
                wrapped: wrapped.to_stored()?,
                ciphertext: ciphertext.to_stored()?,
            },
        })
    }

    fn from_stored(stored: StoredSecretValueV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredSecretValueV1::Plain(body) => Self::Plain(Convert::from_stored(body)?),
            StoredSecretValueV1::Sealed { generation, nonce, wrapped, ciphertext } => {
                let (wrapped, ciphertext) =
                    (Convert::from_stored(wrapped)?, Convert::from_stored(ciphertext)?);
                Self::Sealed { generation, nonce, wrapped, ciphertext }
            }
        })
    }
}

impl Convert<StoredBodyV1> for Body {
    fn to_stored(&self) -> Result<StoredBodyV1, Failure> {
        Ok(match self {
            Self::Here(bytes) => StoredBodyV1::Here(bytes.clone()),
            Self::Apart(place) => StoredBodyV1::Apart(*place),
        })
    }

    fn from_stored(stored: StoredBodyV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredBodyV1::Here(bytes) => Self::Here(bytes),
            StoredBodyV1::Apart(place) => Self::Apart(place),
        })
    }
}

impl Convert<StoredWrappedKeyV1> for WrappedKey {
    fn to_stored(&self) -> Result<StoredWrappedKeyV1, Failure> {
        Ok(match self {
            Self::Hpke { suite, enc, ct } => {
                StoredWrappedKeyV1::Hpke { suite: *suite, enc: enc.to_stored()?, ct: ct.to_stored()? }
            }
            Self::Settled { nonce, ct } => StoredWrappedKeyV1::Settled { nonce: *nonce, ct: ct.to_stored()? },
        })
    }

    fn from_stored(stored: StoredWrappedKeyV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredWrappedKeyV1::Hpke { suite, enc, ct } => {
                Self::Hpke { suite, enc: enc.into_vec(), ct: ct.into_vec() }
            }
            StoredWrappedKeyV1::Settled { nonce, ct } => Self::Settled { nonce, ct: ct.into_vec() },
        })
    }
}

stored! {
    StoredSecretV1 = SecretRecord {
        org: [u8; 16],
        meta: StoredSecretMetaV1,
        value: StoredSecretValueV1,
    }
}

record! { SecretRecord {} newest 1 => StoredSecretV1 }
record! { SecretId {} newest 1 => [u8; 16] }
record! { Scope {} newest 1 => Option<[u8; 16]> }

/// A long value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BodyRecord {
    pub(crate) bytes: ByteBuf,
}

stored! {
    StoredLongValueV1 = BodyRecord { bytes: ByteBuf }
}

record! { BodyRecord {} newest 1 => StoredLongValueV1 }

/// Marks a secret whose data key is still wrapped to the deposit key.
#[derive(Clone)]
pub(crate) struct Unsettled;

/// Marks a secret whose value did not open, or cannot be exported. It does not count for any other version or generation of
/// the value, so that no deposit has to delete it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UnusableMark {
    /// The key of the secret.
    pub(crate) secret: ByteBuf,
    pub(crate) version: VersionId,
    pub(crate) generation: Option<u32>,
}

stored! {
    StoredUnsettledV1 = Unsettled {}
}

stored! {
    StoredUnusableMarkV1 = UnusableMark { secret: ByteBuf, version: [u8; 16], generation: Option<u32> }
}

record! { Unsettled {} newest 1 => StoredUnsettledV1 }
record! { UnusableMark {} newest 1 => StoredUnusableMarkV1 }

/// The answer to a deposit, for repetitions of its idempotency key.
pub(crate) struct DepositAnswer {
    pub(crate) meta: SecretMeta,
    pub(crate) generation: Option<u32>,
    pub(crate) warnings: Vec<ValueWarning>,
}

stored! {
    StoredDepositAnswerV1 = DepositAnswer {
        meta: StoredSecretMetaV1,
        generation: Option<u32>,
        warnings: Vec<StoredWarningV1>,
    }
}

record! { DepositAnswer {} newest 1 => StoredDepositAnswerV1 }

stored! {
    enum StoredWarningV1 { TrailingNewline, Empty, UnusualForm(String), LooksLikeKey }
}

impl Convert<StoredWarningV1> for ValueWarning {
    fn to_stored(&self) -> Result<StoredWarningV1, Failure> {
        Ok(match self {
            Self::TrailingNewline => StoredWarningV1::TrailingNewline,
            Self::Empty => StoredWarningV1::Empty,
            Self::UnusualForm { expected } => StoredWarningV1::UnusualForm(expected.to_string()),
            Self::LooksLikeKey => StoredWarningV1::LooksLikeKey,
        })
    }

    fn from_stored(stored: StoredWarningV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredWarningV1::TrailingNewline => Self::TrailingNewline,
            StoredWarningV1::Empty => Self::Empty,
            StoredWarningV1::UnusualForm(expected) => Self::UnusualForm { expected: expected.into() },
            StoredWarningV1::LooksLikeKey => Self::LooksLikeKey,
        })
    }
}
