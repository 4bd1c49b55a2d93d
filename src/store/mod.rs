//! The rules over the byte store: organizations, members, secrets, tickets, boots, the audit trail and the keys.
//!
//! One [`Store`] per process, cheap to clone. Every operation takes a [`Caller`] (or makes one, [`Store::authenticate`]),
//! decides, does its work and records itself in one durable commit: when the audit entry cannot be stored the operation
//! fails. Never lets an encrypted value out except through [`Store::boot`], and never puts a value into an error.

mod engine;
mod rules;
mod tables;

#[cfg(test)]
mod tests;

pub use self::engine::audit::verify::{ChainReport, ChainState, Verification};
pub use self::engine::clock::{Clock, Entropy, KernelEntropy, SystemClock};
pub use self::engine::failure::{Coded, Failure};
pub use self::rules::audit::{AuditFilter, AuditItem};
pub use self::rules::auth::AuthError;
pub use self::rules::backup::{Backup, BackupError, RestoreError, Restored, restore};
pub use self::rules::boots::{
    BootAsk, BootDetails, BootError, BootFilter, Explained, Held, Holder, Released, ReleasedValue, Report,
};
pub use self::rules::caller::Caller;
pub use self::rules::catalog::{
    CategoryState, Need, NewCategory, NewPlugin, PluginState, SetVariables, Statistics, Variable,
    VariableAssignment,
};
pub use self::rules::error::Error;
pub use self::rules::init::{Init, InitError, Initialized, OpenError};
pub use self::rules::keys::{DepositInfo, Keyslot, NewKeyslot, Status, UnlockError, UnlockSecret, Unlocked};
pub use self::rules::members::{Member, NewMember};
pub use self::rules::migrate::{MigrateError, Migrated, Moving, migrate};
pub use self::rules::orgs::{NewOrg, Org, OrgCreated, PolicyChange};
pub use self::rules::page::{Cursor, Page, PageAsk};
pub use self::rules::reencrypt::Progress;
pub use self::rules::secrets::{
    Deleted, Deposit, ImportAsk, ImportLine, ImportReport, NewSecret, Replacement, SealedDeposit, Secret,
    SecretFilter, Written,
};
pub use self::rules::sessions::{SESSION_IDLE, SESSION_LONGEST, SessionKey};
pub use self::rules::store::Store;
pub use self::rules::tickets::{NewTicket, Ticket, TicketIssued};
pub use self::rules::tokens::{NewToken, Token, TokenIssued};
pub use crate::crypto::value::{SealedValue, WrappedKey};
