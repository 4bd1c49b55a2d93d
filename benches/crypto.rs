//! The cost of sealing and opening: a deposited value, a settled value, a record, and unlocking with a passphrase.

use divan::{Bencher, black_box};
use dropsafe::crypto::deposit::ReleaseKey;
use dropsafe::crypto::passphrase::{Argon2Params, Passphrase};
use dropsafe::crypto::random::Kernel;
use dropsafe::crypto::record::RecordKey;
use dropsafe::crypto::ring::KeyRing;
use dropsafe::crypto::slot::SlotSecret;
use dropsafe::crypto::value::{SealedValue, ValueContext};
use dropsafe::crypto::{SecretBytes, slot, value};

fn main() {
    divan::main();
}

const CONTEXT: ValueContext<'static> = ValueContext {
    store: &[1; 16],
    org: &[2; 16],
    scope: 1,
    owner: Some(&[3; 16]),
    secret: &[4; 16],
    env: "OPENAI_API_KEY",
    version: &[5; 16],
};

/// The length of a typical API key.
const VALUE: [u8; 64] = [b'x'; 64];

fn deposited() -> (ReleaseKey, SealedValue) {
    let key = ReleaseKey::generate(1, &mut Kernel);
    let sealed =
        value::seal(&key.deposit_key(), &CONTEXT, &VALUE, &mut Kernel).expect("a deposit key of our own");
    (key, sealed)
}

fn settled() -> (ReleaseKey, SealedValue) {
    let (key, mut sealed) = deposited();
    sealed.wrapped = value::settle(&key, &CONTEXT, &sealed.wrapped, &mut Kernel).expect("just sealed");
    (key, sealed)
}

/// A deposit.
#[divan::bench]
fn seal(bencher: Bencher) {
    let key = ReleaseKey::generate(1, &mut Kernel).deposit_key();
    bencher.bench_local(|| value::seal(black_box(&key), &CONTEXT, &VALUE, &mut Kernel));
}

/// A value's first boot.
#[divan::bench]
fn open_deposited(bencher: Bencher) {
    let (key, sealed) = deposited();
    bencher.bench_local(|| value::open(black_box(&key), &CONTEXT, &sealed));
}

/// Every later boot.
#[divan::bench]
fn open_settled(bencher: Bencher) {
    let (key, sealed) = settled();
    bencher.bench_local(|| value::open(black_box(&key), &CONTEXT, &sealed));
}

/// One value of a re-encryption.
#[divan::bench]
fn reseal(bencher: Bencher) {
    let (old, sealed) = settled();
    let new = ReleaseKey::generate(2, &mut Kernel);
    bencher.bench_local(|| value::reseal(black_box(&old), &new, &CONTEXT, &sealed, &mut Kernel));
}

/// One record of 200 bytes read from the byte store.
#[divan::bench]
fn open_record_of_200_bytes(bencher: Bencher) {
    let (key, _) = RecordKey::generate(&mut Kernel);
    let sealed = key.seal_record(b"s/0123456789abcdef", &[7; 200], &mut Kernel);
    bencher.bench_local(|| key.open_record(black_box(b"s/0123456789abcdef"), &sealed));
}

/// One record of 200 bytes written.
#[divan::bench]
fn seal_record_of_200_bytes(bencher: Bencher) {
    let (key, _) = RecordKey::generate(&mut Kernel);
    bencher.bench_local(|| key.seal_record(black_box(b"s/0123456789abcdef"), &[7; 200], &mut Kernel));
}

/// The keyed hash that is a record's key in the byte store.
#[divan::bench]
fn key_hash(bencher: Bencher) {
    let (key, _) = RecordKey::generate(&mut Kernel);
    bencher.bench_local(|| key.key_hash("env", black_box(&[&[2; 16], b"OPENAI_API_KEY"])));
}

/// Creating a slot with a passphrase at the default cost. Unlocking costs the same.
#[divan::bench(sample_count = 10)]
fn argon2_default(bencher: Bencher) {
    let ring = KeyRing::create(&[1; 16], &mut Kernel);
    let passphrase = Passphrase::new(SecretBytes::new(b"correct horse".to_vec())).expect("not empty");
    bencher.bench_local(|| {
        slot::create(
            &ring,
            &[9; 16],
            SlotSecret::Passphrase(black_box(&passphrase)),
            Argon2Params::DEFAULT,
            &mut Kernel,
        )
    });
}
