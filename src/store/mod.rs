//! The rules over the byte store: organizations, members, secrets, tickets, boots, the audit trail and the keys.
//!
//! One [`Store`] per process, cheap to clone. Every operation takes a [`Caller`] (or makes one, [`Store::authenticate`]),
//! decides, does its work and records itself in one durable commit: when the audit entry cannot be stored the operation
//! fails. Never lets an encrypted value out except through [`Store::boot`], and never puts a value into an error.

mod audit;
mod auth;
mod backup;
mod boots;
mod clock;
mod error;
mod keys;
mod members;
mod orgs;
mod page;
mod reencrypt;
mod secrets;
mod tickets;
mod tokens;

pub use audit::{AuditFilter, AuditItem, ChainReport, ChainState, Verification};
pub use auth::{AuthError, Caller};
pub use backup::{Backup, BackupError, RestoreError, Restored, restore};
pub use boots::{
    Boot, BootAsk, BootError, BootFilter, Explained, Held, Holder, Released, ReleasedValue, Report,
};
pub use clock::{Clock, Entropy, KernelEntropy, SystemClock};
pub use error::{Coded, Error, Failure};
pub use keys::{DepositInfo, Keyslot, NewKeyslot, Status, UnlockError, UnlockSecret, Unlocked};
pub use members::{Member, NewMember};
pub use orgs::{NewOrg, Org, OrgCreated, PolicyChange};
pub use page::{Cursor, Page, PageAsk};
pub use reencrypt::Progress;
pub use crate::crypto::value::{SealedValue, Wrapped};
pub use secrets::{
    Deleted, Deposit, NewSecret, Replacement, SealedDeposit, Secret, SecretChange, SecretFilter, Written,
};
pub use tickets::{NewTicket, Ticket, TicketIssued};
pub use tokens::{NewToken, Token, TokenIssued};

use std::sync::Arc;

use crate::crypto::record::RecordKey;
use crate::domain::credential::Credential;
use crate::domain::id::StoreId;
use crate::domain::name::{MemberName, OrgName};
use crate::kv::Kv;

/// The store of one process. Clones share everything.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    _todo: (),
}

/// What [`Store::init`] is told.
pub struct Init {
    /// The first key slots; at least one.
    pub slots: Vec<NewKeyslot>,
    /// Name of the first organization, usually `default`.
    pub org: OrgName,
    /// Name of its first admin, usually `admin`.
    pub admin: MemberName,
}

/// What [`Store::init`] made. The credentials exist nowhere else: the store keeps hashes.
pub struct Initialized {
    /// The store, unlocked.
    pub store: Store,
    /// The operator's token (`dso_…`).
    pub operator_token: Credential,
    /// The first admin's token (`dsm_…`).
    pub admin_token: Credential,
}

/// Why a store was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The byte store already holds one.
    #[error("the byte store already holds a store")]
    AlreadyInitialised,
    /// No key slot was given, or one could not be made.
    #[error("at least one key slot is needed")]
    NoKeyslot,
    /// A key slot could not be made.
    #[error("the key slot could not be made")]
    Keyslot,
    /// The byte store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The byte store is empty.
    #[error("the byte store holds no store yet")]
    NotInitialised,
    /// The record key is not the one that this store was made with.
    #[error("the record key is not this store's")]
    WrongRecordKey,
    /// Written by a newer version of this program.
    #[error("the store has format {found}, and this program knows up to {known}")]
    NewerFormat {
        /// The store's.
        found: u16,
        /// The newest that is known here.
        known: u16,
    },
    /// The byte store holds something else, or is damaged.
    #[error("the byte store holds something that is no store of this program")]
    Foreign,
    /// The byte store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// Makes a new store in an empty byte store, and opens it unlocked.
    pub async fn init(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        init: Init,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
    ) -> Result<Initialized, InitError> {
        let _ = (kv, record_key, init, clock, random);
        todo!()
    }

    /// Opens a store, locked. Costs the same whatever it holds.
    pub async fn open(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let _ = (kv, record_key, clock, random);
        todo!()
    }

    /// Its id: what values are bound to.
    pub fn id(&self) -> StoreId {
        todo!()
    }

    /// Finishes what was begun, ends this process's audit chain and closes the byte store. Later operations fail with
    /// `unavailable`.
    pub async fn close(&self) {
        todo!()
    }
}
