//! Values: each version under a random data key of its own, which is wrapped to the deposit key or, once settled, under
//! a symmetric key derived from the release key.
//!
//! Sealing needs nothing secret. Both the value and its wrapped key are bound to their whole [`ValueContext`], so that neither
//! opens anywhere else. A value that opens is never checked here for what it means.

mod context;

use serde::{Deserialize, Serialize};

pub use self::context::ValueContext;
use crate::crypto::aead::{Nonce, TAG_LEN};
use crate::crypto::deposit::{DepositKey, ReleaseKey};
use crate::crypto::hpke::SuiteId;
use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::{SecretBytes, aead, hpke, random, serial};

/// Domain separation of the HPKE seals of data keys (`info` of RFC 9180).
const INFO: &[u8] = b"dropsafe deposit v1";
/// Labels of what is bound to a [`ValueContext`]: the value, and its data key in either form.
const VALUE: &str = "dropsafe value v1";
const DEPOSITED: &str = "dropsafe deposited key v1";
const SETTLED: &str = "dropsafe settled key v1";

/// A value as it is stored and sent. The ciphertext is [`TAG_LEN`] bytes longer than the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedValue {
    /// Generation of the release key that opens it.
    pub generation: u32,
    /// Nonce of the ciphertext.
    #[serde(with = "serial::bytes")]
    pub nonce: Nonce,
    /// The value under its data key.
    #[serde(with = "serial::bytes")]
    pub ciphertext: Vec<u8>,
    /// The data key.
    pub wrapped: WrappedKey,
}

impl SealedValue {
    /// Bytes of the value inside, or none when the ciphertext is too short to hold one.
    pub fn value_len(&self) -> Option<usize> {
        self.ciphertext.len().checked_sub(TAG_LEN)
    }
}

/// A data key, wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WrappedKey {
    /// Sealed to the deposit key (RFC 9180, base mode, one message).
    Hpke {
        /// How.
        suite: SuiteId,
        /// The encapsulated key: 32 bytes for X25519.
        #[serde(with = "serial::bytes")]
        enc: Vec<u8>,
        /// The sealed data key: 48 bytes.
        #[serde(with = "serial::bytes")]
        ct: Vec<u8>,
    },
    /// Under the symmetric key that belongs to the release key.
    Settled {
        /// Nonce of `ct`.
        #[serde(with = "serial::bytes")]
        nonce: Nonce,
        /// The sealed data key: 48 bytes.
        #[serde(with = "serial::bytes")]
        ct: Vec<u8>,
    },
}

impl WrappedKey {
    /// Whether opening it costs no public-key operation.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Settled { .. })
    }
}

/// The deposit key cannot be sealed to: it is not a point of large order, so nobody can have the release key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deposit key is not a usable X25519 public key")]
pub struct InvalidDepositKey;

/// Why a value did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedValueError {
    /// It was sealed for a release key that is not this one.
    #[error("the value is of key generation {sealed}, and the release key of generation {key}")]
    Generation {
        /// Of the value.
        sealed: u32,
        /// Of the release key.
        key: u32,
    },
    /// Sealed by a later version of this program.
    #[error("the value's key is sealed with suite {0:#06x}, which this version does not know")]
    UnknownSuite(SuiteId),
    /// Changed, moved from its place, or sealed to another key.
    #[error("the value does not open: it was damaged, moved or sealed to another key")]
    Damaged,
}

/// Seals `value` for `context`.
pub fn seal(
    key: &DepositKey,
    context: &ValueContext<'_>,
    value: &[u8],
    rng: &mut dyn Random,
) -> Result<SealedValue, InvalidDepositKey> {
    let data_key = Key32::random(rng);
    let wrapped = wrap_hpke(key, context, &data_key, rng)?;
    Ok(seal_under(&data_key, key.generation(), context, value, wrapped, rng))
}

/// Opens what [`seal`] made for the same context, or [`settle`] or [`reseal`] after it.
pub fn open(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
) -> Result<SecretBytes, SealedValueError> {
    right_generation(key, sealed)?;
    let data_key = unwrap(key, context, &sealed.wrapped)?;
    open_under(&data_key, context, sealed)
}

/// Opens, and answers the settled form of the wrapped key if it was not settled yet, at the cost of one unwrapping.
pub fn open_and_settle(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
    rng: &mut dyn Random,
) -> Result<(SecretBytes, Option<WrappedKey>), SealedValueError> {
    right_generation(key, sealed)?;
    let data_key = unwrap(key, context, &sealed.wrapped)?;
    let value = open_under(&data_key, context, sealed)?;
    let settled = (!sealed.wrapped.is_settled()).then(|| wrap_settled(key, context, &data_key, rng));
    Ok((value, settled))
}

/// Wraps a data key anew under the release key's symmetric key, so that the next opening costs no public-key operation.
/// One that is settled already gets a fresh nonce.
pub fn settle(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    wrapped: &WrappedKey,
    rng: &mut dyn Random,
) -> Result<WrappedKey, SealedValueError> {
    let data_key = unwrap(key, context, wrapped)?;
    Ok(wrap_settled(key, context, &data_key, rng))
}

/// The same value under a fresh data key, fresh nonces and `new`'s generation; settled, since `new` is at hand.
pub fn reseal(
    old: &ReleaseKey,
    new: &ReleaseKey,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
    rng: &mut dyn Random,
) -> Result<SealedValue, SealedValueError> {
    let value = open(old, context, sealed)?;
    let data_key = Key32::random(rng);
    let wrapped = wrap_settled(new, context, &data_key, rng);
    Ok(seal_under(&data_key, new.generation(), context, &value, wrapped, rng))
}

fn right_generation(key: &ReleaseKey, sealed: &SealedValue) -> Result<(), SealedValueError> {
    if sealed.generation == key.generation() {
        Ok(())
    } else {
        Err(SealedValueError::Generation { sealed: sealed.generation, key: key.generation() })
    }
}

fn seal_under(
    data_key: &Key32,
    generation: u32,
    context: &ValueContext<'_>,
    value: &[u8],
    wrapped: WrappedKey,
    rng: &mut dyn Random,
) -> SealedValue {
    let nonce = random::array(rng);
    let ciphertext = aead::seal(data_key, &nonce, &context.bind(VALUE, generation), value);
    SealedValue { generation, nonce, ciphertext, wrapped }
}

fn open_under(
    data_key: &Key32,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
) -> Result<SecretBytes, SealedValueError> {
    let aad = context.bind(VALUE, sealed.generation);
    aead::open(data_key, &sealed.nonce, &aad, &sealed.ciphertext).map_err(|_| SealedValueError::Damaged)
}

fn wrap_hpke(
    key: &DepositKey,
    context: &ValueContext<'_>,
    data_key: &Key32,
    rng: &mut dyn Random,
) -> Result<WrappedKey, InvalidDepositKey> {
    let aad = context.bind(DEPOSITED, key.generation());
    let sealed =
        hpke::seal(key.public(), None, INFO, &aad, data_key.expose(), rng).map_err(|_| InvalidDepositKey)?;
    Ok(WrappedKey::Hpke { suite: hpke::X25519, enc: sealed.enc, ct: sealed.ct })
}

fn wrap_settled(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    data_key: &Key32,
    rng: &mut dyn Random,
) -> WrappedKey {
    let nonce = random::array(rng);
    let aad = context.bind(SETTLED, key.generation());
    WrappedKey::Settled { nonce, ct: aead::seal(key.settled(), &nonce, &aad, data_key.expose()) }
}

fn unwrap(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    wrapped: &WrappedKey,
) -> Result<Key32, SealedValueError> {
    let data_key = match wrapped {
        WrappedKey::Hpke { suite: hpke::X25519, enc, ct } => {
            let aad = context.bind(DEPOSITED, key.generation());
            hpke::open(key.secret(), None, INFO, &aad, enc, ct).map_err(|_| SealedValueError::Damaged)?
        }
        WrappedKey::Hpke { suite, .. } => return Err(SealedValueError::UnknownSuite(*suite)),
        WrappedKey::Settled { nonce, ct } => {
            let aad = context.bind(SETTLED, key.generation());
            aead::open(key.settled(), nonce, &aad, ct).map_err(|_| SealedValueError::Damaged)?
        }
    };
    // A depositor chooses what is sealed, so its length is not a given.
    let data_key = data_key.as_slice().try_into().map_err(|_| SealedValueError::Damaged)?;
    Ok(Key32::copy_of(data_key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Kernel;

    const CONTEXT: ValueContext<'static> = ValueContext {
        store: &[1; 16],
        org: &[2; 16],
        scope: 1,
        owner: Some(&[3; 16]),
        secret: &[4; 16],
        env: "OPENAI_API_KEY",
        version: &[5; 16],
    };

    #[test]
    fn a_value_opens_sealed_settled_and_resealed() {
        let rng = &mut Kernel;
        let (old, new) = (ReleaseKey::generate(1, rng), ReleaseKey::generate(2, rng));
        let mut sealed = seal(&old.deposit_key(), &CONTEXT, b"sk-value", rng).unwrap();
        assert_eq!(sealed.value_len(), Some(8));
        assert_eq!(*open(&old, &CONTEXT, &sealed).unwrap(), b"sk-value");

        let (value, settled) = open_and_settle(&old, &CONTEXT, &sealed, rng).unwrap();
        assert_eq!(*value, b"sk-value");
        sealed.wrapped = settled.unwrap();
        assert!(sealed.wrapped.is_settled());
        assert_eq!(*open(&old, &CONTEXT, &sealed).unwrap(), b"sk-value");
        assert_eq!(open_and_settle(&old, &CONTEXT, &sealed, rng).unwrap().1, None);

        let moved = reseal(&old, &new, &CONTEXT, &sealed, rng).unwrap();
        assert_eq!(*open(&new, &CONTEXT, &moved).unwrap(), b"sk-value");
        assert_eq!(open(&old, &CONTEXT, &moved), Err(SealedValueError::Generation { sealed: 2, key: 1 }));
        assert!(
            moved.nonce != sealed.nonce
                && moved.ciphertext != sealed.ciphertext
                && moved.wrapped.is_settled()
        );
        assert_eq!(
            reseal(&old, &new, &CONTEXT, &moved, rng),
            Err(SealedValueError::Generation { sealed: 2, key: 1 })
        );
    }

    #[test]
    fn an_empty_value_and_the_largest_file() {
        let key = ReleaseKey::generate(1, &mut Kernel);
        for value in [vec![], vec![7; 1 << 20]] {
            let sealed = seal(&key.deposit_key(), &CONTEXT, &value, &mut Kernel).unwrap();
            assert_eq!(sealed.value_len(), Some(value.len()));
            assert_eq!(*open(&key, &CONTEXT, &sealed).unwrap(), value);
        }
    }

    #[test]
    fn nothing_of_a_sealing_repeats() {
        let key = ReleaseKey::generate(1, &mut Kernel);
        let (one, other) = (
            seal(&key.deposit_key(), &CONTEXT, b"value", &mut Kernel).unwrap(),
            seal(&key.deposit_key(), &CONTEXT, b"value", &mut Kernel).unwrap(),
        );
        assert!(
            one.nonce != other.nonce && one.ciphertext != other.ciphertext && one.wrapped != other.wrapped
        );
    }

    #[test]
    fn a_suite_of_tomorrow_is_named_in_the_refusal() {
        let key = ReleaseKey::generate(1, &mut Kernel);
        let mut sealed = seal(&key.deposit_key(), &CONTEXT, b"value", &mut Kernel).unwrap();
        sealed.wrapped = WrappedKey::Hpke { suite: 0x647a, enc: vec![0; 1120], ct: vec![0; 48] };
        let error = open(&key, &CONTEXT, &sealed).unwrap_err();
        assert_eq!(error, SealedValueError::UnknownSuite(0x647a));
        assert!(error.to_string().contains("0x647a"));
    }

    #[test]
    fn a_data_key_of_another_length_is_refused() {
        let key = ReleaseKey::generate(1, &mut Kernel);
        let mut sealed = seal(&key.deposit_key(), &CONTEXT, b"value", &mut Kernel).unwrap();
        for length in [0, 31, 33] {
            let aad = CONTEXT.bind(DEPOSITED, 1);
            let short =
                hpke::seal(key.deposit_key().public(), None, INFO, &aad, &[0; 33][..length], &mut Kernel)
                    .unwrap();
            sealed.wrapped = WrappedKey::Hpke { suite: hpke::X25519, enc: short.enc, ct: short.ct };
            assert_eq!(open(&key, &CONTEXT, &sealed), Err(SealedValueError::Damaged));
        }
    }

    #[test]
    fn a_deposit_key_that_nobody_can_have_the_half_of_is_refused() {
        let key = DepositKey::from_parts(1, [0; 32]);
        assert_eq!(seal(&key, &CONTEXT, b"value", &mut Kernel), Err(InvalidDepositKey));
    }
}
