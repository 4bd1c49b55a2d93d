//! The release key in memory, and its two uses: opening values for a boot, and sealing them again.

use std::sync::{Arc, PoisonError};

use crate::crypto::value::{self, SealedValue};
use crate::domain::value::SecretValue;
use crate::store::engine::audit::verify::Pace;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Tx};
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::secrets::AssembledValue;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::{self, BodyRecord, SecretRecord, SecretValueRecord as Stored};
use crate::store::tables::store;

/// Why a value did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenValueError {
    /// Another process has created the value's generation since this one was unlocked.
    UnknownGeneration,
    /// Its depositor did not seal it correctly. The record around it is authentic.
    Unusable,
}

/// The outcome of sealing a value again.
pub(crate) enum Reseal {
    Sealed(Box<Resealed>),
    /// The secret was replaced or deleted meanwhile.
    Changed,
    /// The value does not open, and stays as it is.
    Unusable,
}

/// A secret whose value was sealed again.
pub(crate) struct Resealed {
    pub(crate) record: SecretRecord,
    apart: Option<BodyRecord>,
}

impl Resealed {
    pub(crate) fn generation(&self) -> Option<u32> {
        self.record.value.generation()
    }
}

impl Store {
    /// The release key. `None` while the store is locked.
    pub(crate) fn release(&self) -> Option<Arc<Release>> {
        // A panic cannot leave it half written, so that a poisoned lock is as good as any.
        self.inner.release.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The release key after changes by other processes. `None` if it is still `release`.
    pub(crate) async fn newer_release(
        &self,
        release: &Arc<Release>,
    ) -> Result<Option<Arc<Release>>, Failure> {
        // A change by this process takes effect in memory when it releases the lock.
        let _ended = self.inner.keys_change.lock().await;
        self.follow_keys().await?;
        Ok(self.release().filter(|newer| !Arc::ptr_eq(newer, release)))
    }

    /// Takes over a change of the keys by another process. The caller holds the lock on changes of the keys.
    pub(crate) async fn follow_keys(&self) -> Result<(), Failure> {
        // A locked process has nothing to follow with: its next unlock reads the newest keys.
        let Some(release) = self.release() else { return Ok(()) };
        let keys = self.records().get_unverified(&store::keys()).await?.ok_or(Failure::Corrupt)?;
        if keys.ring == release.sealed {
            return Ok(());
        }
        // An older record that somebody put back is not followed.
        let keys = self.verify_keys(Pace::Full).await?.record;
        let followed =
            release.opener.as_ref().map(|opener| keys.slots.follow(self.id().as_bytes(), &keys.ring, opener));
        // If the slot that unlocked this process was removed, the old ring stays and opens what it opened before.
        if let Some(Ok(ring)) = followed {
            self.replace_release(release.with_ring(ring, keys.ring));
        }
        Ok(())
    }

    /// Whether `release` has all keys that are stored.
    pub(crate) async fn has_newest_keys(&self, release: &Release) -> Result<bool, Failure> {
        Ok(self.keys_record().await?.ring == release.sealed)
    }

    pub(crate) fn set_release(&self, release: Option<Release>) {
        *self.inner.release.write().unwrap_or_else(PoisonError::into_inner) = release.map(Arc::new);
        // They are sealed under the key that was just replaced.
        self.inner.scope_cache.clear_results();
        // Names are no values, but a locked process has no use for what its boots received.
        self.inner.receipt_cache.clear();
    }

    /// Replaces the release key, unless the store was locked meanwhile.
    pub(crate) fn replace_release(&self, release: Release) {
        let mut held = self.inner.release.write().unwrap_or_else(PoisonError::into_inner);
        // A lock during the change of the keys must win: the operator has the answer that no key is in memory.
        if held.is_some() {
            *held = Some(Arc::new(release));
        }
    }

    /// Opens a value.
    pub(crate) fn open_value(
        &self,
        release: &Release,
        record: &SecretRecord,
        sealed: &SealedValue,
    ) -> Result<SecretValue, OpenValueError> {
        let key = release.ring.release_key(sealed.generation).ok_or(OpenValueError::UnknownGeneration)?;
        let opened = value::open(key, &record.context(&self.id()), sealed);
        let mut opened = opened.map_err(|_| OpenValueError::Unusable)?;
        // Moved from one type that wipes its memory into another, without a copy.
        Ok(SecretValue::new(std::mem::take(&mut *opened)))
    }

    /// Reads the bytes of a value that are stored apart. `Err(None)` if the secret was replaced or deleted meanwhile.
    pub(crate) async fn read_apart(
        &self,
        record: &SecretRecord,
    ) -> Result<Option<BodyRecord>, Option<Failure>> {
        let Some(place) = record.value.body().place() else { return Ok(None) };
        if let Some(apart) = self.records().get(&place).await? {
            return Ok(Some(apart));
        }
        // Each sealing has a new place. If the secret still names this one, somebody deleted the bytes from the byte store.
        let now = self.records().get(&record.key(self.records())).await?;
        let is_same = now.is_some_and(|now| now.value.body() == record.value.body());
        Err(is_same.then_some(Failure::Corrupt))
    }

    /// Seals a secret's value again, to the current generation.
    pub(crate) async fn reseal(&self, release: &Release, record: SecretRecord) -> Result<Reseal, Failure> {
        let apart = match self.read_apart(&record).await {
            Ok(apart) => apart,
            Err(None) => return Ok(Reseal::Changed),
            Err(Some(failure)) => return Err(failure),
        };
        let (value, apart) = match record.value.clone().assemble(apart)? {
            AssembledValue::Plain(bytes) => Stored::plain(bytes, self.records()),
            AssembledValue::Sealed(sealed) => {
                let new = release.ring.current();
                let Some(old) = release.ring.release_key(sealed.generation) else {
                    // Another process may have created a newer generation. An older one does not come back.
                    let is_newer = sealed.generation > new.generation();
                    return if is_newer { Err(Failure::Conflict) } else { Ok(Reseal::Unusable) };
                };
                let store = self.id();
                let context = record.context(&store);
                match value::reseal(old, new, &context, &sealed, &mut self.records().rng()) {
                    Ok(resealed) => Stored::sealed(resealed, self.records()),
                    Err(_) => return Ok(Reseal::Unusable),
                }
            }
        };
        let SecretRecord { org, meta, .. } = record;
        Ok(Reseal::Sealed(Box::new(Resealed { record: SecretRecord { org, meta, value }, apart })))
    }

    /// Wraps a secret's data key so that opening it needs no public-key operation. `None` if there is nothing to do.
    pub(crate) fn settle(
        &self,
        release: &Release,
        record: &SecretRecord,
    ) -> Result<Option<SecretRecord>, OpenValueError> {
        let Stored::Sealed { generation, nonce, wrapped, ciphertext } = &record.value else {
            return Ok(None);
        };
        // Another process may have settled it between the scan and this read.
        if wrapped.is_settled() {
            return Ok(None);
        }
        let key = release.ring.release_key(*generation).ok_or(OpenValueError::UnknownGeneration)?;
        let store = self.id();
        let settled = value::settle(key, &record.context(&store), wrapped, &mut self.records().rng())
            .map_err(|_| OpenValueError::Unusable)?;
        let value = Stored::Sealed {
            generation: *generation,
            nonce: *nonce,
            wrapped: settled,
            ciphertext: ciphertext.clone(),
        };
        Ok(Some(SecretRecord { org: record.org, meta: record.meta.clone(), value }))
    }
}

impl Tx<'_> {
    /// Stores a secret that was sealed again, and returns whether it did: only if the secret is unchanged and the new
    /// generation is the current one.
    pub(crate) fn put_resealed(&mut self, before: &SecretRecord, resealed: &Resealed) -> Result<bool, Halt> {
        let key = before.key(self.records());
        self.need([key.to_vec(), store::keys().to_vec()])?;
        // A newer value must not be overwritten by an older one under fresh keys.
        if self.get(&key)?.as_ref() != Some(before) {
            return Ok(false);
        }
        let keys = self.get(&store::keys())?.ok_or(Halt::Failed(Failure::Corrupt))?;
        // A re-encryption may already have passed this secret, and would then drop the generation that it is sealed to.
        if resealed.generation().is_some_and(|own| own != keys.ring.deposit_key().generation()) {
            return Ok(false);
        }
        if let Some(place) = before.value.body().place() {
            // The old bytes go with the old record. A boot that still looks for them reads its scope again.
            self.delete(&place);
        }
        self.put(&key, &resealed.record)?;
        if let (Some(place), Some(apart)) = (resealed.record.value.body().place(), &resealed.apart) {
            self.put(&place, apart)?;
        }
        // A resealed data key is settled already.
        self.delete(&secrets::unsettled(&key));
        Ok(true)
    }
}
