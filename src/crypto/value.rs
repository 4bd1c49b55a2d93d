//! Values: each version under a random data key of its own, which is wrapped to the deposit key or, once settled, under
//! a symmetric key derived from the release key.
//!
//! Sealing needs nothing secret. Both the value and its wrapped key are bound to their whole [`Context`], so that neither
//! opens anywhere else. A value that opens is never checked here for what it means.

use super::SecretBytes;
use super::aad::Aad;
use super::aead;
use super::aead::Nonce;
use super::aead::TAG_LEN;
use super::deposit;
use super::deposit::DepositKey;
use super::deposit::HpkeRandom;
use super::deposit::ReleaseKey;
use super::deposit::SuiteId;
use super::memory::Key32;
use super::random;
use super::random::Random;
use super::serial;
use hpke::Deserializable;
use hpke::OpModeR;
use hpke::OpModeS;
use hpke::Serializable;
use serde::Deserialize;
use serde::Serialize;
use zeroize::Zeroizing;

/// Domain separation of the HPKE seals of data keys (`info` of RFC 9180).
const INFO: &[u8] = b"dropsafe deposit v1";

/// Where a value belongs. The generation is that of the key that seals or opens.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Id of the store.
    pub store: &'a [u8; 16],
    /// Id of the organization.
    pub org: &'a [u8; 16],
    /// A number for the kind of scope: shared or private.
    pub scope: u8,
    /// Id of the owner of a private secret.
    pub owner: Option<&'a [u8; 16]>,
    /// Id of the secret.
    pub secret: &'a [u8; 16],
    /// The name it is exported as.
    pub env: &'a str,
    /// Id of the version.
    pub version: &'a [u8; 16],
}

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
    pub wrapped: Wrapped,
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
pub enum Wrapped {
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

impl Wrapped {
    /// Whether opening it costs no public-key operation.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Settled { .. })
    }
}

/// The deposit key cannot be sealed to: it is not a point of large order, so nobody can have the release key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deposit key is not a usable X25519 public key")]
pub struct BadDepositKey;

/// Why a value did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
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
    context: &Context<'_>,
    value: &[u8],
    rng: &mut dyn Random,
) -> Result<SealedValue, BadDepositKey> {
    let data_key = Key32::random(rng);
    let wrapped = wrap_hpke(key, context, &data_key, rng)?;
    Ok(seal_under(&data_key, key.generation(), context, value, wrapped, rng))
}

/// Opens what [`seal`] made for the same context, or [`settle`] or [`reseal`] after it.
pub fn open(key: &ReleaseKey, context: &Context<'_>, sealed: &SealedValue) -> Result<SecretBytes, OpenError> {
    right_generation(key, sealed)?;
    let data_key = unwrap(key, context, &sealed.wrapped)?;
    open_under(&data_key, context, sealed)
}

/// Opens, and answers the settled form of the wrapped key if it was not settled yet, at the cost of one unwrapping.
pub fn open_and_settle(
    key: &ReleaseKey,
    context: &Context<'_>,
    sealed: &SealedValue,
    rng: &mut dyn Random,
) -> Result<(SecretBytes, Option<Wrapped>), OpenError> {
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
    context: &Context<'_>,
    wrapped: &Wrapped,
    rng: &mut dyn Random,
) -> Result<Wrapped, OpenError> {
    let data_key = unwrap(key, context, wrapped)?;
    Ok(wrap_settled(key, context, &data_key, rng))
}

/// The same value under a fresh data key, fresh nonces and `new`'s generation; settled, since `new` is at hand.
pub fn reseal(
    old: &ReleaseKey,
    new: &ReleaseKey,
    context: &Context<'_>,
    sealed: &SealedValue,
    rng: &mut dyn Random,
) -> Result<SealedValue, OpenError> {
    let value = open(old, context, sealed)?;
    let data_key = Key32::random(rng);
    let wrapped = wrap_settled(new, context, &data_key, rng);
    Ok(seal_under(&data_key, new.generation(), context, &value, wrapped, rng))
}

fn right_generation(key: &ReleaseKey, sealed: &SealedValue) -> Result<(), OpenError> {
    if sealed.generation == key.generation() {
        Ok(())
    } else {
        Err(OpenError::Generation { sealed: sealed.generation, key: key.generation() })
    }
}

fn seal_under(
    data_key: &Key32,
    generation: u32,
    context: &Context<'_>,
    value: &[u8],
    wrapped: Wrapped,
    rng: &mut dyn Random,
) -> SealedValue {
    let nonce = random::array(rng);
    let ciphertext = aead::seal(data_key, &nonce, &context.bind("dropsafe value v1", generation), value);
    SealedValue { generation, nonce, ciphertext, wrapped }
}

fn open_under(
    data_key: &Key32,
    context: &Context<'_>,
    sealed: &SealedValue,
) -> Result<SecretBytes, OpenError> {
    let aad = context.bind("dropsafe value v1", sealed.generation);
    aead::open(data_key, &sealed.nonce, &aad, &sealed.ciphertext).map_err(|_| OpenError::Damaged)
}

fn wrap_hpke(
    key: &DepositKey,
    context: &Context<'_>,
    data_key: &Key32,
    rng: &mut dyn Random,
) -> Result<Wrapped, BadDepositKey> {
    let aad = context.bind("dropsafe deposited key v1", key.generation());
    let (enc, ct) = hpke::single_shot_seal_with_rng::<deposit::Aead, deposit::Kdf, deposit::Kem>(
        &OpModeS::Base,
        &deposit::public_key(key.public()),
        INFO,
        data_key.expose(),
        aad.as_bytes(),
        &mut HpkeRandom(rng),
    )
    .map_err(|_| BadDepositKey)?;
    Ok(Wrapped::Hpke { suite: deposit::X25519, enc: enc.to_bytes().to_vec(), ct })
}

fn wrap_settled(key: &ReleaseKey, context: &Context<'_>, data_key: &Key32, rng: &mut dyn Random) -> Wrapped {
    let nonce = random::array(rng);
    let aad = context.bind("dropsafe settled key v1", key.generation());
    Wrapped::Settled { nonce, ct: aead::seal(key.settled(), &nonce, &aad, data_key.expose()) }
}

fn unwrap(key: &ReleaseKey, context: &Context<'_>, wrapped: &Wrapped) -> Result<Key32, OpenError> {
    let data_key = match wrapped {
        Wrapped::Hpke { suite: deposit::X25519, enc, ct } => {
            let aad = context.bind("dropsafe deposited key v1", key.generation());
            Zeroizing::new(open_hpke(key, enc, ct, &aad).map_err(|_| OpenError::Damaged)?)
        }
        Wrapped::Hpke { suite, .. } => return Err(OpenError::UnknownSuite(*suite)),
        Wrapped::Settled { nonce, ct } => {
            let aad = context.bind("dropsafe settled key v1", key.generation());
            aead::open(key.settled(), nonce, &aad, ct).map_err(|_| OpenError::Damaged)?
        }
    };
    // A depositor chooses what is sealed, so its length is not a given.
    let data_key = data_key.as_slice().try_into().map_err(|_| OpenError::Damaged)?;
    Ok(Key32::copy_of(data_key))
}

fn open_hpke(key: &ReleaseKey, enc: &[u8], ct: &[u8], aad: &Aad) -> Result<Vec<u8>, hpke::HpkeError> {
    hpke::single_shot_open::<deposit::Aead, deposit::Kdf, deposit::Kem>(
        &OpModeR::Base,
        &deposit::private_key(key.secret()),
        &Deserializable::from_bytes(enc)?,
        INFO,
        ct,
        aad.as_bytes(),
    )
}

impl Context<'_> {
    fn bind(&self, label: &str, generation: u32) -> Aad {
        Aad::new(label)
            .part(self.store)
            .part(self.org)
            .part(&[self.scope])
            .optional(self.owner.map(|owner| owner.as_slice()))
            .part(self.secret)
            .part(self.env.as_bytes())
            .part(self.version)
            .number(generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Kernel;

    const CONTEXT: Context<'static> = Context {
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
        assert_eq!(open(&old, &CONTEXT, &moved), Err(OpenError::Generation { sealed: 2, key: 1 }));
    }
}
