//! Checks and seals deposited values. A value that no boot could deliver is refused before anything is written.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::crypto::deposit::DepositKey;
use crate::crypto::hpke::X25519;
use crate::crypto::value::{self, ValueContext, WrappedKey};
use crate::domain::id::{OrgId, SecretId, StoreId, VersionId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::role::OrgPolicy;
use crate::domain::secret::{Scope, SecretMeta};
use crate::domain::value::{
    Delivery, Hint, Kind, MAX_FILE, MAX_VARIABLE, SecretValue, ValueError, ValueWarning, check, fits_variable,
};
use crate::store::engine::failure::Failure;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::record::ValuePlace;
use crate::store::rules::secrets::{Deposit, Replacement, SealedDeposit};
use crate::store::rules::store::Store;
use crate::store::tables::secrets::{BodyRecord, SecretRecord, SecretValueRecord as Stored};

/// Encapsulated key of X25519, and a sealed 32-byte data key (RFC 9180, table 2, and a tag of 16 bytes).
const ENC_LEN: usize = 32;
const WRAPPED_LEN: usize = 32 + 16;

/// The secret and version that a value is deposited for.
pub(crate) struct Destination<'a> {
    pub(crate) org: OrgId,
    pub(crate) scope: Scope,
    pub(crate) id: SecretId,
    pub(crate) version: VersionId,
    pub(crate) name: &'a SecretName,
    pub(crate) env: &'a EnvName,
    pub(crate) kind: Kind,
    pub(crate) delivery: Delivery,
}

/// A value that is ready to be stored.
pub(crate) struct Prepared {
    /// The permit of a long value: its share of the bytes that may wait.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    pub(crate) stored: Stored,
    pub(crate) apart: Option<BodyRecord>,
    pub(crate) value_len: u32,
    pub(crate) hint: Option<Hint>,
    pub(crate) warnings: Vec<ValueWarning>,
}

impl Replacement {
    /// The metadata of the secret with the new value, its author and its time apart.
    pub(crate) fn meta(
        &self,
        before: &SecretRecord,
        to: &Destination<'_>,
        prepared: &Prepared,
    ) -> SecretMeta {
        let mut meta = SecretMeta {
            env: to.env.clone(),
            kind: to.kind,
            delivery: to.delivery,
            version: to.version,
            hint: prepared.hint.clone(),
            value_len: prepared.value_len,
            ..before.meta.clone()
        };
        self.change.apply(&mut meta.attributes);
        meta
    }
}

impl Destination<'_> {
    fn context<'a>(&'a self, store: &'a StoreId) -> ValueContext<'a> {
        let Self { org, scope, id: secret, version, env, .. } = self;
        ValuePlace { org, scope, secret, env, version }.context(store)
    }
}

impl Store {
    /// Checks a deposit, and seals it if it is a value to encrypt. Only borrows it, for a second attempt under another key.
    pub(crate) fn prepare(
        &self,
        deposit: &Deposit,
        to: &Destination<'_>,
        policy: &OrgPolicy,
        key: &DepositKey,
    ) -> Result<Prepared, Error> {
        let mut prepared = match deposit {
            Deposit::Value(value) => self.prepare_value(value, to, policy, key)?,
            Deposit::Sealed(sealed) => self.prepare_sealed(sealed, to, policy)?,
        };
        // Reserved before the value waits in the journal: many long values at once would fill the memory.
        if let Some(body) = &prepared.apart {
            let bytes = u32::try_from(body.bytes.len()).map_err(|_| Failure::Internal)?;
            let room = Arc::clone(&self.inner.long_values).try_acquire_many_owned(bytes);
            prepared.room = Some(room.map_err(|_| Failure::Overloaded)?);
        }
        // Also a hint that the client made: the policy is the organization's.
        if !policy.hints {
            prepared.hint = None;
        }
        Ok(prepared)
    }

    fn prepare_value(
        &self,
        value: &SecretValue,
        to: &Destination<'_>,
        policy: &OrgPolicy,
        key: &DepositKey,
    ) -> Result<Prepared, Error> {
        let mut warnings = check(value, to.env, to.delivery, policy.variable_ceiling)?;
        warnings.extend(self.presets().judge(to.name, to.env, to.kind, value));
        let (stored, apart) = match to.kind {
            Kind::Plain => {
                // It will be shown as text.
                value.to_text()?;
                Stored::plain(value.expose().to_vec(), self.records())
            }
            Kind::Encrypted => {
                let store = self.id();
                let sealed = value::seal(key, &to.context(&store), value.expose(), &mut self.records().rng());
                // Fails only for a deposit key of small order, and the store has made this one.
                Stored::sealed(sealed.map_err(|_| Failure::Corrupt)?, self.records())
            }
        };
        // A plain value is shown as it is, and needs no hint.
        let hint = Hint::of(value).filter(|_| to.kind == Kind::Encrypted);
        Ok(Prepared { room: None, stored, apart, value_len: len(value.len()), hint, warnings })
    }

    fn prepare_sealed(
        &self,
        deposit: &SealedDeposit,
        to: &Destination<'_>,
        policy: &OrgPolicy,
    ) -> Result<Prepared, Error> {
        let refuse = |why| Error::Invalid { field: "sealed", why };
        if to.kind == Kind::Plain {
            return Err(refuse("a plain value is not sealed"));
        }
        match &deposit.value.wrapped {
            // The content can be checked only with the release key, but the lengths without it.
            WrappedKey::Hpke { suite: X25519, enc, ct }
                if enc.len() == ENC_LEN && ct.len() == WRAPPED_LEN => {}
            WrappedKey::Hpke { suite: X25519, .. } => {
                return Err(refuse("enc or wrapped_key has a wrong length"));
            }
            WrappedKey::Hpke { .. } => return Err(refuse("the suite is not known")),
            // Only a holder of the release key can settle, and no depositor is one.
            WrappedKey::Settled { .. } => {
                return Err(refuse("the data key is not sealed to the deposit key"));
            }
        }
        // The tag has a fixed length, so that the ciphertext reveals the length of the value.
        let value_len = deposit.value.value_len().ok_or(refuse("the ciphertext is too short"))?;
        match to.delivery {
            // The length of the ciphertext gives that of the value, so that limits also apply to sealed deposits.
            Delivery::File if value_len > MAX_FILE => {
                return Err(ValueError::FileTooLong { len: value_len }.into());
            }
            Delivery::File => {}
            Delivery::Variable => check_len(value_len, to.env, policy)?,
        }
        let (stored, apart) = Stored::sealed(deposit.value.clone(), self.records());
        let hint = deposit.hint.clone();
        Ok(Prepared { room: None, stored, apart, value_len: len(value_len), hint, warnings: Vec::new() })
    }
}

/// Checks the length of a variable's value, which is all that a sealed value reveals.
pub(crate) fn check_len(len: usize, env: &EnvName, policy: &OrgPolicy) -> Result<(), ValueError> {
    let ceiling = usize::try_from(policy.variable_ceiling).unwrap_or(MAX_VARIABLE);
    if !fits_variable(env, len) {
        return Err(ValueError::VariableTooLong { len: env.as_str().len() + 1 + len });
    }
    if len > ceiling {
        return Err(ValueError::AboveCeiling { len, ceiling });
    }
    Ok(())
}

/// No value is longer than a file may be.
fn len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
