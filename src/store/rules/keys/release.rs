//! The release key in memory, and the two things it is used for: opening values for a boot, and sealing them again.

use std::sync::{Arc, PoisonError};

use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::ring::{KeyRing, SealedRing};
use crate::crypto::slot::Opener;
use crate::crypto::value::{self, SealedValue};
use crate::domain::value::SecretValue;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Tx};
use crate::store::rules::secrets::{BodyRecord, SecretRecord, Stored, Whole};
use crate::store::rules::store::Store;
use crate::store::tables::keyspace;

/// An unlocked ring, and what is stored of it.
pub(crate) struct Release {
    pub(crate) ring: KeyRing,
    pub(crate) sealed: SealedRing,
    /// What follows the ring when another process changes it; none in the process that made the store.
    opener: Option<Arc<Opener>>,
    /// What opened values are sealed under that are kept for the next boot: random, and gone with the ring.
    pub(crate) kept: Arc<Key32>,
}

/// Why a value did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenValueError {
    /// Another process has made a generation since this one was unlocked.
    UnknownGeneration,
    /// It was never sealed as it should be: its depositor's doing, since the record itself opened.
    Unusable,
}

/// A secret whose value was sealed again.
pub(crate) struct Resealed {
    pub(crate) record: SecretRecord,
    apart: Option<BodyRecord>,
}

impl Release {
    pub(crate) fn new(
        ring: KeyRing,
        sealed: SealedRing,
        opener: Option<Opener>,
        rng: &mut dyn Random,
    ) -> Self {
        Self { ring, sealed, opener: opener.map(Arc::new), kept: Arc::new(Key32::random(rng)) }
    }

    /// The same after a change of this process.
    pub(crate) fn changed_to(&self, ring: KeyRing, sealed: SealedRing) -> Self {
        Self { ring, sealed, opener: self.opener.clone(), kept: Arc::clone(&self.kept) }
    }
}

impl Resealed {
    pub(crate) fn generation(&self) -> Option<u32> {
        self.record.value.generation()
    }
}

impl Store {
    /// The release key, while the store is unlocked.
    pub(crate) fn release(&self) -> Option<Arc<Release>> {
        self.inner.release.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The release key that opens what `release` did not know of; none when this process cannot get at it.
    pub(crate) async fn newer_release(
        &self,
        release: &Arc<Release>,
    ) -> Result<Option<Arc<Release>>, Failure> {
        // What is stored comes into use when the change that stored it ends.
        let _ended = self.inner.keys_change.lock().await;
        self.follow_keys().await?;
        Ok(self.release().filter(|newer| !Arc::ptr_eq(newer, release)))
    }

    /// Takes into use what another process made of the keys. The caller holds the lock on changes of the keys.
    pub(crate) async fn follow_keys(&self) -> Result<(), Failure> {
        let Some(release) = self.release() else { return Ok(()) };
        let keys = self.keys_record().await?;
        if keys.ring == release.sealed {
            return Ok(());
        }
        let followed =
            release.opener.as_ref().map(|opener| keys.slots.follow(self.id().as_bytes(), &keys.ring, opener));
        // When its slot was removed, the keys in memory open what they opened before, and nothing new.
        if let Some(Ok(ring)) = followed {
            self.renew_release(release.changed_to(ring, keys.ring));
        }
        Ok(())
    }

    pub(crate) fn set_release(&self, release: Option<Release>) {
        *self.inner.release.write().unwrap_or_else(PoisonError::into_inner) = release.map(Arc::new);
        self.inner.kept.forget_answers();
    }

    /// Takes a changed ring into use, unless the store was locked meanwhile: then it stays so.
    pub(crate) fn renew_release(&self, release: Release) {
        let mut held = self.inner.release.write().unwrap_or_else(PoisonError::into_inner);
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
        let opened = record.bound(self.id(), |context| value::open(key, context, sealed));
        let mut opened = opened.map_err(|_| OpenValueError::Unusable)?;
        // Taken out of its wiping cover without a copy, and into the next.
        Ok(SecretValue::new(std::mem::take(&mut *opened)))
    }

    /// Seals a secret's value again, to the current generation. None when the secret was replaced or deleted meanwhile.
    /// A value that never opened stays as it is, in a record sealed anew.
    pub(crate) async fn reseal(
        &self,
        release: &Release,
        record: SecretRecord,
    ) -> Result<Option<Resealed>, Failure> {
        let apart = match record.value.body().place() {
            None => None,
            Some(place) => match self.records().get(&place).await? {
                None => return Ok(None),
                apart => apart,
            },
        };
        let whole = record.value.clone().whole(apart)?;
        let (value, apart) = match whole {
            Whole::Plain(bytes) => Stored::plain(bytes, self.records()),
            Whole::Sealed(sealed) => {
                let old = release.ring.release_key(sealed.generation).ok_or(Failure::Conflict)?;
                let new = release.ring.current();
                let resealed = record.bound(self.id(), |context| {
                    value::reseal(old, new, context, &sealed, &mut self.records().rng())
                });
                // What does not open cannot be moved; that its generation is gone then changes nothing for it.
                let unmoved = SealedValue { generation: new.generation(), ..sealed };
                Stored::sealed(resealed.unwrap_or(unmoved), self.records())
            }
        };
        let SecretRecord { org, meta, .. } = record;
        Ok(Some(Resealed { record: SecretRecord { org, meta, value }, apart }))
    }

    /// Wraps a secret's data key so that opening it costs no public-key operation. None when there is nothing to do.
    pub(crate) fn settle(
        &self,
        release: &Release,
        record: &SecretRecord,
    ) -> Result<Option<SecretRecord>, OpenValueError> {
        let Stored::Sealed { generation, nonce, wrapped, ciphertext } = &record.value else {
            return Ok(None);
        };
        if wrapped.is_settled() {
            return Ok(None);
        }
        let key = release.ring.release_key(*generation).ok_or(OpenValueError::UnknownGeneration)?;
        let settled = record
            .bound(self.id(), |context| value::settle(key, context, wrapped, &mut self.records().rng()))
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
    /// Stores a secret that was sealed again, if it still is as it was before, and its new generation is the current one:
    /// any other could be behind the cursor of a run.
    pub(crate) fn put_resealed(&mut self, before: &SecretRecord, resealed: &Resealed) -> Result<bool, Halt> {
        let key = before.key(self.records());
        self.need([key.to_vec(), keyspace::keys().to_vec()])?;
        if self.get(&key)?.as_ref() != Some(before) {
            return Ok(false);
        }
        let keys = self.get(&keyspace::keys())?.ok_or(Halt::Failed(Failure::Corrupt))?;
        if resealed.generation().is_some_and(|own| own != keys.ring.deposit_key().generation()) {
            return Ok(false);
        }
        if let Some(place) = before.value.body().place() {
            self.delete(&place);
        }
        self.put(&key, &resealed.record)?;
        if let (Some(place), Some(apart)) = (resealed.record.value.body().place(), &resealed.apart) {
            self.put(&place, apart)?;
        }
        self.delete(&keyspace::unsettled(&key));
        Ok(true)
    }
}
