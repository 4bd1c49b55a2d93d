//! Key slots: what unlocks the store.
//!
//! Changes run in tasks of their own: a caller that goes away must not leave memory behind what was stored.

use std::sync::Arc;

use super::{KeysRecord, Keyslot, NewKeyslot, Release, SlotNote, UnlockKind, UnlockSecret};
use crate::crypto::ring::KeyRing;
use crate::crypto::slot::{self, SlotSecret};
use crate::crypto::slots::{AddSlotError, KeySlots, RemoveSlotError};
use crate::domain::audit::AuditAction;
use crate::domain::id::{SlotId, StoreId};
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::audit::{Tell, target};
use crate::store::error::{Error, Failure};
use crate::store::journal::Stop;
use crate::store::records::Records;
use crate::store::{Caller, InitError, Store, keyspace};

const RELOCKED: &str =
    "the store was locked meanwhile, or its keys changed by another process: unlock it again";

impl Store {
    /// The key slots (the operator).
    pub async fn keyslots(&self, caller: &Caller) -> Result<Vec<Keyslot>, Error> {
        self.permit(caller, Action::ListKeyslots, AuditAction::KeyslotList, None).await?;
        Ok(self.keys_record().await?.shown())
    }

    /// Adds a key slot (the operator), on an unlocked store.
    pub async fn add_keyslot(&self, caller: &Caller, new: NewKeyslot) -> Result<Keyslot, Error> {
        let told = AuditAction::KeyslotAdd;
        self.permit(caller, Action::EditKeyslots, told, None).await?;
        let secret = match UnlockKind::read(clone_checked(&new)?) {
            Ok(secret) => secret,
            Err(_) => {
                return Err(Error::Invalid { field: "key_file", why: "it is not the text of a key file" });
            }
        };
        let (store, caller) = (self.clone(), caller.clone());
        let task = async move {
            // One change of the keys at a time: each starts from the ring that the one before left in memory.
            let _alone = store.inner.keys_change.lock().await;
            store.follow_keys().await?;
            let release = store.release().ok_or(Error::Locked)?;
            let id = SlotId::from_bytes(store.records().random_bytes());
            let (own, records) = (Arc::clone(&release), Arc::clone(&store.inner.records));
            let make =
                move || make_slot(&records, &own.ring, id, &secret, &new).map(|made| (made, new.label));
            let made = tokio::task::spawn_blocking(make).await.map_err(|_| Failure::Internal)?;
            let ((slot, ring), label) = made.map_err(|_| Failure::Overloaded)?;
            let sealed = ring.seal(&mut store.records().rng());
            let event = caller.event(told).about(target::keyslot(id));
            let (expected, new_ring) = (release.sealed.clone(), sealed.clone());
            let added = store.journal().run(vec![keyspace::keys().to_vec()], move |tx| {
                let mut keys = tx.get(&keyspace::keys())?.ok_or(Failure::Corrupt)?;
                if keys.ring != expected {
                    return Err(Error::Conflict { why: RELOCKED }.into());
                }
                keys.slots = keys.slots.with(slot.clone()).map_err(added_wrongly)?;
                keys.about.push(SlotNote { id, label: label.clone(), created_at: tx.now() });
                keys.ring = new_ring.clone();
                tx.put(&keyspace::keys(), &keys)?;
                tx.audit(event.clone());
                Ok::<_, Stop<Error>>(keys)
            });
            let keys = added.await?;
            store.renew_release(release.changed_to(ring, sealed));
            keys.shown().into_iter().find(|slot| slot.id == id).ok_or(Failure::Internal.into())
        };
        tokio::spawn(task).await.unwrap_or_else(|_| Err(Failure::Internal.into()))
    }

    /// Removes a key slot (the operator); never the last. Old copies of the byte store still open with it: re-encrypting
    /// everything afterwards is what makes it worthless.
    pub async fn remove_keyslot(&self, caller: &Caller, slot: SlotId) -> Result<Keyslot, Error> {
        let told = AuditAction::KeyslotRemove;
        self.permit(caller, Action::EditKeyslots, told, Some(target::keyslot(slot))).await?;
        let event = caller.event(told).about(target::keyslot(slot));
        let removed = self.journal().run(vec![keyspace::keys().to_vec()], move |tx| {
            let mut keys = tx.get(&keyspace::keys())?.ok_or(Failure::Corrupt)?;
            let shown = keys.shown().into_iter().find(|shown| shown.id == slot);
            let shown = shown.ok_or(Error::NotFound { what: "key slot" })?;
            keys.slots = keys.slots.without(slot.as_bytes()).map_err(|error| match error {
                RemoveSlotError::Last => Error::LastKeyslot,
                RemoveSlotError::Unknown => Error::NotFound { what: "key slot" },
            })?;
            keys.about.retain(|note| note.id != slot);
            tx.put(&keyspace::keys(), &keys)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(shown)
        });
        removed.await
    }
}

/// The keys of a new store and its ring. Blocks for the derivations.
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
        let secret = clone_checked(&new).ok().and_then(|secret| UnlockKind::read(secret).ok());
        let secret = secret.ok_or(InitError::Keyslot)?;
        let slot;
        (slot, ring) = make_slot(records, &ring, id, &secret, &new).map_err(|_| InitError::Keyslot)?;
        made = Some(match made {
            None => KeySlots::first(slot),
            Some(made) => made.with(slot).map_err(|_| InitError::Keyslot)?,
        });
        about.push(SlotNote { id, label: new.label, created_at: now });
    }
    let sealed = ring.seal(&mut records.rng());
    let slots = made.ok_or(InitError::NoKeyslot)?;
    let release = Release::new(ring, sealed.clone(), None, &mut records.rng());
    Ok((KeysRecord { slots, about, ring: sealed }, release))
}

fn make_slot(
    records: &Records,
    ring: &KeyRing,
    id: SlotId,
    secret: &UnlockKind,
    new: &NewKeyslot,
) -> Result<(slot::KeySlot, KeyRing), crate::crypto::passphrase::DeriveError> {
    let secret = match secret.as_secret() {
        SlotSecret::KeyFile(key) if new.credential => SlotSecret::Credential(key),
        secret => secret,
    };
    slot::create(ring, id.as_bytes(), secret, new.argon2.unwrap_or_default(), &mut records.rng())
}

/// The secret again, for the one that consumes it; refuses what opens nothing.
fn clone_checked(new: &NewKeyslot) -> Result<UnlockSecret, Error> {
    match &new.secret {
        UnlockSecret::Passphrase(text) if text.is_empty() => {
            Err(Error::Invalid { field: "passphrase", why: "it is empty" })
        }
        UnlockSecret::Passphrase(text) => Ok(UnlockSecret::Passphrase(text.clone())),
        UnlockSecret::KeyFile(text) => Ok(UnlockSecret::KeyFile(text.clone())),
    }
}

fn added_wrongly(error: AddSlotError) -> Error {
    match error {
        AddSlotError::Full => Error::Conflict { why: "there are 16 key slots already: remove one first" },
        AddSlotError::Duplicate | AddSlotError::None => Failure::Internal.into(),
    }
}

impl KeysRecord {
    fn shown(&self) -> Vec<Keyslot> {
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
