//! What this version writes, byte for byte: with known randomness, everything that is stored comes out as in
//! `tests/vectors/formats-1.json`. A change that this test sees is a new format, with a new label, beside the old one.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::crypto::deposit::ReleaseKey;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::passphrase::{Argon2Params, Passphrase};
use crate::crypto::record::RecordKey;
use crate::crypto::ring::KeyRing;
#[cfg(feature = "server")]
use crate::crypto::ring::SealedRing;
use crate::crypto::slot::SlotSecret;
use crate::crypto::slots::KeySlots;
use crate::crypto::value::{SealedValue, ValueContext};
use crate::crypto::{SecretBytes, cache, slot, value};

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
fn everything_stored_is_as_version_1_wrote_it() {
    let published: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/formats-1.json")).unwrap();
    for (name, written) in written() {
        assert_eq!(published[name], written, "the format of {name}; in full: {written}");
    }
}

fn written() -> Vec<(&'static str, Value)> {
    let mut next = 0_u8;
    let rng = &mut move |out: &mut [u8]| {
        for byte in out {
            *byte = next;
            next = next.wrapping_add(1);
        }
    };
    let hex = |bytes: &[u8]| Value::from(HEXLOWER.encode(bytes));

    let (record_key, record_key_text) = RecordKey::generate(rng);
    let record = record_key.seal_record(b"place", b"record", rng);

    let (old, new) = (ReleaseKey::generate(1, rng), ReleaseKey::generate(2, rng));
    let deposited = value::seal(&old.deposit_key(), &CONTEXT, b"value", rng).unwrap();
    let wrapped = value::settle(&old, &CONTEXT, &deposited.wrapped, rng).unwrap();
    let settled = SealedValue { wrapped, ..deposited.clone() };
    let resealed = value::reseal(&old, &new, &CONTEXT, &settled, rng).unwrap();

    let (file, passphrase) =
        (UnlockKey::generate(rng), Passphrase::new(SecretBytes::new(b"correct horse".to_vec())).unwrap());
    let ring = KeyRing::create(&[1; 16], rng);
    let cheap = Argon2Params::for_throwaway_stores();
    let (one, ring) = slot::create(&ring, &[6; 16], SlotSecret::Passphrase(&passphrase), cheap, rng).unwrap();
    let (two, ring) = slot::create(&ring, &[7; 16], SlotSecret::KeyFile(&file), cheap, rng).unwrap();
    let (three, ring) = slot::create(&ring, &[8; 16], SlotSecret::Credential(&file), cheap, rng).unwrap();
    let slots = KeySlots::first(one).with(two).unwrap().with(three).unwrap();
    let (ring, slots) = ring.with_generation(&slots, rng).unwrap();

    vec![
        ("record_key", Value::from(record_key_text.as_str())),
        ("record", hex(&record)),
        ("key_hash", hex(&record_key.key_hash("label", &[b"one", b"two"]))),
        ("audit_mac", hex(&record_key.audit_mac("label", &[b"one", b"two"]))),
        ("fingerprint", Value::from(old.deposit_key().fingerprint())),
        ("deposited", json!(deposited)),
        ("settled", json!(settled)),
        ("resealed", json!(resealed)),
        ("unlock_key", Value::from(file.to_text().as_str())),
        ("slots", json!(slots)),
        ("ring", json!(ring.seal(rng))),
        ("cache", hex(&cache::seal(&cache::key(&[9; 32]), &[b"one", b"two"], b"release", rng))),
    ]
}

/// Records hold these in a binary format, where byte fields are bytes.
#[cfg(feature = "server")]
#[test]
fn stored_structures_survive_a_binary_format() {
    fn survives<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        whole: &T,
    ) -> usize {
        let bytes = postcard::to_allocvec(whole).unwrap();
        assert_eq!(postcard::from_bytes::<T>(&bytes).unwrap(), *whole);
        bytes.len()
    }
    for (name, value) in written() {
        match name {
            "deposited" | "settled" | "resealed" => {
                assert!(survives::<SealedValue>(&serde_json::from_value(value).unwrap()) < 150);
            }
            "slots" => assert!(survives::<KeySlots>(&serde_json::from_value(value).unwrap()) < 750),
            "ring" => assert!(survives::<SealedRing>(&serde_json::from_value(value).unwrap()) < 400),
            _ => {}
        }
    }
}
