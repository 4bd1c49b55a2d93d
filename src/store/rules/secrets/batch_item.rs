//! The items of a batch, and what holds for all of them.

use crate::domain::attributes::Attributes;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::import::{ExistingPolicy, LineOptions};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::secret::{Scope, SecretMeta};
use crate::domain::value::Kind;
use crate::store::rules::secrets::Deposit;
use crate::store::tables::secrets::{Body, SecretRecord, SecretValueRecord};

/// One secret of a batch.
pub(crate) struct BatchItem {
    pub(crate) name: SecretName,
    /// The exported name of a new secret.
    pub(crate) env: EnvName,
    pub(crate) lookup: ItemLookup,
    pub(crate) value: ItemValue,
    /// The settings of this secret, new or not.
    pub(crate) options: LineOptions,
    /// The version that the secret must have, unless it already has the item's value.
    pub(crate) if_version: Option<VersionId>,
}

/// Which secret counts as the one that an item means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemLookup {
    /// The one with the item's name.
    Name,
    /// The one with its exported name.
    ExportedName,
    /// The one with its exported name, or else with its name.
    Either,
}

/// What an item does.
pub(crate) enum ItemValue {
    Deposit(Deposit),
    /// Deposits a value that is not part of a preview, because it is not sealed yet. With its length in bytes, if that is known.
    Later(Option<u32>),
    /// Deletes the secret.
    Clear,
}

/// What holds for all items.
pub(crate) struct BatchRules {
    /// The scopes in which existing secrets are looked up, in this order.
    pub(crate) scopes: Vec<Scope>,
    /// The scope of new secrets.
    pub(crate) new_in: Scope,
    pub(crate) existing: ExistingPolicy,
    /// Of new secrets.
    pub(crate) kind: Kind,
    /// Of new secrets.
    pub(crate) attributes: Attributes,
}

impl BatchItem {
    pub(crate) fn apply(&self, meta: &mut SecretMeta) {
        let LineOptions { kind, delivery, attributes, allow_refused: _ } = &self.options;
        meta.kind = kind.unwrap_or(meta.kind);
        meta.delivery = delivery.unwrap_or(meta.delivery);
        attributes.apply(&mut meta.attributes);
    }

    /// The id that the value is sealed under.
    pub(crate) fn sealed_id(&self) -> Option<SecretId> {
        match &self.value {
            ItemValue::Deposit(Deposit::Sealed(sealed)) => Some(sealed.id),
            _ => None,
        }
    }

    /// The generation that the value is sealed to.
    pub(crate) fn sealed_generation(&self) -> Option<u32> {
        match &self.value {
            ItemValue::Deposit(Deposit::Sealed(sealed)) => Some(sealed.value.generation),
            _ => None,
        }
    }

    /// Whether the secret has this value, as far as the store can tell: a repeated import then leaves it as it is.
    pub(crate) fn is_value_of(&self, before: &SecretRecord) -> bool {
        match (&self.value, &before.value) {
            // A version id belongs to one value, so the same id means the same value, without opening either.
            (ItemValue::Deposit(Deposit::Sealed(sealed)), _) => {
                (sealed.id, sealed.version) == (before.meta.id, before.meta.version)
            }
            // A long plain value is in a record of its own: reading it costs more than a new version of it.
            (ItemValue::Deposit(Deposit::Value(value)), SecretValueRecord::Plain(Body::Here(bytes))) => {
                bytes.as_slice() == value.expose()
            }
            _ => false,
        }
    }
}
