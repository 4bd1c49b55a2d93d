//! How a secret is kept: what may be listed and the value, sealed, in one record; a long value in a record of its own.

use crate::crypto::value::{SealedValue, ValueContext};
use crate::domain::id::{MemberId, OrgId, SecretId, StoreId, VersionId};
use crate::domain::name::EnvName;
use crate::domain::secret::{Scope, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::tables::secrets;
use crate::store::tables::secrets::{Body, BodyRecord, SecretRecord, SecretValueRecord as Stored};
use serde_bytes::ByteBuf;

/// Bytes of a value, or of its ciphertext, that are kept in the secret's own record: so that one scan of a scope reads
/// all that a boot needs, and no more than it needs.
pub(crate) const INLINE: usize = 2048;

impl Body {
    pub(crate) fn place(&self) -> Option<Key<BodyRecord>> {
        match self {
            Self::Here(_) => None,
            Self::Apart(place) => Some(secrets::body(*place)),
        }
    }

    /// Divides bytes into what stays in the secret's record and what does not.
    pub(crate) fn divide(bytes: Vec<u8>, records: &Records) -> (Self, Option<BodyRecord>) {
        if bytes.len() <= INLINE {
            return (Self::Here(ByteBuf::from(bytes)), None);
        }
        (Self::Apart(records.random_bytes()), Some(BodyRecord { bytes: ByteBuf::from(bytes) }))
    }

    /// The bytes, given what was found at [`place`](Self::place).
    fn whole(self, apart: Option<BodyRecord>) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Here(bytes) => Ok(bytes.into_vec()),
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

    /// The value as it is: sealed, or plain bytes.
    pub(crate) fn whole(self, apart: Option<BodyRecord>) -> Result<Whole, Failure> {
        Ok(match self {
            Self::Plain(body) => Whole::Plain(body.whole(apart)?),
            Self::Sealed { generation, nonce, wrapped, ciphertext } => {
                let ciphertext = ciphertext.whole(apart)?;
                Whole::Sealed(SealedValue { generation, nonce, ciphertext, wrapped })
            }
        })
    }
}

/// A value in one piece.
pub(crate) enum Whole {
    Plain(Vec<u8>),
    Sealed(SealedValue),
}

impl SecretRecord {
    pub(crate) fn key(&self, records: &Records) -> Key<SecretRecord> {
        records.secret(self.org, self.meta.scope, self.meta.id)
    }

    /// What its value is bound to.
    pub(crate) fn bound<T>(&self, store: StoreId, with: impl FnOnce(&ValueContext<'_>) -> T) -> T {
        let SecretMeta { id, env, version, scope, .. } = &self.meta;
        bound(store, self.org, *scope, *id, env, *version, with)
    }
}

/// The context of a value.
pub(crate) fn bound<T>(
    store: StoreId,
    org: OrgId,
    scope: Scope,
    secret: SecretId,
    env: &EnvName,
    version: VersionId,
    with: impl FnOnce(&ValueContext<'_>) -> T,
) -> T {
    let owner = scope.owner();
    with(&ValueContext {
        store: store.as_bytes(),
        org: org.as_bytes(),
        // As depositors that seal themselves number them: part of the format.
        scope: match scope {
            Scope::Shared => 0,
            Scope::Private(_) => 1,
        },
        owner: owner.as_ref().map(MemberId::as_bytes),
        secret: secret.as_bytes(),
        env: env.as_str(),
        version: version.as_bytes(),
    })
}
