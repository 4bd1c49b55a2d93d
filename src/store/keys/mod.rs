//! Locking and unlocking, key slots, and what depositors need to know of the keys.
//!
//! The release key is in memory between an unlock and a lock, and nowhere else in the clear. A change of the keys is in
//! memory only after it is stored.

mod release;
mod slots;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use release::{OpenValueError, Release, Resealed};
use serde::{Deserialize, Serialize};
pub(crate) use slots::first_keys;
use zeroize::Zeroizing;

use super::audit::{Tell, target};
use super::error::{Coded, Error, Failure};
use super::journal::{QUEUE, Stop};
use super::records::Record;
use super::reencrypt::Progress;
use super::{Caller, Store, keyspace};
use crate::crypto::deposit::DepositKey;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::passphrase::{Argon2Params, Passphrase};
use crate::crypto::ring::SealedRing;
use crate::crypto::slot::{self, SlotKind, SlotSecret};
use crate::crypto::slots::KeySlots;
use crate::crypto::{SecretBytes, hpke};
use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::code::Code;
use crate::domain::id::{MemberId, OrgId, SlotId, StoreId};
use crate::domain::name::Label;
use crate::domain::role::{Action, Denied};
use crate::domain::time::Timestamp;

/// Unlocks that may wait for a derivation: more are somebody guessing.
pub(crate) const UNLOCKS_WAITING: usize = 8;

/// What opens a key slot.
pub enum UnlockSecret {
    /// Tried on passphrase slots.
    Passphrase(Zeroizing<String>),
    /// The text of a key file, tried on key file and credential slots.
    KeyFile(Zeroizing<String>),
}

/// A key slot to be made.
pub struct NewKeyslot {
    /// Of a key file: whether it is shown as a systemd credential.
    pub credential: bool,
    /// What will open it.
    pub secret: UnlockSecret,
    /// For people.
    pub label: Option<Label>,
    /// Cost of the derivation, for a passphrase; absent: the default. Below RFC 9106's second recommended set is refused
    /// (except in tests).
    pub argon2: Option<Argon2Params>,
}

/// A key slot as shown.
#[derive(Clone, Debug)]
pub struct Keyslot {
    /// Its id.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// For people.
    pub label: Option<Label>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The answer to an unlock.
#[derive(Clone, Debug)]
pub struct Unlocked {
    /// The slot that opened.
    pub slot: SlotId,
    /// The current generation.
    pub generation: u32,
}

/// Why it stays locked.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// No slot opens with this.
    #[error("no key slot opens with this")]
    WrongPassphrase,
    /// The key file's text is not one.
    #[error("this is not the text of a key file")]
    NotAKeyFile,
    /// This process never holds the release key.
    #[error("this server takes deposits only, and never holds the release key")]
    DepositsOnly,
    /// The caller may not.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// Derivations are under way already.
    #[error("other unlocks are under way")]
    Busy,
    /// The store could not.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// What a client needs to seal a deposit.
#[derive(Clone, Debug)]
pub struct DepositInfo {
    /// The store's id.
    pub store: StoreId,
    /// The caller's organization.
    pub org: OrgId,
    /// The caller: the owner of its private secrets.
    pub member: MemberId,
    /// Generation of the key.
    pub generation: u32,
    /// HPKE KEM identifier.
    pub suite: u16,
    /// The X25519 public key.
    pub public_key: [u8; 32],
    /// What clients pin.
    pub fingerprint: String,
    /// The organization's ceiling for a variable's value, bytes.
    pub variable_ceiling: u32,
    /// Whether the organization keeps redacted forms.
    pub hints: bool,
}

/// State of the store.
#[derive(Clone, Debug)]
pub struct Status {
    /// The store's id.
    pub store: StoreId,
    /// Whether boots are refused for want of the release key.
    pub locked: bool,
    /// The current generation.
    pub generation: u32,
    /// Fingerprint of the deposit key.
    pub fingerprint: String,
    /// The byte store's kind.
    pub backend: &'static str,
    /// The byte store's revision.
    pub revision: u64,
    /// Whether the byte store answers and can be written.
    pub healthy: bool,
    /// When this process opened it.
    pub started_at: Timestamp,
    /// Re-encryption of everything.
    pub reencrypt: Progress,
    /// Operations that wait in the journal, of [`Status::queue_limit`].
    pub queue: usize,
    /// How many may wait.
    pub queue_limit: usize,
    /// Audit entries that this process has stored.
    pub audit_entries: u64,
}

/// The slots, and the ring that they open.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeysRecord {
    pub(crate) slots: KeySlots,
    pub(crate) about: Vec<SlotNote>,
    pub(crate) ring: SealedRing,
}

/// What is known of a slot beside what opens it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SlotNote {
    id: SlotId,
    label: Option<Label>,
    created_at: Timestamp,
}

impl Record for KeysRecord {}

impl Store {
    /// Whether no release key is in memory.
    pub fn is_locked(&self) -> bool {
        self.release().is_none()
    }

    /// Whether the byte store answers and takes commits, as far as it knows; for readiness.
    pub async fn healthy(&self) -> bool {
        let health = self.records().kv.health().await;
        health.trouble.is_none() && health.revision.is_some()
    }

    /// Loads the release key (the operator). Derivations cost memory and time, so few run at once.
    pub async fn unlock(&self, caller: &Caller, secret: UnlockSecret) -> Result<Unlocked, UnlockError> {
        let told = AuditAction::StoreUnlock;
        self.permit(caller, Action::Unlock, told, Some(target::store())).await.map_err(unlock_error)?;
        if self.inner.deposits_only {
            return Err(UnlockError::DepositsOnly);
        }
        let _waiting = self.inner.unlocks.try_acquire().map_err(|_| UnlockError::Busy)?;
        let secret = Arc::new(UnlockKind::read(secret)?);
        let event = caller.event(told).about(target::store());
        loop {
            let keys = self.keys_record().await?;
            let (slots, ring) = (keys.slots, keys.ring);
            let (store, sealed, own_secret) = (self.id(), ring.clone(), Arc::clone(&secret));
            let derive = move || slots.unlock(store.as_bytes(), &sealed, own_secret.as_secret());
            let unlocked = tokio::task::spawn_blocking(derive).await.map_err(|_| Failure::Internal)?;
            let unlocked = match unlocked {
                Ok(unlocked) => unlocked,
                Err(error) => {
                    let error = UnlockError::from(error);
                    self.record_denial(event.denied(error.code())).await;
                    return Err(error);
                }
            };
            let slot = SlotId::from_bytes(unlocked.slot);
            let generation = unlocked.ring.deposit_key().generation();
            let event = event.clone().about(target::keyslot(slot));
            let event = event.detail(DetailKey::Generation, AuditText::number(generation.into()));
            let expected = ring.clone();
            let recorded = self.journal().run(vec![keyspace::keys().to_vec()], move |tx| {
                // The keys must still be those that were opened.
                let same = tx.get(&keyspace::keys())?.is_some_and(|keys| keys.ring == expected);
                if same {
                    tx.audit(event.clone());
                }
                Ok::<_, Stop<Failure>>(same)
            });
            if recorded.await? {
                self.set_release(Some(Release::new(
                    unlocked.ring,
                    ring,
                    Some(unlocked.opener),
                    &mut self.records().rng(),
                )));
                self.inner.chores.notify_one();
                return Ok(Unlocked { slot, generation });
            }
        }
    }

    /// Drops the release key of this process (the operator). Boots that were already being answered finish. The key is
    /// dropped even when the audit entry cannot be stored, which is then the error.
    pub async fn lock(&self, caller: &Caller) -> Result<(), Error> {
        let told = AuditAction::StoreLock;
        self.permit(caller, Action::Lock, told, Some(target::store())).await?;
        self.set_release(None);
        self.journal().record(vec![caller.event(told).about(target::store())]).await?;
        Ok(())
    }

    /// What a member needs to seal a deposit.
    pub async fn deposit_info(&self, caller: &Caller) -> Result<DepositInfo, Error> {
        let told = AuditAction::SecretRead;
        let (org, member) = self.insider(caller, told).await?;
        self.permit(caller, Action::ReadDepositKey, told, Some(target::store())).await?;
        let key = self.deposit_key().await?;
        let policy = caller.policy();
        Ok(DepositInfo {
            store: self.id(),
            org,
            member,
            generation: key.generation(),
            suite: hpke::X25519,
            public_key: *key.public(),
            fingerprint: key.fingerprint(),
            variable_ceiling: policy.variable_ceiling,
            hints: policy.hints,
        })
    }

    /// State of the store, for the operator and members.
    pub async fn status(&self, caller: &Caller) -> Result<Status, Error> {
        self.permit(caller, Action::ReadStoreStatus, AuditAction::StoreRead, Some(target::store())).await?;
        self.read_status().await
    }

    /// The same state as figures, for the operator.
    pub async fn metrics(&self, caller: &Caller) -> Result<Status, Error> {
        self.permit(caller, Action::ReadMetrics, AuditAction::StoreRead, Some(target::store())).await?;
        self.read_status().await
    }

    /// Checks that the caller may ask who it is: the operator and members may.
    pub async fn who_am_i(&self, caller: &Caller) -> Result<(), Error> {
        self.permit(caller, Action::WhoAmI, AuditAction::StoreRead, Some(target::store())).await
    }

    async fn read_status(&self) -> Result<Status, Error> {
        let health = self.records().kv.health().await;
        let key = self.deposit_key().await?;
        Ok(Status {
            store: self.id(),
            locked: self.is_locked(),
            generation: key.generation(),
            fingerprint: key.fingerprint(),
            backend: self.records().kv.name(),
            revision: self.revision(health.revision.unwrap_or(0)),
            healthy: health.trouble.is_none() && health.revision.is_some(),
            started_at: self.inner.started_at,
            reencrypt: self.progress(key.generation()).await?,
            queue: self.journal().waiting(),
            queue_limit: QUEUE,
            audit_entries: self.journal().entries(),
        })
    }

    pub(crate) async fn keys_record(&self) -> Result<KeysRecord, Failure> {
        self.records().get(&keyspace::keys()).await?.ok_or(Failure::Corrupt)
    }

    pub(crate) async fn deposit_key(&self) -> Result<DepositKey, Failure> {
        Ok(self.keys_record().await?.ring.deposit_key())
    }
}

/// An [`UnlockSecret`] as the slots want it.
enum UnlockKind {
    Passphrase(Passphrase),
    KeyFile(UnlockKey),
}

impl UnlockKind {
    fn read(secret: UnlockSecret) -> Result<Self, UnlockError> {
        match secret {
            UnlockSecret::Passphrase(text) => {
                let bytes = SecretBytes::new(text.as_bytes().to_vec());
                Passphrase::new(bytes).map(Self::Passphrase).map_err(|_| UnlockError::WrongPassphrase)
            }
            UnlockSecret::KeyFile(text) => {
                UnlockKey::from_text(&text).map(Self::KeyFile).map_err(|_| UnlockError::NotAKeyFile)
            }
        }
    }

    fn as_secret(&self) -> SlotSecret<'_> {
        match self {
            Self::Passphrase(passphrase) => SlotSecret::Passphrase(passphrase),
            Self::KeyFile(key) => SlotSecret::KeyFile(key),
        }
    }
}

fn unlock_error(error: Error) -> UnlockError {
    match error {
        Error::Forbidden(denied) => denied.into(),
        Error::Failure(failure) => failure.into(),
        _ => Failure::Internal.into(),
    }
}

impl From<slot::KeySlotError> for UnlockError {
    fn from(error: slot::KeySlotError) -> Self {
        match error {
            slot::KeySlotError::Refused => Self::WrongPassphrase,
            slot::KeySlotError::Derive(_) => Self::Failure(Failure::Overloaded),
            slot::KeySlotError::UnknownSuite(_)
            | slot::KeySlotError::Damaged
            | slot::KeySlotError::Ring(_) => Self::Failure(Failure::Corrupt),
        }
    }
}

impl Coded for UnlockError {
    fn code(&self) -> Code {
        match self {
            Self::WrongPassphrase => Code::WrongPassphrase,
            Self::NotAKeyFile => Code::InvalidRequest,
            Self::Forbidden(_) | Self::DepositsOnly => Code::Forbidden,
            Self::Busy => Code::Overloaded,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::WrongPassphrase | Self::Busy => None,
            Self::NotAKeyFile => Some("give the whole text of a key file, dropsafe-key-1…".to_owned()),
            Self::DepositsOnly => Some("unlock the servers whose role is `all` or `release`".to_owned()),
            Self::Forbidden(denied) => denied.hint().map(str::to_owned),
            Self::Failure(failure) => failure.hint(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy => Some(Duration::from_secs(2)),
            Self::Failure(failure) => failure.retry_after(),
            Self::WrongPassphrase | Self::NotAKeyFile | Self::DepositsOnly | Self::Forbidden(_) => None,
        }
    }
}
