//! Values: each version is sealed under a random data key of its own, and the data key is wrapped ([`WrappedKey`]).
//!
//! Sealing needs no secret key. The value and its wrapped data key are both bound to their whole [`ValueContext`], so that
//! neither opens anywhere else. This module never looks at what an opened value means.

mod context;
mod data_key;

use serde::{Deserialize, Serialize};

pub use self::context::ValueContext;
pub use self::data_key::WrappedKey;
use self::data_key::{unwrap_key, wrap_settled, wrap_to_deposit_key};
use crate::crypto::aad::Aad;
use crate::crypto::aead::{Nonce, TAG_LEN};
use crate::crypto::deposit::{DepositKey, ReleaseKey};
use crate::crypto::hpke::SuiteId;
use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::{SecretBytes, aead, random, serial};

/// Label of what binds a value to its [`ValueContext`].
const VALUE: &str = "dropsafe value v1";

/// A value as it is stored and sent. The ciphertext is [`TAG_LEN`] bytes longer than the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedValue {
    /// Generation of the release key that opens it.
    pub generation: u32,
    #[serde(with = "serial::bytes")]
    pub nonce: Nonce,
    /// The value under its data key.
    #[serde(with = "serial::bytes")]
    pub ciphertext: Vec<u8>,
    pub wrapped: WrappedKey,
}

impl SealedValue {
    /// The length of the value inside, or `None` if the ciphertext is too short to hold one.
    pub(crate) fn value_len(&self) -> Option<usize> {
        self.ciphertext.len().checked_sub(TAG_LEN)
    }
}

/// The deposit key is a point of small order, so there is no release key for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deposit key is not a usable X25519 public key")]
pub struct InvalidDepositKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedValueError {
    /// It is sealed for the release key of another generation.
    #[error("the value is of key generation {sealed}, and the release key of generation {key}")]
    Generation { sealed: u32, key: u32 },
    /// A later version of this program sealed it.
    #[error("the value's key is sealed with suite {0:#06x}, which this version does not know")]
    UnknownSuite(SuiteId),
    /// It was changed, moved from its place, or sealed to another key.
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
    // A fresh data key for each value: sealing again never reuses a key, and a new generation wraps 32 bytes again
    // instead of every value's bytes.
    let data_key = Key32::random(rng);
    let wrapped = wrap_to_deposit_key(key, context, &data_key, rng)?;
    let (nonce, ciphertext) = encrypt(&data_key, &context.bind(VALUE, key.generation()), value, rng);
    Ok(SealedValue { generation: key.generation(), nonce, ciphertext, wrapped })
}

/// Opens what [`seal`] made for the same context, before or after [`settle`] or [`reseal`].
pub fn open(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
) -> Result<SecretBytes, SealedValueError> {
    decrypt(&unwrap_sealed(key, context, sealed)?, context, sealed)
}

/// Wraps a data key again under the settling key, so that the next opening costs no public-key operation. A key that is
/// already settled gets a fresh nonce.
pub fn settle(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    wrapped: &WrappedKey,
    rng: &mut dyn Random,
) -> Result<WrappedKey, SealedValueError> {
    let data_key = unwrap_key(key, context, wrapped)?;
    Ok(wrap_settled(key, context, &data_key, rng))
}

/// Seals the same value under a fresh data key, fresh nonces and the generation of `new`.
pub fn reseal(
    old: &ReleaseKey,
    new: &ReleaseKey,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
    rng: &mut dyn Random,
) -> Result<SealedValue, SealedValueError> {
    let value = open(old, context, sealed)?;
    let (data_key, generation) = (Key32::random(rng), new.generation());
    // Settled at once: the process that reseals has the new release key, and the next boot then needs no HPKE.
    let wrapped = wrap_settled(new, context, &data_key, rng);
    let (nonce, ciphertext) = encrypt(&data_key, &context.bind(VALUE, generation), &value, rng);
    Ok(SealedValue { generation, nonce, ciphertext, wrapped })
}

fn unwrap_sealed(
    key: &ReleaseKey,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
) -> Result<Key32, SealedValueError> {
    // Checked although the tag would fail as well: the caller can then say which generation is missing.
    if sealed.generation != key.generation() {
        return Err(SealedValueError::Generation { sealed: sealed.generation, key: key.generation() });
    }
    unwrap_key(key, context, &sealed.wrapped)
}

fn encrypt(data_key: &Key32, aad: &Aad, value: &[u8], rng: &mut dyn Random) -> (Nonce, Vec<u8>) {
    let nonce = random::array(rng);
    (nonce, aead::seal(data_key, &nonce, aad, value))
}

fn decrypt(
    data_key: &Key32,
    context: &ValueContext<'_>,
    sealed: &SealedValue,
) -> Result<SecretBytes, SealedValueError> {
    let aad = context.bind(VALUE, sealed.generation);
    aead::open(data_key, &sealed.nonce, &aad, &sealed.ciphertext).map_err(|_| SealedValueError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::data_key::{DEPOSITED, INFO};
    use super::*;
    use crate::crypto::hpke;
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

        sealed.wrapped = settle(&old, &CONTEXT, &sealed.wrapped, rng).unwrap();
        assert!(sealed.wrapped.is_settled());
        assert_eq!(*open(&old, &CONTEXT, &sealed).unwrap(), b"sk-value");

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
            let (enc, mut sender) =
                hpke::setup_base_s(key.deposit_key().public(), INFO, &mut Kernel).unwrap();
            let ct = sender.seal(aad.as_bytes(), &[0; 33][..length]).unwrap();
            sealed.wrapped = WrappedKey::Hpke { suite: hpke::X25519, enc, ct };
            assert_eq!(open(&key, &CONTEXT, &sealed), Err(SealedValueError::Damaged));
        }
    }

    #[test]
    fn a_deposit_key_that_nobody_can_have_the_half_of_is_refused() {
        let key = DepositKey::from_parts(1, [0; 32]);
        assert_eq!(seal(&key, &CONTEXT, b"value", &mut Kernel), Err(InvalidDepositKey));
    }
}
