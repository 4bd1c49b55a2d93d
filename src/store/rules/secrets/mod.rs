//! Secrets: deposit, replace, edit, delete, list. Values go in here and never come out, type `plain` apart.

mod change;
mod deposit;
mod import;
mod many;
mod prepare;
mod read;
mod record;
mod reseal;

pub use import::{ImportAsk, ImportLine, ImportReport};
pub(crate) use many::{Item, Planned, Rules};
pub(crate) use record::Whole;

use crate::crypto::value::SealedValue;
use crate::domain::attributes::{Attributes, AttributesPatch};
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{Category, EnvName, MemberName, PluginName, SecretName};
use crate::domain::secret::{ScopeKind, SecretMeta};
use crate::domain::value::{Delivery, Hint, Kind, SecretValue, ValueWarning};
use crate::store::rules::boots::Holder;

/// A value on its way in.
#[derive(Debug)]
pub enum Deposit {
    /// As is; sealed here at once unless the kind is plain.
    Value(SecretValue),
    /// Sealed by the client, to the deposit key of [`Store::deposit_info`](super::Store::deposit_info). Only of kind `encrypted`.
    Sealed(SealedDeposit),
}

/// What a client sealed.
#[derive(Debug)]
pub struct SealedDeposit {
    /// The secret's id: chosen by the depositor for a new one, the existing one for a replacement.
    pub id: SecretId,
    /// The new version's id, chosen by the depositor.
    pub version: VersionId,
    /// The ciphertext, its wrapped key and the generation.
    pub value: SealedValue,
    /// Redacted form, kept when the organization keeps them.
    pub hint: Option<Hint>,
}

/// A secret to be made.
#[derive(Debug)]
pub struct NewSecret {
    /// Its name.
    pub name: SecretName,
    /// The exported name, when it is not to be converted from `name`.
    pub env: Option<EnvName>,
    /// Shared, or private.
    pub scope: ScopeKind,
    /// Whose private secret it is; absent: the caller's. Not with `Shared`.
    pub owner: Option<MemberName>,
    /// Encrypted or plain.
    pub kind: Kind,
    /// As a variable or as a file.
    pub delivery: Delivery,
    /// What can change later without a new value.
    pub attributes: Attributes,
    /// The value.
    pub deposit: Deposit,
    /// An admin's word that an exported name on the refusal list is meant.
    pub allow_refused: bool,
}

/// A new value for a secret: a new version.
#[derive(Debug)]
pub struct Replacement {
    /// The value.
    pub deposit: Deposit,
    /// Another exported name from now on.
    pub env: Option<EnvName>,
    /// Another kind from now on.
    pub kind: Option<Kind>,
    /// Another delivery from now on.
    pub delivery: Option<Delivery>,
    /// An admin's word that an exported name on the refusal list is meant.
    pub allow_refused: bool,
    /// Attributes to change in the same commit.
    pub change: AttributesPatch,
}

/// A secret as shown.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Everything but the value.
    pub meta: SecretMeta,
    /// The owner's name, when it is private.
    pub owner: Option<MemberName>,
    /// Who wrote this version, when that member is still known.
    pub author: Option<MemberName>,
    /// The value of a plain one.
    pub plain: Option<String>,
    /// Generation of the key that its value is sealed to; none for a plain one.
    pub generation: Option<u32>,
}

/// The answer to a deposit.
#[derive(Clone, Debug)]
pub struct Written {
    /// The secret.
    pub secret: Secret,
    /// What the depositor should know.
    pub warnings: Vec<ValueWarning>,
    /// True when this answers a repeated idempotency key: nothing was done again.
    pub replayed: bool,
}

/// The answer to a deletion.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// What was deleted.
    pub secret: Secret,
    /// Boots that still hold one of its versions, newest first, as far as [`Store::holders`](super::Store::holders) looks.
    pub held_by: Vec<Holder>,
}

/// Which secrets to list; absent fields admit all.
#[derive(Clone, Debug, Default)]
pub struct SecretFilter {
    /// The secret's name or its exported name, exactly.
    pub name: Option<String>,
    /// Part of either, without regard to case.
    pub q: Option<String>,
    /// Shared or private.
    pub scope: Option<ScopeKind>,
    /// Private ones of this member (for who may see them).
    pub owner: Option<MemberName>,
    /// Encrypted or plain.
    pub kind: Option<Kind>,
    /// Of this plugin.
    pub plugin: Option<PluginName>,
    /// Of this category.
    pub category: Option<Category>,
    /// On or off.
    pub auto_install: Option<bool>,
    /// Tied to a plugin at all, or to none.
    pub has_plugin: Option<bool>,
    /// In a category at all, or in none.
    pub has_category: Option<bool>,
    /// Tied to a plugin that is enabled, or to one that is disabled.
    pub plugin_enabled: Option<bool>,
}
