//! Key slots, which unlock the store.
//!
//! Changes run in tasks, so that a dropped request cannot leave the keys in memory behind those that are stored.

use std::sync::Arc;

use crate::crypto::generation::Generation;
use crate::crypto::passphrase_strength::require_strong;
use crate::crypto::ring::KeyRing;
use crate::crypto::sealed_release::responder::AnswerSeed;
use crate::crypto::slot::{self, SlotSecret};
use crate::crypto::slots::{AddSlotError, KeySlots, RemoveSlotError};
use crate::domain::audit::AuditAction;
use crate::domain::id::{SlotId, StoreId};
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::records::Records;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::init::InitError;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::keys::{Keyslot, NewKeyslot, ParsedSecret, UnlockSecret};
use crate::store::rules::store::Store;
use crate::store::tables::store::{KeysRecord, SlotNote};

const RELOCKED: &str = "the store was locked meanwhile, or another process changed its keys: unlock it again";

impl Store {
    /// Lists the key slots (the operator).
    pub async fn keyslots(&self, caller: &Caller) -> Result<Vec<Keyslot>, Error> {
        self.permit(caller, Action::ListKeyslots, AuditAction::KeyslotList, None).await?;
        Ok(self.keys_record().await?.keyslots())
    }

    /// Adds a key slot (the operator), on an unlocked store.
    pub async fn add_keyslot(&self, caller: &Caller, new: NewKeyslot) -> Result<Keyslot, Error> {
        let audit_action = AuditAction::KeyslotAdd;
        self.permit(caller, Action::EditKeyslots, audit_action, None).await?;
        // Before the lock below, so that a mistake does not wait for another change.
        let secret = match ParsedSecret::parse(check_and_clone(&new)?) {
            Ok(secret) => secret,
            Err(_) => {
                return Err(Error::Invalid { field: "key_file", why: "it is not the text of a key file" });
            }
        };
        require_strong_passphrase(&new).await?;
        let (store, caller) = (self.clone(), caller.clone());
        let task = async move {
            // One change of the keys at a time, because each starts from the ring that the last one left in memory.
            let _alone = store.inner.keys_change.lock().await;
            store.follow_keys().await?;
            let release = store.release().ok_or(Error::Locked)?;
            // The id goes into the slot's authenticated data, and is therefore needed before the slot.
            let id = SlotId::from_bytes(store.records().random_bytes());
            let (own, records) = (Arc::clone(&release), Arc::clone(&store.inner.records));
            let make =
                move || make_slot(&records, &own.ring, id, &secret, &new).map(|made| (made, new.label));
            // The derivation takes about a second of a processor.
            let made = tokio::task::spawn_blocking(make).await.map_err(|_| Failure::Internal)?;
            // The parameters were checked before, so that only memory can be missing.
            let ((slot, ring), label) = made.map_err(|_| Failure::Overloaded)?;
            let sealed = ring.seal(&mut store.records().rng());
            let event = caller.event(audit_action).about(target::keyslot(id));
            let (expected, new_ring, entry) = (release.sealed.clone(), sealed.clone(), event.clone());
            let added = store.change_keys(&event, move |tx, mut keys| {
                // The new slot wraps the ring in memory. It must not be stored beside another one.
                if keys.ring != expected {
                    return Err(Error::Conflict { why: RELOCKED }.into());
                }
                keys.slots = keys.slots.with(slot.clone()).map_err(add_slot_error)?;
                keys.about.push(SlotNote { id, label: label.clone(), created_at: tx.now() });
                keys.ring = new_ring.clone();
                tx.audit(entry.clone());
                let slots = keys.keyslots();
                Ok((keys, slots))
            });
            let slots = added.await?;
            // After the commit: memory must never be ahead of what is stored.
            store.replace_release(release.with_ring(ring, sealed));
            slots.into_iter().find(|slot| slot.id == id).ok_or(Failure::Internal.into())
        };
        tokio::spawn(task).await.unwrap_or_else(|_| Err(Failure::Internal.into()))
    }

    /// Removes a key slot (the operator), but never the last one. Old copies of the byte store still open with it, until
    /// everything is re-encrypted.
    pub async fn remove_keyslot(&self, caller: &Caller, slot: SlotId) -> Result<Keyslot, Error> {
        let audit_action = AuditAction::KeyslotRemove;
        self.permit(caller, Action::EditKeyslots, audit_action, Some(target::keyslot(slot))).await?;
        let event = caller.event(audit_action).about(target::keyslot(slot));
        let entry = event.clone();
        // Also on a locked store: a leaked passphrase must be removable at once.
        let removed = self.change_keys(&event, move |tx, mut keys| {
            let removed = keys.keyslots().into_iter().find(|removed| removed.id == slot);
            let removed = removed.ok_or(Error::NotFound { what: "key slot" })?;
            keys.slots = keys.slots.without(slot.as_bytes()).map_err(|error| match error {
                RemoveSlotError::Last => Error::LastKeyslot,
                RemoveSlotError::Unknown => Error::NotFound { what: "key slot" },
            })?;
            // The note goes with the slot, so that the list shows only what opens the store.
            keys.about.retain(|note| note.id != slot);
            tx.audit(entry.clone());
            Ok((keys, removed))
        });
        removed.await
    }
}

/// Refuses a passphrase that can be guessed, unless the request accepts one.
async fn require_strong_passphrase(new: &NewKeyslot) -> Result<(), Error> {
    let UnlockSecret::Passphrase(passphrase) = &new.secret else { return Ok(()) };
    if new.allow_weak {
        return Ok(());
    }
    let passphrase = passphrase.clone();
    // The estimate takes milliseconds of a processor, which other requests must not wait for.
    let checked = tokio::task::spawn_blocking(move || require_strong(&passphrase));
    checked.await.map_err(|_| Failure::Internal)?.map_err(|_| Error::Invalid {
        field: "passphrase",
        why: "fewer than 10^10 guesses find it: use five or more random words or a key file, or set allow_weak",
    })
}

/// Creates the keys of a new store and its ring. Blocks for the derivations.
pub(crate) fn first_keys(
    records: &Records,
    store: StoreId,
    slots: Vec<NewKeyslot>,
    now: Timestamp,
) -> Result<(KeysRecord, Release), InitError> {
    let mut ring = KeyRing::create(store.as_bytes(), &mut records.rng());
    let mut made: Option<KeySlots> = None;
    let mut about = Vec::new();
    for new in slots {
        let id = SlotId::from_bytes(records.random_bytes());
        let secret = check_and_clone(&new).ok().and_then(|secret| ParsedSecret::parse(secret).ok());
        let secret = secret.ok_or(InitError::Keyslot)?;
        let slot;
        // Each slot extends the ring, so that the last ring knows all of them.
        (slot, ring) = make_slot(records, &ring, id, &secret, &new).map_err(|_| InitError::Keyslot)?;
        made = Some(match made {
            None => KeySlots::first(slot),
            Some(made) => made.with(slot).map_err(|_| InitError::Keyslot)?,
        });
        about.push(SlotNote { id, label: new.label, created_at: now });
    }
    let sealed = ring.seal(&mut records.rng());
    let slots = made.ok_or(InitError::NoKeyslot)?;
    let chain = vec![Generation::of(ring.current())];
    let release = Release::new(ring, sealed.clone(), None, &mut records.rng());
    let answer = Some(AnswerSeed::generate(&mut records.rng()));
    Ok((KeysRecord { slots, about, ring: sealed, chain, answer }, release))
}

fn make_slot(
    records: &Records,
    ring: &KeyRing,
    id: SlotId,
    secret: &ParsedSecret,
    new: &NewKeyslot,
) -> Result<(slot::KeySlot, KeyRing), crate::crypto::passphrase::DeriveError> {
    // A credential is a key file that systemd delivers. Only the list tells them apart.
    let secret = match secret.as_secret() {
        SlotSecret::KeyFile(key) if new.credential => SlotSecret::Credential(key),
        secret => secret,
    };
    slot::create(ring, id.as_bytes(), secret, new.argon2.unwrap_or_default(), &mut records.rng())
}

/// Copies the secret for a caller that consumes it. Refuses an empty passphrase.
fn check_and_clone(new: &NewKeyslot) -> Result<UnlockSecret, Error> {
    match &new.secret {
        UnlockSecret::Passphrase(text) if text.is_empty() => {
            Err(Error::Invalid { field: "passphrase", why: "it is empty" })
        }
        UnlockSecret::Passphrase(text) => Ok(UnlockSecret::Passphrase(text.clone())),
        UnlockSecret::KeyFile(text) => Ok(UnlockSecret::KeyFile(text.clone())),
    }
}

fn add_slot_error(error: AddSlotError) -> Error {
    match error {
        AddSlotError::Full => Error::Conflict { why: "there are 16 key slots already: remove one first" },
        AddSlotError::Duplicate | AddSlotError::None => Failure::Internal.into(),
    }
}

impl KeysRecord {
    fn keyslots(&self) -> Vec<Keyslot> {
        let kind =
            |id: &SlotId| self.slots.iter().find(|slot| slot.id() == id.as_bytes()).map(slot::KeySlot::kind);
        self.about
            .iter()
            .filter_map(|note| {
                let SlotNote { id, label, created_at } = note.clone();
                Some(Keyslot { id, kind: kind(&id)?, label, created_at })
            })
            .collect()
    }
}
