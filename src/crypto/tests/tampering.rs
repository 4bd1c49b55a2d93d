//! Flips every bit of what is stored or bound, one at a time: nothing may open.
//!
//! Structures are flipped in their serialized form, so that a field added tomorrow is covered tomorrow.

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::crypto::deposit::ReleaseKey;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::passphrase::{Argon2Params, Passphrase};
use crate::crypto::random::Kernel;
use crate::crypto::record::RecordKey;
use crate::crypto::ring::{KeyRing, SealedRing};
use crate::crypto::slot::SlotSecret;
use crate::crypto::slots::KeySlots;
use crate::crypto::value::{SealedValue, ValueContext};
use crate::crypto::{SecretBytes, cache, slot, value};

const STORE: [u8; 16] = [1; 16];

/// Calls `opens` with each variant of `bytes` in which one bit differs. It must return false. Returns the number of variants.
fn no_flip_opens(bytes: &[u8], mut opens: impl FnMut(&[u8]) -> bool) -> usize {
    let mut bytes = bytes.to_vec();
    assert!(opens(&bytes), "unchanged, it opens");
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&bytes), "opens with bit {bit} flipped");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    bytes.len() * 8
}

/// The same for each bit of each field of a structure: bytes, and numbers as if of 32 bits. A variant that is no longer of the
/// structure at all is refused, too.
fn no_flip_of_a_field_opens<T: Serialize + DeserializeOwned>(
    whole: &T,
    mut opens: impl FnMut(&T) -> bool,
) -> usize {
    assert!(opens(whole), "unchanged, it opens");
    let json = serde_json::to_value(whole).unwrap();
    let mut flips = 0;
    each_leaf(&json, &mut String::new(), &mut |pointer, leaf| {
        let mut try_leaf = |leaf: Value| {
            let mut changed = json.clone();
            *changed.pointer_mut(pointer).unwrap() = leaf;
            assert_ne!(changed, json);
            if let Ok(changed) = serde_json::from_value(changed) {
                assert!(!opens(&changed), "opens with a bit of {pointer} flipped");
            }
            flips += 1;
        };
        match leaf {
            Value::Number(number) => {
                let number = u32::try_from(number.as_u64().unwrap()).unwrap();
                (0..32).for_each(|bit| try_leaf((number ^ 1 << bit).into()));
            }
            Value::String(text) => {
                let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
                for bit in 0..bytes.len() * 8 {
                    let mut bytes = bytes.clone();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    try_leaf(BASE64URL_NOPAD.encode(&bytes).into());
                }
            }
            other => panic!("a field of another type: {other}"),
        }
    });
    flips
}

fn each_leaf(value: &Value, pointer: &mut String, visit: &mut impl FnMut(&str, &Value)) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        leaf => return visit(pointer, leaf),
    };
    for (name, child) in children {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&name);
        each_leaf(child, pointer, visit);
        pointer.truncate(length);
    }
}

#[test]
fn of_a_record_or_its_key() {
    let (key, _) = RecordKey::generate(&mut Kernel);
    let sealed = key.seal_record(b"secret/1", b"a record", &mut Kernel);
    assert_eq!(sealed.len(), 1 + 24 + 8 + 16);
    no_flip_opens(&sealed, |sealed| key.open_record(b"secret/1", sealed).is_ok());
    no_flip_opens(b"secret/1", |kv_key| key.open_record(kv_key, &sealed).is_ok());
    for cut in 0..sealed.len() {
        assert!(key.open_record(b"secret/1", &sealed[..cut]).is_err(), "cut to {cut} bytes");
    }
}

#[test]
fn of_the_agents_cache() {
    let key = cache::key(&[7; 32]);
    let bound_to: [&[u8]; 2] = [b"https://store:7373", b"tkt"];
    let sealed = cache::seal(&key, &bound_to, b"a release", &mut Kernel);
    no_flip_opens(&sealed, |sealed| cache::open(&key, &bound_to, sealed).is_ok());
    no_flip_opens(bound_to[0], |url| cache::open(&key, &[url, bound_to[1]], &sealed).is_ok());
    no_flip_opens(&[7; 32], |secret| {
        let key = cache::key(secret.try_into().unwrap());
        cache::open(&key, &bound_to, &sealed).is_ok()
    });
    assert!(
        cache::open(&key, &[b"https://store:7373t", b"kt"], &sealed).is_err(),
        "the parts' borders are bound"
    );
}

/// A context that can be flipped.
#[derive(Serialize, serde::Deserialize)]
struct OwnedContext {
    #[serde(with = "crate::crypto::serial::bytes")]
    store: [u8; 16],
    #[serde(with = "crate::crypto::serial::bytes")]
    org: [u8; 16],
    scope: u8,
    #[serde(with = "crate::crypto::serial::bytes")]
    owner: [u8; 16],
    #[serde(with = "crate::crypto::serial::bytes")]
    secret: [u8; 16],
    #[serde(with = "crate::crypto::serial::bytes")]
    env: Vec<u8>,
    #[serde(with = "crate::crypto::serial::bytes")]
    version: [u8; 16],
}

impl OwnedContext {
    fn new() -> Self {
        Self {
            store: STORE,
            org: [2; 16],
            scope: 1,
            owner: [3; 16],
            secret: [4; 16],
            env: b"OPENAI_API_KEY".to_vec(),
            version: [5; 16],
        }
    }

    /// Returns `None` if the name is no longer UTF-8.
    fn borrow(&self) -> Option<ValueContext<'_>> {
        let Self { store, org, scope, owner, secret, env, version } = self;
        let env = std::str::from_utf8(env).ok()?;
        Some(ValueContext { store, org, scope: *scope, owner: Some(owner), secret, env, version })
    }
}

#[test]
fn of_a_value_its_wrapped_key_or_its_context() {
    let key = ReleaseKey::generate(1, &mut Kernel);
    let owned = OwnedContext::new();
    let context = owned.borrow().unwrap();
    let deposited = value::seal(&key.deposit_key(), &context, b"sk-value", &mut Kernel).unwrap();
    let wrapped = value::settle(&key, &context, &deposited.wrapped, &mut Kernel).unwrap();
    let settled = SealedValue { wrapped, ..deposited.clone() };

    for (sealed, wrapped_bits) in [(deposited, 32 + (32 + 48) * 8), (settled, (24 + 48) * 8)] {
        let flips = no_flip_of_a_field_opens(&sealed, |sealed| value::open(&key, &context, sealed).is_ok());
        assert_eq!(flips, 32 + (24 + 8 + 16) * 8 + wrapped_bits);
        no_flip_of_a_field_opens(&sealed.wrapped, |wrapped| {
            value::settle(&key, &context, wrapped, &mut Kernel).is_ok()
        });
        let flips = no_flip_of_a_field_opens(&owned, |owned| {
            owned.borrow().is_some_and(|context| value::open(&key, &context, &sealed).is_ok())
        });
        assert_eq!(flips, (16 * 5 + 14) * 8 + 32);
        let ownerless = ValueContext { owner: None, ..context };
        assert!(value::open(&key, &ownerless, &sealed).is_err());
    }
}

#[test]
fn of_a_slot_a_ring_or_their_store() {
    let rng = &mut Kernel;
    let passphrase = Passphrase::new(SecretBytes::new(b"correct horse".to_vec())).unwrap();
    let key = UnlockKey::generate(rng);
    for secret in [SlotSecret::Passphrase(&passphrase), SlotSecret::KeyFile(&key)] {
        let ring = KeyRing::create(&STORE, rng);
        let (slot, ring) =
            slot::create(&ring, &[9; 16], secret, Argon2Params::for_throwaway_stores(), rng).unwrap();
        let (slots, sealed) = (KeySlots::first(slot), ring.seal(rng));
        no_flip_of_a_field_opens(&slots, |slots| slots.unlock(&STORE, &sealed, secret).is_ok());
        no_flip_of_a_field_opens(&sealed, |sealed: &SealedRing| slots.unlock(&STORE, sealed, secret).is_ok());
        no_flip_opens(&STORE, |store| slots.unlock(store.try_into().unwrap(), &sealed, secret).is_ok());
    }
}

#[test]
fn of_a_passphrase() {
    let rng = &mut Kernel;
    let passphrase = |bytes: &[u8]| Passphrase::new(SecretBytes::new(bytes.to_vec())).unwrap();
    let right = passphrase(b"correct horse");
    let ring = KeyRing::create(&STORE, rng);
    let (slot, ring) = slot::create(
        &ring,
        &[9; 16],
        SlotSecret::Passphrase(&right),
        Argon2Params::for_throwaway_stores(),
        rng,
    )
    .unwrap();
    let (slots, sealed) = (KeySlots::first(slot), ring.seal(rng));
    no_flip_opens(b"correct horse", |bytes| {
        slots.unlock(&STORE, &sealed, SlotSecret::Passphrase(&passphrase(bytes))).is_ok()
    });
}
