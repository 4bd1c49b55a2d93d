//! The data key of a value, wrapped in one of two ways.
//!
//! A deposit wraps it to the deposit key with HPKE, which needs nothing secret. The first boot settles it: wrapped under a
//! symmetric key that belongs to the release key, it opens without a public-key operation.

use serde::{Deserialize, Serialize};

use super::{InvalidDepositKey, SealedValueError, ValueContext};
use crate::crypto::aead::Nonce;
use crate::crypto::deposit::{DepositKey, ReleaseKey};
use crate::crypto::hpke::SuiteId;
use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::{aead, hpke, random, serial};

/// Domain separation of the HPKE seals of data keys (`info` of RFC 9180).
pub(crate) const INFO: &[u8] = b"dropsafe deposit v1";
/// Labels of what binds a data key to a [`ValueContext`], in either form.
pub(crate) const DEPOSITED: &str = "dropsafe deposited key v1";
const SETTLED: &str = "dropsafe settled key v1";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WrappedKey {
    /// Sealed to the deposit key (RFC 9180, base mode, one message).
    Hpke {
        suite: SuiteId,
        /// The encapsulated key: 32 bytes for X25519.
        #[serde(with = "serial::bytes")]
        enc: Vec<u8>,
        /// The sealed data key: 48 bytes.
        #[serde(with = "serial::bytes")]
        ct: Vec<u8>,
    },
    /// Sealed under the release key's settling key.
    Settled {
        #[serde(with = "serial::bytes")]
        nonce: Nonce,
        /// The sealed data key: 48 bytes.
        #[serde(with = "serial::bytes")]
        ct: Vec<u8>,
    },
}

impl WrappedKey {
    /// Whether unwrapping costs no public-key operation.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Settled { .. })
    }
}

pub(crate) fn wrap_to_deposit_key(
    key: &DepositKey,
    context: &ValueContext<'_>,
    data_key: &Key32,
    rng: &mut dyn Random,
) -> Result<WrappedKey, InvalidDepositKey> {
    let aad = context.bind(DEPOSITED, key.generation());
    // One message for each encapsulation: the nonce of HPKE is a counter, and a second message would need its position.
    let (enc, mut sender) = hpke::setup_base_s(key.public(), INFO, rng).map_err(|_| InvalidDepositKey)?;
    let ct = sender.seal(aad.as_bytes(), data_key.expose()).map_err(|_| InvalidDepositKey)?;
    Ok(WrappedKey::Hpke { suite: hpke::X25519, enc, ct })
}

pub(crate) fn wrap_settled(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    data_key: &Key32,
    rng: &mut dyn Random,
) -> WrappedKey {
    // Random and not a counter: processes that settle at the same time share no state.
    let nonce = random::array(rng);
    let aad = context.bind(SETTLED, key.generation());
    WrappedKey::Settled { nonce, ct: aead::seal(key.settling_key(), &nonce, &aad, data_key.expose()) }
}

pub(crate) fn unwrap_key(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    wrapped: &WrappedKey,
) -> Result<Key32, SealedValueError> {
    // One error for every cause, so that the error is no oracle for an attacker who can write records.
    let data_key = match wrapped {
        WrappedKey::Hpke { suite: hpke::X25519, enc, ct } => {
            let aad = context.bind(DEPOSITED, key.generation());
            hpke::setup_base_r(enc, key.private_key(), INFO)
                .and_then(|mut recipient| recipient.open(aad.as_bytes(), ct))
                .map_err(|_| SealedValueError::Damaged)?
        }
        WrappedKey::Hpke { suite, .. } => return Err(SealedValueError::UnknownSuite(*suite)),
        WrappedKey::Settled { nonce, ct } => {
            let aad = context.bind(SETTLED, key.generation());
            aead::open(key.settling_key(), nonce, &aad, ct).map_err(|_| SealedValueError::Damaged)?
        }
    };
    // A depositor chooses the sealed bytes, so their number can be wrong.
    let data_key = data_key.as_slice().try_into().map_err(|_| SealedValueError::Damaged)?;
    Ok(Key32::copy_of(data_key))
}
