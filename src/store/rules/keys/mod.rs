//! The keys of the store: unlocking, key slots, and what depositors need to know.
//!
//! The release key is in memory between an unlock and a lock, and nowhere else in the clear. A change of the keys takes
//! effect in memory only after it is stored.

mod release;
pub(crate) mod release_key;
mod slots;
mod status;
mod unlock;

pub(crate) use release::{OpenValueError, Resealed};
pub(crate) use slots::first_keys;
pub use status::{DepositInfo, Status};
pub(crate) use unlock::ParsedSecret;
pub use unlock::{UnlockError, UnlockSecret, Unlocked};

use crate::crypto::deposit::DepositKey;
use crate::crypto::passphrase::Argon2Params;
use crate::crypto::slot::SlotKind;
use crate::domain::id::SlotId;
use crate::domain::name::Label;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::rules::store::Store;
use crate::store::tables::store;
use crate::store::tables::store::KeysRecord;

/// A key slot to create.
pub struct NewKeyslot {
    /// Whether a key file is listed as a systemd credential.
    pub credential: bool,
    /// The secret that opens it.
    pub secret: UnlockSecret,
    /// A note for people.
    pub label: Option<Label>,
    /// The cost of a passphrase's derivation. Absent: the default. Less than RFC 9106's second recommended set is refused
    /// (except in tests).
    pub argon2: Option<Argon2Params>,
}

/// A key slot without its secret.
#[derive(Clone, Debug)]
pub struct Keyslot {
    /// Its id.
    pub id: SlotId,
    /// The kind of its secret.
    pub kind: SlotKind,
    /// A note for people.
    pub label: Option<Label>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Store {
    /// Whether no release key is in memory.
    pub fn is_locked(&self) -> bool {
        self.release().is_none()
    }

    pub(crate) async fn keys_record(&self) -> Result<KeysRecord, Failure> {
        // Never cached: other processes change slots and generations.
        self.records().get(&store::keys()).await?.ok_or(Failure::Corrupt)
    }

    pub(crate) async fn deposit_key(&self) -> Result<DepositKey, Failure> {
        Ok(self.keys_record().await?.ring.deposit_key())
    }
}
