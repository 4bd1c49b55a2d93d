//! The key slots of a store as one list: never empty, each id once, tried in order.

use serde::{Deserialize, Serialize};

use super::ring::{KeyRing, SealedRing};
use super::slot::{KeySlot, KeySlotError, Opener, SlotSecret};

/// The slots of a store: 1 to [`KeySlots::MAX`], each id once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<KeySlot>", try_from = "Vec<KeySlot>")]
pub(crate) struct KeySlots(Vec<KeySlot>);

impl KeySlots {
    /// The largest number of slots. A wrong passphrase costs a derivation for each of them.
    pub(crate) const MAX: usize = 16;

    pub(crate) fn first(slot: KeySlot) -> Self {
        Self(vec![slot])
    }

    /// The slots in the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &KeySlot> {
        self.0.iter()
    }

    pub(crate) fn with(&self, slot: KeySlot) -> Result<Self, AddSlotError> {
        if self.0.len() >= Self::MAX {
            return Err(AddSlotError::Full);
        }
        if self.0.iter().any(|other| other.id() == slot.id()) {
            return Err(AddSlotError::Duplicate);
        }
        Ok(Self(self.0.iter().cloned().chain([slot]).collect()))
    }

    /// These slots without one. This does not revoke its secret, which opens old copies of slot and ring, and the present ring
    /// until that has a new generation ([`KeyRing::with_generation`]).
    pub(crate) fn without(&self, id: &[u8; 16]) -> Result<Self, RemoveSlotError> {
        let left: Vec<KeySlot> = self.0.iter().filter(|slot| slot.id() != id).cloned().collect();
        match left.len() {
            0 => Err(RemoveSlotError::Last),
            len if len == self.0.len() => Err(RemoveSlotError::Unknown),
            _ => Ok(Self(left)),
        }
    }

    /// Unlocks the ring with the first slot that `secret` opens. Blocks for one derivation for each passphrase slot.
    pub(crate) fn unlock(
        &self,
        store: &[u8; 16],
        ring: &SealedRing,
        secret: SlotSecret<'_>,
    ) -> Result<UnlockedRing, KeySlotError> {
        // A damaged slot must not lock the others out, so the loop remembers its error and goes on.
        let mut failure = KeySlotError::Refused;
        for slot in &self.0 {
            match slot.open(store, secret) {
                // A slot of another ring, put beside ours. Its root would open only that ring, so say damaged now.
                Ok(Some(_)) if slot.ring() != ring.identity() => failure = KeySlotError::Damaged,
                Ok(Some((root, opener))) => {
                    let ring = KeyRing::open(store, root, ring)?;
                    return Ok(UnlockedRing { ring, slot: *slot.id(), opener });
                }
                Ok(None) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Opens the present ring with the key that unlocked an earlier one, without the secret. Refused if the slot is gone.
    pub(crate) fn follow(
        &self,
        store: &[u8; 16],
        ring: &SealedRing,
        opener: &Opener,
    ) -> Result<KeyRing, KeySlotError> {
        let slot = self.0.iter().find(|slot| slot.id() == opener.slot()).ok_or(KeySlotError::Refused)?;
        // As in `unlock`: the slot of another ring with the same id opens nothing of ours.
        if slot.ring() != ring.identity() {
            return Err(KeySlotError::Damaged);
        }
        Ok(KeyRing::open(store, slot.open_with(store, opener)?, ring)?)
    }

    /// The same slots, rewrapped, in the same order.
    pub(crate) fn replace_all(&self, slots: Vec<KeySlot>) -> Self {
        // So the number and the ids are still valid, and the checks of `with` need not run again.
        debug_assert!(slots.iter().map(KeySlot::id).eq(self.iter().map(KeySlot::id)));
        Self(slots)
    }
}

impl From<KeySlots> for Vec<KeySlot> {
    fn from(slots: KeySlots) -> Self {
        slots.0
    }
}

impl TryFrom<Vec<KeySlot>> for KeySlots {
    type Error = AddSlotError;

    fn try_from(slots: Vec<KeySlot>) -> Result<Self, AddSlotError> {
        // Through `with`, so that a stored list obeys the same limits as one that was built here.
        let mut slots = slots.into_iter();
        let first = slots.next().map(Self::first).ok_or(AddSlotError::None)?;
        slots.try_fold(first, |slots, slot| slots.with(slot))
    }
}

/// An unlocked ring and the slot that opened.
#[derive(Debug)]
pub(crate) struct UnlockedRing {
    pub ring: KeyRing,
    pub slot: [u8; 16],
    /// Opens the ring again after others changed it.
    pub opener: Opener,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddSlotError {
    #[error("there are 16 key slots already")]
    Full,
    #[error("there already is a key slot with this id")]
    Duplicate,
    /// The stored list is empty.
    #[error("there is no key slot")]
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RemoveSlotError {
    #[error("the last key slot cannot be removed")]
    Last,
    #[error("there is no such key slot")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretBytes;
    use crate::crypto::keyfile::UnlockKey;
    use crate::crypto::passphrase::{Argon2Params, Passphrase};
    use crate::crypto::random::Kernel;
    use crate::crypto::slot::{SlotKind, create};

    const STORE: [u8; 16] = [1; 16];
    const CHEAP: Argon2Params = Argon2Params::for_throwaway_stores();

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(SecretBytes::new(text.into())).unwrap()
    }

    /// A ring with one slot of each kind.
    fn three_slots(passphrase: &Passphrase, file: &UnlockKey, credential: &UnlockKey) -> (KeySlots, KeyRing) {
        let rng = &mut Kernel;
        let ring = KeyRing::create(&STORE, rng);
        let (one, ring) = create(&ring, &[1; 16], SlotSecret::Passphrase(passphrase), CHEAP, rng).unwrap();
        let (two, ring) = create(&ring, &[2; 16], SlotSecret::KeyFile(file), CHEAP, rng).unwrap();
        let (three, ring) = create(&ring, &[3; 16], SlotSecret::Credential(credential), CHEAP, rng).unwrap();
        (KeySlots::first(one).with(two).unwrap().with(three).unwrap(), ring)
    }

    fn changed(slot: &KeySlot, field: &str, value: serde_json::Value) -> KeySlot {
        let mut json = serde_json::to_value(slot).unwrap();
        json[field] = value;
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_kind_of_secret_opens_its_slot() {
        let (passphrase, file, credential) =
            (passphrase("horse"), UnlockKey::generate(&mut Kernel), UnlockKey::generate(&mut Kernel));
        let (slots, ring) = three_slots(&passphrase, &file, &credential);
        let sealed = ring.seal(&mut Kernel);
        let kinds: Vec<SlotKind> = slots.iter().map(KeySlot::kind).collect();
        assert_eq!(kinds, [SlotKind::Passphrase(CHEAP), SlotKind::KeyFile, SlotKind::Credential]);
        for (secret, id) in [
            (SlotSecret::Passphrase(&passphrase), 1),
            (SlotSecret::KeyFile(&file), 2),
            (SlotSecret::Credential(&credential), 3),
            (SlotSecret::KeyFile(&credential), 3),
        ] {
            let unlocked = slots.unlock(&STORE, &sealed, secret).unwrap();
            assert_eq!(unlocked.slot, [id; 16]);
            assert_eq!(unlocked.ring.deposit_key(), ring.deposit_key());
            assert!(unlocked.ring.current().private_key().ct_eq(ring.current().private_key().expose()));
        }
    }

    #[test]
    fn every_wrong_secret_gets_the_same_answer() {
        let file = UnlockKey::generate(&mut Kernel);
        let (slots, ring) = three_slots(&passphrase("horse"), &file, &file);
        let sealed = ring.seal(&mut Kernel);
        let other = UnlockKey::generate(&mut Kernel);
        let (near, far) = (passphrase("horse "), passphrase("battery"));
        for secret in [
            SlotSecret::Passphrase(&near),
            SlotSecret::Passphrase(&far),
            SlotSecret::KeyFile(&other),
            SlotSecret::Credential(&other),
        ] {
            assert_eq!(slots.unlock(&STORE, &sealed, secret).unwrap_err(), KeySlotError::Refused);
        }
        assert_eq!(KeySlotError::Refused.to_string(), "no key slot opens with this passphrase or key");
        let (_, stranger) = three_slots(&passphrase("horse"), &file, &file);
        let strange = stranger.seal(&mut Kernel);
        assert_eq!(
            slots.unlock(&STORE, &strange, SlotSecret::KeyFile(&file)).unwrap_err(),
            KeySlotError::Damaged
        );
        assert_eq!(
            slots.unlock(&[2; 16], &sealed, SlotSecret::KeyFile(&file)).unwrap_err(),
            KeySlotError::Refused
        );
    }

    #[test]
    fn the_last_slot_stays() {
        let file = UnlockKey::generate(&mut Kernel);
        let (slots, _) = three_slots(&passphrase("horse"), &file, &file);
        assert_eq!(slots.without(&[9; 16]), Err(RemoveSlotError::Unknown));
        let one = slots.without(&[1; 16]).unwrap().without(&[3; 16]).unwrap();
        assert_eq!(one.without(&[2; 16]), Err(RemoveSlotError::Last));
        assert_eq!(one.without(&[9; 16]), Err(RemoveSlotError::Unknown));
    }

    #[test]
    fn a_stored_list_is_neither_empty_nor_too_long_nor_doubled() {
        let file = UnlockKey::generate(&mut Kernel);
        let ring = KeyRing::create(&STORE, &mut Kernel);
        let slot =
            |id: u8| create(&ring, &[id; 16], SlotSecret::KeyFile(&file), CHEAP, &mut Kernel).unwrap().0;
        assert_eq!(KeySlots::try_from(vec![]), Err(AddSlotError::None));
        assert_eq!(KeySlots::try_from(vec![slot(1), slot(1)]), Err(AddSlotError::Duplicate));
        assert!(KeySlots::try_from((0..16).map(slot).collect::<Vec<_>>()).is_ok());
        assert_eq!(KeySlots::try_from((0..17).map(slot).collect::<Vec<_>>()), Err(AddSlotError::Full));
    }

    #[test]
    fn a_slot_takes_a_root_from_its_own_ring_only() {
        let (file, rng) = (UnlockKey::generate(&mut Kernel), &mut Kernel);
        let (slots, _) = three_slots(&passphrase("horse"), &file, &file);
        let evil = KeyRing::create(&STORE, rng);
        let planted = KeySlots::first(slots.iter().nth(1).unwrap().rewrap(&evil, rng));
        let answer = planted.unlock(&STORE, &evil.seal(rng), SlotSecret::KeyFile(&file)).unwrap_err();
        assert_eq!(answer, KeySlotError::Damaged);
    }

    #[test]
    fn a_damaged_slot_does_not_keep_the_others_shut() {
        let file = UnlockKey::generate(&mut Kernel);
        let (mut slots, ring) = three_slots(&passphrase("horse"), &file, &file);
        slots.0[0] = changed(&slots.0[0], "suite", 0x647a.into());
        slots.0[1] = changed(&slots.0[1], "ct", "AAAA".into());
        let sealed = ring.seal(&mut Kernel);
        assert_eq!(slots.unlock(&STORE, &sealed, SlotSecret::KeyFile(&file)).unwrap().slot, [3; 16]);
        let answer = slots.unlock(&STORE, &sealed, SlotSecret::Passphrase(&passphrase("horse"))).unwrap_err();
        assert_eq!(answer, KeySlotError::UnknownSuite(0x647a));
    }

    #[test]
    fn a_slot_of_another_kind_is_another_slot() {
        let file = UnlockKey::generate(&mut Kernel);
        let (mut slots, ring) = three_slots(&passphrase("horse"), &file, &file);
        slots.0.truncate(2);
        slots.0[1] = changed(&slots.0[1], "kind", "credential".into());
        let answer = slots.unlock(&STORE, &ring.seal(&mut Kernel), SlotSecret::KeyFile(&file)).unwrap_err();
        assert_eq!(answer, KeySlotError::Refused);
    }
}
