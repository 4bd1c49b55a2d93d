//! A value on its way in, judged and sealed: what cannot boot is refused here, before anything is written.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::crypto::deposit::DepositKey;
use crate::crypto::hpke::X25519;
use crate::crypto::value::{self, WrappedKey};
use crate::domain::id::{OrgId, SecretId, VersionId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::role::OrgPolicy;
use crate::domain::secret::Scope;
use crate::domain::value::{
    Delivery, Hint, Kind, MAX_FILE, MAX_VARIABLE, SecretValue, ValueError, ValueWarning, check, fits_variable,
};
use crate::store::engine::failure::Failure;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::record::bound;
use crate::store::rules::secrets::{Deposit, SealedDeposit};
use crate::store::rules::store::Store;
use crate::store::tables::secrets::{BodyRecord, SecretValueRecord as Stored};

/// Encapsulated key of X25519, and a sealed 32-byte data key (RFC 9180, table 2, and a tag of 16 bytes).
const ENC_LEN: usize = 32;
const WRAPPED_LEN: usize = 32 + 16;

/// Where a value is to go, and how.
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
    /// Of a long value: its place among those that may wait.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    pub(crate) stored: Stored,
    pub(crate) apart: Option<BodyRecord>,
    pub(crate) value_len: u32,
    pub(crate) hint: Option<Hint>,
    pub(crate) warnings: Vec<ValueWarning>,
}

impl Store {
    /// Judges a deposit and seals it, if it comes as a value and is not plain. The deposit stays, for a second try under
    /// another key.
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
        if let Some(body) = &prepared.apart {
            let bytes = u32::try_from(body.bytes.len()).map_err(|_| Failure::Internal)?;
            let room = Arc::clone(&self.inner.long_values).try_acquire_many_owned(bytes);
            prepared.room = Some(room.map_err(|_| Failure::Overloaded)?);
        }
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
                let seal = |context: &value::ValueContext<'_>| {
                    value::seal(key, context, value.expose(), &mut self.records().rng())
                };
                let sealed = bound(self.id(), to.org, to.scope, to.id, to.env, to.version, seal);
                Stored::sealed(sealed.map_err(|_| Failure::Corrupt)?, self.records())
            }
        };
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
            WrappedKey::Hpke { suite: X25519, enc, ct }
                if enc.len() == ENC_LEN && ct.len() == WRAPPED_LEN => {}
            WrappedKey::Hpke { suite: X25519, .. } => {
                return Err(refuse("enc or wrapped_key has a wrong length"));
            }
            WrappedKey::Hpke { .. } => return Err(refuse("the suite is not known")),
            WrappedKey::Settled { .. } => {
                return Err(refuse("the data key is not sealed to the deposit key"));
            }
        }
        let value_len = deposit.value.value_len().ok_or(refuse("the ciphertext is too short"))?;
        match to.delivery {
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

/// What can be said of a variable's value by its length alone.
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
