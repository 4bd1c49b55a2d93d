//! The records of a secret: metadata and sealed value in one, a long value in a second one.

use serde_bytes::ByteBuf;

use crate::crypto::value::{SealedValue, ValueContext};
use crate::domain::id::{OrgId, SecretId, StoreId, VersionId};
use crate::domain::name::EnvName;
use crate::domain::secret::{Scope, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::tables::secrets::{self, Body, BodyRecord, SecretRecord, SecretValueRecord as Stored};

/// The longest value, or ciphertext, in the secret's own record. One scan of a scope then reads most of what a boot needs,
/// and no long value that it does not need.
pub(crate) const INLINE: usize = 2048;

impl Body {
    pub(crate) fn place(&self) -> Option<Key<BodyRecord>> {
        match self {
            Self::Here(_) => None,
            Self::Apart(place) => Some(secrets::body(*place)),
        }
    }

    /// Decides whether bytes stay in the secret's record or get one of their own.
    pub(crate) fn divide(bytes: Vec<u8>, records: &Records) -> (Self, Option<BodyRecord>) {
        if bytes.len() <= INLINE {
            return (Self::Here(ByteBuf::from(bytes)), None);
        }
        // Not at the secret's id: an old record must never lead to the bytes of a newer value.
        (Self::Apart(records.random_bytes()), Some(BodyRecord { bytes: ByteBuf::from(bytes) }))
    }

    /// The bytes, given the record at [`place`](Self::place).
    fn assemble(self, apart: Option<BodyRecord>) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Here(bytes) => Ok(bytes.into_vec()),
            // Callers that race with a replacement have checked that the record is there.
            Self::Apart(_) => apart.map(|body| body.bytes.into_vec()).ok_or(Failure::Corrupt),
        }
    }
}

impl Stored {
    pub(crate) fn body(&self) -> &Body {
        match self {
            Self::Plain(body) => body,
            Self::Sealed { ciphertext, .. } => ciphertext,
        }
    }

    /// Bytes of its value in this record.
    pub(crate) fn size_here(&self) -> usize {
        match self.body() {
            Body::Here(bytes) => bytes.len(),
            Body::Apart(place) => place.len(),
        }
    }

    pub(crate) fn generation(&self) -> Option<u32> {
        match self {
            Self::Plain(_) => None,
            Self::Sealed { generation, .. } => Some(*generation),
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        match self {
            // It has no data key.
            Self::Plain(_) => true,
            Self::Sealed { wrapped, .. } => wrapped.is_settled(),
        }
    }

    /// A sealed value, divided.
    pub(crate) fn sealed(sealed: SealedValue, records: &Records) -> (Self, Option<BodyRecord>) {
        let SealedValue { generation, nonce, ciphertext, wrapped } = sealed;
        let (ciphertext, apart) = Body::divide(ciphertext, records);
        (Self::Sealed { generation, nonce, wrapped, ciphertext }, apart)
    }

    pub(crate) fn plain(bytes: Vec<u8>, records: &Records) -> (Self, Option<BodyRecord>) {
        let (body, apart) = Body::divide(bytes, records);
        (Self::Plain(body), apart)
    }

    /// The value in one piece, sealed or plain.
    pub(crate) fn assemble(self, apart: Option<BodyRecord>) -> Result<AssembledValue, Failure> {
        Ok(match self {
            Self::Plain(body) => AssembledValue::Plain(body.assemble(apart)?),
            Self::Sealed { generation, nonce, wrapped, ciphertext } => {
                let ciphertext = ciphertext.assemble(apart)?;
                AssembledValue::Sealed(SealedValue { generation, nonce, ciphertext, wrapped })
            }
        })
    }
}

/// A value in one piece.
pub(crate) enum AssembledValue {
    Plain(Vec<u8>),
    Sealed(SealedValue),
}

impl SecretRecord {
    pub(crate) fn key(&self, records: &Records) -> Key<SecretRecord> {
        records.secret(self.org, self.meta.scope, self.meta.id)
    }

    /// What its value is bound to.
    pub(crate) fn context<'a>(&'a self, store: &'a StoreId) -> ValueContext<'a> {
        let SecretMeta { id: secret, env, version, scope, .. } = &self.meta;
        ValuePlace { org: &self.org, scope, secret, env, version }.context(store)
    }
}

/// The place of a value in a store.
pub(crate) struct ValuePlace<'a> {
    pub(crate) org: &'a OrgId,
    pub(crate) scope: &'a Scope,
    pub(crate) secret: &'a SecretId,
    pub(crate) env: &'a EnvName,
    pub(crate) version: &'a VersionId,
}

impl<'a> ValuePlace<'a> {
    pub(crate) fn context(self, store: &'a StoreId) -> ValueContext<'a> {
        // The numbers that clients use when they seal: part of the format.
        let (scope, owner) = match self.scope {
            Scope::Shared => (0, None),
            Scope::Private(owner) => (1, Some(owner.as_bytes())),
        };
        ValueContext {
            store: store.as_bytes(),
            org: self.org.as_bytes(),
            scope,
            owner,
            secret: self.secret.as_bytes(),
            env: self.env.as_str(),
            version: self.version.as_bytes(),
        }
    }
}
