//! Secrets: deposit, replace, edit, delete, list. Of the values, only those of kind `plain` are ever returned.

pub(crate) mod batch;
pub(crate) mod batch_item;
pub(crate) mod batch_plan;
mod batch_step;
mod change;
mod deposit;
mod describe;
pub(crate) mod import;
mod list;
mod names;
mod prepare;
mod read;
mod record;
pub(crate) mod reseal;
pub(crate) mod unusable;
mod usage;

pub(crate) use describe::describe_secret;
pub(crate) use record::AssembledValue;

use crate::crypto::value::SealedValue;
use crate::domain::attributes::{Attributes, AttributesPatch};
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{Category, EnvName, MemberName, PluginName, SecretName};
use crate::domain::secret::{ScopeKind, SecretMeta};
use crate::domain::value::{Delivery, Hint, Kind, SecretValue, ValueWarning};
use crate::store::rules::boots::holders::Holders;

/// A deposited value.
#[derive(Debug)]
pub enum Deposit {
    /// In the clear. The store seals it at once, unless the kind is plain.
    Value(SecretValue),
    /// Sealed by the client, to the deposit key of [`Store::deposit_info`](crate::store::Store::deposit_info). Only of kind `encrypted`.
    Sealed(SealedDeposit),
}

/// A value that a client sealed.
#[derive(Debug)]
pub struct SealedDeposit {
    /// The secret's id: chosen by the depositor for a new one, the existing one for a replacement.
    pub id: SecretId,
    /// The new version's id, chosen by the depositor.
    pub version: VersionId,
    /// The ciphertext, its wrapped key and the generation.
    pub value: SealedValue,
    /// The redacted form, which is stored if the organization's policy allows hints.
    pub hint: Option<Hint>,
}

/// A secret to create.
#[derive(Debug)]
pub struct NewSecret {
    /// Its name.
    pub name: SecretName,
    /// The exported name. Absent: converted from `name`.
    pub env: Option<EnvName>,
    /// Shared, or private.
    pub scope: ScopeKind,
    /// The owner of a private secret. Absent: the caller.
    pub owner: Option<MemberName>,
    /// Encrypted or plain.
    pub kind: Kind,
    /// As a variable or as a file.
    pub delivery: Delivery,
    /// What can change later without a new value.
    pub attributes: Attributes,
    /// The value.
    pub deposit: Deposit,
    /// Allows an exported name on the refusal list (an admin).
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
    /// Allows an exported name on the refusal list (an admin).
    pub allow_refused: bool,
    /// Attributes to change in the same commit.
    pub change: AttributesPatch,
}

/// A secret, as callers see it.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Everything but the value.
    pub meta: SecretMeta,
    /// The owner's name. Absent for a shared secret.
    pub owner: Option<MemberName>,
    /// The member who wrote this version, if it is known.
    pub author: Option<MemberName>,
    /// The value of a plain secret.
    pub plain: Option<String>,
    /// The generation of the key that its value is sealed to. Absent for a plain secret.
    pub generation: Option<u32>,
}

/// The result of a deposit.
#[derive(Clone, Debug)]
pub struct Written {
    /// The secret.
    pub secret: Secret,
    /// What the depositor should know.
    pub warnings: Vec<ValueWarning>,
    /// True if the request repeats an idempotency key, so that nothing was done again.
    pub replayed: bool,
}

/// The result of a deletion.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// What was deleted.
    pub secret: Secret,
    /// Boots that still hold one of its versions.
    pub held_by: Holders,
}

/// Which secrets to list. An absent field matches all.
#[derive(Clone, Debug, Default)]
pub struct SecretFilter {
    /// The secret's name or its exported name, exactly.
    pub name: Option<String>,
    /// A part of the name, exported name or description, in any case.
    pub q: Option<String>,
    /// Shared or private.
    pub scope: Option<ScopeKind>,
    /// Private secrets of this member.
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
