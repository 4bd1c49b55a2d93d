//! Generations come and go, and only the slots that are left follow.

use super::*;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::passphrase::Argon2Params;
use crate::crypto::random::Kernel;
use crate::crypto::slot::{KeySlotError, SlotSecret};
use crate::crypto::value::{SealedValueError, ValueContext};
use crate::crypto::{slot, value};

const STORE: [u8; 16] = [1; 16];
const CONTEXT: ValueContext<'static> = ValueContext {
    store: &STORE,
    org: &[2; 16],
    scope: 0,
    owner: None,
    secret: &[4; 16],
    env: "DB_URL",
    version: &[5; 16],
};

fn ring_with(keys: &[UnlockKey]) -> (KeyRing, KeySlots) {
    let (mut ring, mut slots) = (KeyRing::create(&STORE, &mut Kernel), Vec::new());
    for (id, key) in (0..).zip(keys) {
        let (slot, known) =
            slot::create(&ring, &[id; 16], SlotSecret::KeyFile(key), Argon2Params::DEFAULT, &mut Kernel)
                .unwrap();
        slots.push(slot);
        ring = known;
    }
    (ring, KeySlots::try_from(slots).unwrap())
}

fn keys<const N: usize>() -> [UnlockKey; N] {
    std::array::from_fn(|_| UnlockKey::generate(&mut Kernel))
}

#[test]
fn a_new_generation_needs_no_secret_and_every_slot_left_opens_it() {
    let (keys, rng) = (keys::<3>(), &mut Kernel);
    let (ring, slots) = ring_with(&keys);
    let old_value = value::seal(&ring.deposit_key(), &CONTEXT, b"value", rng).unwrap();
    let old_sealed = ring.seal(rng);

    let left = slots.without(&[1; 16]).unwrap();
    let (ring, left) = ring.with_generation(&left, rng).unwrap();
    let sealed = ring.seal(rng);
    assert_eq!(sealed.generations().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(sealed.deposit_key(), ring.deposit_key());
    for at in [0, 2] {
        let unlocked = left.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[at])).unwrap().ring;
        assert_eq!(unlocked.older_generations().collect::<Vec<_>>(), [1]);
        let old = unlocked.release_key(1).unwrap();
        assert_eq!(*value::open(old, &CONTEXT, &old_value).unwrap(), b"value");
        let new = value::seal(&sealed.deposit_key(), &CONTEXT, b"new", rng).unwrap();
        assert_eq!(*value::open(unlocked.current(), &CONTEXT, &new).unwrap(), b"new");
    }

    // The removed slot, put back from an old copy: it opens the old ring, and never again the present one.
    assert!(slots.unlock(&STORE, &old_sealed, SlotSecret::KeyFile(&keys[1])).is_ok());
    let answer = slots.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[1])).unwrap_err();
    assert_eq!(answer, KeySlotError::Ring(RingDamaged));
    assert_eq!(
        left.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[1])).unwrap_err(),
        KeySlotError::Refused
    );
    assert_eq!(ring.with_generation(&slots, rng).unwrap_err(), NewGenerationError::ForeignSlot([1; 16]));
}

#[test]
fn what_unlocked_one_ring_follows_to_the_next_while_its_slot_is_there() {
    let (keys, rng) = (keys::<2>(), &mut Kernel);
    let (ring, slots) = ring_with(&keys);
    let opener = slots.unlock(&STORE, &ring.seal(rng), SlotSecret::KeyFile(&keys[0])).unwrap().opener;

    let (ring, slots) = ring.with_generation(&slots, rng).unwrap();
    let (ring, slots) = ring.with_generation(&slots, rng).unwrap();
    let sealed = ring.seal(rng);
    let followed = slots.follow(&STORE, &sealed, &opener).unwrap();
    assert_eq!(followed.deposit_key(), ring.deposit_key());
    assert_eq!(followed.older_generations().collect::<Vec<_>>(), [1, 2]);
    let other = [9; 16];
    assert_eq!(slots.follow(&other, &sealed, &opener).unwrap_err(), KeySlotError::Damaged);

    let left = slots.without(&[0; 16]).unwrap();
    let (ring, left) = ring.with_generation(&left, rng).unwrap();
    let sealed = ring.seal(rng);
    assert_eq!(left.follow(&STORE, &sealed, &opener).unwrap_err(), KeySlotError::Refused);
    // Nor does what is wrapped to the slot from before open the ring of now.
    let answer = slots.follow(&STORE, &sealed, &opener).unwrap_err();
    assert_eq!(answer, KeySlotError::Ring(RingDamaged));
    assert_eq!(format!("{opener:?}"), "Opener([redacted])");
}

#[test]
fn a_dropped_generation_is_unreadable() {
    let (keys, rng) = (keys::<1>(), &mut Kernel);
    let (ring, slots) = ring_with(&keys);
    let old_value = value::seal(&ring.deposit_key(), &CONTEXT, b"value", rng).unwrap();
    let (ring, slots) = ring.with_generation(&slots, rng).unwrap();
    let moved =
        value::reseal(ring.release_key(1).unwrap(), ring.current(), &CONTEXT, &old_value, rng).unwrap();

    assert_eq!(ring.without_generation(2).unwrap_err(), DropGenerationError::Current(2));
    assert_eq!(ring.without_generation(3).unwrap_err(), DropGenerationError::Unknown(3));
    let sealed = ring.without_generation(1).unwrap().seal(rng);
    assert_eq!(sealed.generations().collect::<Vec<_>>(), [2]);
    let ring = slots.unlock(&STORE, &sealed, SlotSecret::KeyFile(&keys[0])).unwrap().ring;
    assert!(ring.release_key(1).is_none());
    let answer = value::open(ring.current(), &CONTEXT, &old_value);
    assert_eq!(answer, Err(SealedValueError::Generation { sealed: 1, key: 2 }));
    assert_eq!(*value::open(ring.current(), &CONTEXT, &moved).unwrap(), b"value");
}

#[test]
fn nothing_is_wrapped_to_a_slot_of_another_ring() {
    let keys = keys::<1>();
    let (ring, _) = ring_with(&keys);
    let (_, foreign) = ring_with(&keys);
    let answer = ring.with_generation(&foreign, &mut Kernel).unwrap_err();
    assert_eq!(answer, NewGenerationError::ForeignSlot([0; 16]));
}

#[test]
fn the_stored_form_survives_json_and_shows_public_keys_only() {
    let keys = keys::<1>();
    let (ring, slots) = ring_with(&keys);
    let sealed = ring.seal(&mut Kernel);
    let json = serde_json::to_string(&(&slots, &sealed)).unwrap();
    let (read_slots, read): (KeySlots, SealedRing) = serde_json::from_str(&json).unwrap();
    assert_eq!((&read_slots, &read), (&slots, &sealed));
    for secret in [ring.root(), ring.identity(), ring.current().private_key(), ring.current().settling_key()]
    {
        assert!(!json.contains(&data_encoding::BASE64URL_NOPAD.encode(secret.expose())));
    }
    assert_eq!(format!("{ring:?}"), "KeyRing { current: 1, [redacted] }");
}
