//! Deposits: a value is checked, then sealed to the store's deposit key, and only what is sealed leaves this process.
//!
//! A plain setting is sent as it is, since the store may show it. A deposit key that is not the pinned one gets nothing.

use data_encoding::BASE64;
use thiserror::Error;

use super::api_client::Client;
use super::error::CallError;
use crate::crypto::deposit::DepositKey;
use crate::crypto::random::Random;
use crate::crypto::value::WrappedKey;
use crate::crypto::{hpke, random, value as sealing};
use crate::domain::catalog::Presets;
use crate::domain::hint::Hint;
use crate::domain::id::{MemberId, OrgId, SecretId, StoreId, VersionId};
use crate::domain::name::{EnvName, NameError, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Kind, SecretValue, ValueError, ValueWarning, check};
use crate::wire::{
    Code, CreateSecretRequest, DepositKeyView, ReplaceSecretRequest, SealedBody, SecretView, Value,
    ValueBase64,
};

/// Why a value was not deposited.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum DepositError {
    /// The value cannot be delivered.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The name, or the name to export as, cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store has another deposit key than the pinned one. Nothing was sent.
    #[error("the store's deposit key has changed: its fingerprint is {presented}, expected was {pinned}")]
    KeyChanged {
        /// The fingerprint that was expected.
        pinned: String,
        /// The fingerprint of the key that the store gave.
        presented: String,
    },
    /// The key is for a way of sealing that this program does not know.
    #[error("the store's deposit key is of the kind {0:#06x}, which this program does not know")]
    Suite(u16),
    /// What the store gave is no deposit key.
    #[error("the store gave a deposit key that cannot be used")]
    KeyUnusable,
    /// The secret that is to be replaced was not described as a store does it.
    #[error("the store described the secret in a way that this program does not know")]
    SecretUnusable,
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl DepositError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Value(error) => error.hint(),
            Self::Name(error) => error.hint(),
            Self::KeyChanged { .. } => Some(
                "every re-encryption of the whole store makes a new key: ask the operator for the fingerprint that \
                 `dropsafe status` shows, and accept it with `dropsafe login`; otherwise someone may be posing as the store",
            ),
            Self::Suite(_) => Some("update this program"),
            Self::KeyUnusable | Self::SecretUnusable => None,
            Self::Call(error) => error.hint(),
        }
    }
}

/// Deposits values with one store's deposit key.
#[derive(Debug)]
pub(crate) struct Depositor {
    info: DepositKeyView,
    key: DepositKey,
    pinned: Option<String>,
}

impl Depositor {
    /// Fetches the store's deposit key, which must have the fingerprint `pinned`, if one is known. The first time none is:
    /// keep [`Depositor::fingerprint`] for the next.
    pub(crate) async fn open(client: &mut Client, pinned: Option<String>) -> Result<Self, DepositError> {
        let info = client.deposit_info().await?;
        let key = key(&info, pinned.as_deref())?;
        Ok(Self { info, key, pinned })
    }

    /// The fingerprint of the key in use, computed from the key.
    pub(crate) fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    /// Deposits `value` as a new secret. The fields of `secret` for the value and its hint are filled in here. The answer's
    /// warnings include what was noticed about the value.
    pub(crate) async fn create(
        &mut self,
        client: &mut Client,
        mut secret: CreateSecretRequest,
        value: &SecretValue,
        rng: &mut dyn Random,
    ) -> Result<SecretView, DepositError> {
        let env = match &secret.env {
            Some(env) => EnvName::parse(env)?,
            None => SecretName::parse(&secret.name)?.export(),
        };
        let mut warnings = check(value, &env, secret.delivery, self.info.variable_ceiling)?;
        warnings.extend(judged(&secret.name, &env, secret.kind, value));
        let mut stale = false;
        loop {
            let place = DepositTarget {
                id: SecretId::from_bytes(random::array(rng)),
                scope: secret.scope,
                env: &env,
            };
            let carried = self.carry(secret.kind, &place, value, rng)?;
            (secret.value, secret.value_base64) = (carried.value, carried.value_base64);
            (secret.sealed, secret.hint) = (carried.sealed, carried.hint);
            match client.create_secret(&secret).await {
                Ok(view) => return Ok(warned(view, &warnings)),
                Err(error) => self.renew_once(client, error, &mut stale).await?,
            }
        }
    }

    /// Deposits `value` as a new version of `existing`; with `if_version`, only while that is the current one. The fields of
    /// `replacement` for the value and its hint are filled in here.
    pub(crate) async fn replace(
        &mut self,
        client: &mut Client,
        existing: &SecretView,
        mut replacement: ReplaceSecretRequest,
        value: &SecretValue,
        if_version: Option<&str>,
        rng: &mut dyn Random,
    ) -> Result<SecretView, DepositError> {
        let env = EnvName::parse(replacement.env.as_deref().unwrap_or(&existing.env))?;
        let delivery = replacement.delivery.unwrap_or(existing.delivery);
        let mut warnings = check(value, &env, delivery, self.info.variable_ceiling)?;
        warnings.extend(judged(&existing.name, &env, replacement.kind.unwrap_or(existing.kind), value));
        let id: SecretId = existing.id.parse().map_err(|_| DepositError::SecretUnusable)?;
        let place = DepositTarget { id, scope: existing.scope, env: &env };
        let mut stale = false;
        loop {
            let carried = self.carry(replacement.kind.unwrap_or(existing.kind), &place, value, rng)?;
            (replacement.value, replacement.value_base64) = (carried.value, carried.value_base64);
            (replacement.sealed, replacement.hint) = (carried.sealed, carried.hint);
            match client.replace_secret(&existing.id, &replacement, if_version).await {
                Ok(view) => return Ok(warned(view, &warnings)),
                Err(error) => self.renew_once(client, error, &mut stale).await?,
            }
        }
    }

    /// After an answer that the key is not current any more, fetches the one that is; once, for a key that changes all the
    /// time is none.
    async fn renew_once(
        &mut self,
        client: &mut Client,
        error: CallError,
        stale: &mut bool,
    ) -> Result<(), DepositError> {
        if *stale || error.code() != Some(Code::StaleGeneration) {
            return Err(error.into());
        }
        *stale = true;
        *self = Self::open(client, self.pinned.take()).await?;
        Ok(())
    }

    fn carry(
        &self,
        kind: Kind,
        place: &DepositTarget<'_>,
        value: &SecretValue,
        rng: &mut dyn Random,
    ) -> Result<ValueFields, DepositError> {
        let mut carried = ValueFields::default();
        match kind {
            Kind::Plain => {
                carried.value = Value::of(value);
                carried.value_base64 = carried.value.is_none().then(|| ValueBase64::of(value));
            }
            Kind::Encrypted => {
                carried.sealed = Some(self.seal(place, value, rng)?);
                carried.hint =
                    if self.info.hints { Hint::of(value).map(|hint| hint.as_str().to_owned()) } else { None };
            }
        }
        Ok(carried)
    }

    fn seal(
        &self,
        place: &DepositTarget<'_>,
        value: &SecretValue,
        rng: &mut dyn Random,
    ) -> Result<SealedBody, DepositError> {
        let unusable = |_| DepositError::KeyUnusable;
        let store: StoreId = self.info.store.parse().map_err(unusable)?;
        let org: OrgId = self.info.organization.parse().map_err(unusable)?;
        let member: MemberId = self.info.member.parse().map_err(unusable)?;
        let version = VersionId::from_bytes(random::array(rng));
        let (scope, owner) = match place.scope {
            ScopeKind::Shared => (0, None),
            ScopeKind::Private => (1, Some(member.as_bytes())),
        };
        let context = sealing::ValueContext {
            store: store.as_bytes(),
            org: org.as_bytes(),
            scope,
            owner,
            secret: place.id.as_bytes(),
            env: place.env.as_str(),
            version: version.as_bytes(),
        };
        let sealed =
            sealing::seal(&self.key, &context, value.expose(), rng).map_err(|_| DepositError::KeyUnusable)?;
        let WrappedKey::Hpke { suite, enc, ct } = sealed.wrapped else {
            return Err(DepositError::KeyUnusable);
        };
        Ok(SealedBody {
            id: place.id.to_string(),
            version: version.to_string(),
            generation: sealed.generation,
            suite,
            enc: BASE64.encode(&enc),
            wrapped_key: BASE64.encode(&ct),
            nonce: BASE64.encode(&sealed.nonce),
            ciphertext: BASE64.encode(&sealed.ciphertext),
        })
    }
}

/// Where a value goes, as far as the depositor decides it.
struct DepositTarget<'a> {
    id: SecretId,
    scope: ScopeKind,
    env: &'a EnvName,
}

/// A value as a request carries it.
#[derive(Default)]
struct ValueFields {
    value: Option<Value>,
    value_base64: Option<ValueBase64>,
    sealed: Option<SealedBody>,
    hint: Option<String>,
}

/// The key of `info`. Its fingerprint is computed here: what the store says of it proves nothing.
fn key(info: &DepositKeyView, pinned: Option<&str>) -> Result<DepositKey, DepositError> {
    if info.suite != hpke::X25519 {
        return Err(DepositError::Suite(info.suite));
    }
    let public = BASE64.decode(info.public_key.as_bytes()).map_err(|_| DepositError::KeyUnusable)?;
    let public = public.try_into().map_err(|_| DepositError::KeyUnusable)?;
    let key = DepositKey::from_parts(info.generation, public);
    let presented = key.fingerprint();
    match pinned {
        Some(pinned) if pinned != presented => {
            Err(DepositError::KeyChanged { pinned: pinned.to_owned(), presented })
        }
        _ => Ok(key),
    }
}

/// What the program's own presets say of the value: the store, which is not to read it, cannot.
fn judged(name: &str, env: &EnvName, kind: Kind, value: &SecretValue) -> Vec<ValueWarning> {
    match SecretName::parse(name) {
        Ok(name) => Presets::builtin().judge(&name, env, kind, value),
        Err(_) => Vec::new(),
    }
}

fn warned(mut view: SecretView, warnings: &[ValueWarning]) -> SecretView {
    for warning in warnings.iter().map(ToString::to_string) {
        if !view.warnings.contains(&warning) {
            view.warnings.push(warning);
        }
    }
    view
}

#[cfg(test)]
mod tests;
