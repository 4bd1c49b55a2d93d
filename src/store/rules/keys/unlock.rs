//! Locking and unlocking: the release key is loaded by a passphrase or a key file, and dropped again.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::SecretBytes;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::passphrase::Passphrase;
use crate::crypto::slot::{self, SlotSecret};
use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::code::Code;
use crate::domain::id::SlotId;
use crate::domain::role::{Action, Denied};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::keys::verified_keys::VerifiedKeys;
use crate::store::rules::store::Store;
use crate::store::tables::store;

/// What opens a key slot.
pub enum UnlockSecret {
    /// A passphrase. Tried on passphrase slots.
    Passphrase(Zeroizing<String>),
    /// The text of a key file. Tried on key file and credential slots.
    KeyFile(Zeroizing<String>),
}

/// The answer to an unlock.
#[derive(Clone, Debug)]
pub struct Unlocked {
    /// The slot that opened.
    pub slot: SlotId,
    /// The current generation.
    pub generation: u32,
}

/// Why the store stays locked.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// No slot opens with this secret.
    #[error("no key slot opens with this")]
    WrongPassphrase,
    /// The text is not that of a key file.
    #[error("this is not the text of a key file")]
    NotAKeyFile,
    /// This process never holds the release key.
    #[error("this server takes deposits only, and never holds the release key")]
    DepositsOnly,
    /// The caller has no permission.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// Too many unlocks are under way.
    #[error("other unlocks are under way")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// Loads the release key (the operator). Few unlocks run at once, because derivations cost memory and time.
    pub async fn unlock(&self, caller: &Caller, secret: UnlockSecret) -> Result<Unlocked, UnlockError> {
        let audit_action = AuditAction::StoreUnlock;
        self.permit(caller, Action::Unlock, audit_action, Some(target::store()))
            .await
            .map_err(unlock_error)?;
        // After the permission, so that a stranger does not learn the role of this server.
        if self.inner.deposits_only {
            return Err(UnlockError::DepositsOnly);
        }
        // Refused at once and not queued: each derivation takes 64 MiB or more, which would add up.
        let _waiting = self.inner.unlocks.try_acquire().map_err(|_| UnlockError::Busy)?;
        let secret = Arc::new(ParsedSecret::parse(secret)?);
        let event = caller.event(audit_action).about(target::store());
        loop {
            // Before the derivation: a slot that was removed and put back opens with its old secret.
            let VerifiedKeys { record: keys, row } = self.verified_keys(&event).await?;
            let (slots, ring) = (keys.slots.clone(), keys.ring.clone());
            let (store, sealed, own_secret) = (self.id(), ring.clone(), Arc::clone(&secret));
            let derive = move || slots.unlock(store.as_bytes(), &sealed, own_secret.as_secret());
            // A derivation takes about a second of a processor, which would stop the runtime's thread.
            let unlocked = tokio::task::spawn_blocking(derive).await.map_err(|_| Failure::Internal)?;
            let unlocked = match unlocked {
                Ok(unlocked) => unlocked,
                Err(error) => {
                    let error = UnlockError::from(error);
                    // A wrong passphrase is on record before the caller can try the next one.
                    self.record_denial(event.denied(error.code())).await;
                    return Err(error);
                }
            };
            // The ring is sealed, and the chain is not: a false signing key would be pinned by clients.
            if !keys.describes(&unlocked.ring) {
                return Err(Failure::Corrupt.into());
            }
            let slot = SlotId::from_bytes(unlocked.slot);
            let generation = unlocked.ring.deposit_key().generation();
            // The slot tells afterwards whose passphrase or key file it was.
            let event = event.clone().about(target::keyslot(slot));
            let event = event.detail(DetailKey::Generation, AuditText::number(generation.into()));
            let recorded = self.journal().run(vec![store::keys().to_vec()], move |tx| {
                // If the keys changed during the derivation, the ring in hand is outdated: the loop derives again.
                let same = tx.get(&store::keys())?.is_some() && tx.is_row(store::keys().bytes(), &row)?;
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
                // Deposits that arrived while the store was locked are not settled yet.
                self.inner.background.notify_one();
                return Ok(Unlocked { slot, generation });
            }
        }
    }

    /// Drops the release key of this process (the operator). Boots that are under way finish. If the audit entry cannot be
    /// stored, this fails, and the key is dropped nevertheless.
    pub async fn lock(&self, caller: &Caller) -> Result<(), Error> {
        let audit_action = AuditAction::StoreLock;
        self.permit(caller, Action::Lock, audit_action, Some(target::store())).await?;
        // Before the entry: a full disk must not keep the key in memory.
        self.set_release(None);
        self.record_all_limited_events().await;
        self.journal().record(vec![caller.event(audit_action).about(target::store())]).await?;
        Ok(())
    }
}

/// An [`UnlockSecret`] that was parsed.
pub(crate) enum ParsedSecret {
    Passphrase(Passphrase),
    KeyFile(UnlockKey),
}

impl ParsedSecret {
    pub(crate) fn parse(secret: UnlockSecret) -> Result<Self, UnlockError> {
        match secret {
            UnlockSecret::Passphrase(text) => {
                let bytes = SecretBytes::new(text.as_bytes().to_vec());
                // An empty passphrase opens nothing, so that the same error is true for it.
                Passphrase::new(bytes).map(Self::Passphrase).map_err(|_| UnlockError::WrongPassphrase)
            }
            UnlockSecret::KeyFile(text) => {
                UnlockKey::from_text(&text).map(Self::KeyFile).map_err(|_| UnlockError::NotAKeyFile)
            }
        }
    }

    pub(crate) fn as_secret(&self) -> SlotSecret<'_> {
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
