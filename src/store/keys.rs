//! Locking and unlocking, key slots, and what depositors need to know of the keys.

use zeroize::Zeroizing;

use super::error::{Error, Failure};
use super::reencrypt::Progress;
use super::{Caller, Store};
use crate::crypto::passphrase::Params;
use crate::crypto::slot::SlotKind;
use crate::domain::name::Label;
use crate::domain::id::{MemberId, OrgId, SlotId, StoreId};
use crate::domain::time::Timestamp;

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
    pub argon2: Option<Params>,
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
    /// The caller may not.
    #[error("not allowed to this credential")]
    Forbidden {
        /// Why, in words of the rules.
        why: String,
    },
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
}

impl Store {
    /// Whether no release key is in memory.
    pub fn is_locked(&self) -> bool {
        todo!()
    }

    /// Whether the byte store answers; for readiness.
    pub async fn healthy(&self) -> bool {
        todo!()
    }

    /// Loads the release key (the operator). Derivations cost memory and time, so few run at once.
    pub async fn unlock(&self, caller: &Caller, secret: UnlockSecret) -> Result<Unlocked, UnlockError> {
        let _ = (caller, secret);
        todo!()
    }

    /// Drops the release key of this process (the operator). Boots that were already being answered finish.
    pub async fn lock(&self, caller: &Caller) -> Result<(), Error> {
        let _ = caller;
        todo!()
    }

    /// The key slots (the operator).
    pub async fn keyslots(&self, caller: &Caller) -> Result<Vec<Keyslot>, Error> {
        let _ = caller;
        todo!()
    }

    /// Adds a key slot (the operator), on an unlocked store.
    pub async fn add_keyslot(&self, caller: &Caller, slot: NewKeyslot) -> Result<Keyslot, Error> {
        let _ = (caller, slot);
        todo!()
    }

    /// Removes a key slot (the operator); never the last. Old copies of the byte store still open with it: re-encrypting
    /// everything afterwards is what makes it worthless.
    pub async fn remove_keyslot(&self, caller: &Caller, slot: SlotId) -> Result<Keyslot, Error> {
        let _ = (caller, slot);
        todo!()
    }

    /// What a member needs to seal a deposit.
    pub async fn deposit_info(&self, caller: &Caller) -> Result<DepositInfo, Error> {
        let _ = caller;
        todo!()
    }

    /// State of the store, for any caller.
    pub async fn status(&self, caller: &Caller) -> Result<Status, Error> {
        let _ = caller;
        todo!()
    }
}
