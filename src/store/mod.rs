//! The rules over the byte store: organizations, members, secrets, tickets, boots, the audit log and the keys.
//!
//! One [`Store`] per process, cheap to clone. Every operation takes a [`Caller`] (or makes one, [`Store::authenticate`]),
//! decides, does its work and records itself in one durable commit: if the audit entry cannot be stored, the operation
//! fails. Never lets an encrypted value out except through [`Store::boot`], and never puts a value into an error.

mod engine;
mod rules;
mod tables;

#[cfg(test)]
mod tests;

pub use self::engine::audit::chain_walk::{ChainReport, ChainState};
pub use self::engine::audit::row_sums::{RowFault, RowFaultKind, RowReport};
pub use self::engine::audit::verify::Verification;
pub use self::engine::clock::{Clock, Entropy, KernelEntropy, SystemClock};
pub use self::engine::failure::{Coded, Failure};
pub use self::rules::audit::{AuditFilter, AuditItem, ReleasedVersion};
pub use self::rules::auth::AuthError;
pub use self::rules::backup::{
    Backup, BackupError, EndedByRestore, RestoreError, Restored, end_restored, restore,
};
pub use self::rules::boots::end::Ending;
pub use self::rules::boots::holder_statistics::HolderStatistics;
pub use self::rules::boots::holders::{Holder, HolderCounts, Holders, HoldersAsk};
pub use self::rules::boots::named_secrets::NamedSecret;
pub use self::rules::boots::{
    BootAsk, BootDetails, BootError, BootFilter, Explained, Held, Released, ReleasedValue, Report,
};
pub use self::rules::caller::Caller;
pub use self::rules::catalog::{
    CategoryState, Need, NewCategory, NewPlugin, PluginState, SetVariables, Statistics, Variable,
    VariableAssignment,
};
pub use self::rules::enrolments::{ENROLMENT_TTL, Enrolment, EnrolmentError, EnrolmentIssued, Redemption};
pub use self::rules::error::Error;
pub(crate) use self::rules::identities::NewIdentity;
pub(crate) use self::rules::identity_view::{AcceptedTokens, ClaimComparison, MachineIdentity};
pub use self::rules::init::{Init, InitError, Initialized, OpenError};
pub(crate) use self::rules::issuers::Issuer;
pub use self::rules::keys::{DepositInfo, Keyslot, NewKeyslot, Status, UnlockError, UnlockSecret, Unlocked};
pub use self::rules::launchers::Launcher;
pub use self::rules::linked_accounts::LinkedAccount;
pub use self::rules::log_heads::LogHeadsError;
pub use self::rules::members::{Member, MemberCreated, NewMember};
pub use self::rules::migrate::{MigrateError, Migrated, Moving, migrate};
pub use self::rules::orgs::{
    BudgetsChange, NewOrg, Org, OrgCreated, PolicyChange, QuotasChange, RetentionChange,
};
pub use self::rules::page::{Cursor, Page, PageAsk};
pub use self::rules::reencrypt::Progress;
pub(crate) use self::rules::sealed_text::SealedTextKind;
pub use self::rules::secrets::import::{ImportAsk, ImportItem, ImportLineReport, ImportReport, ImportSource};
pub use self::rules::secrets::reseal::Reencrypted;
pub use self::rules::secrets::unusable::UnusableSecrets;
pub use self::rules::secrets::{
    Deleted, Deposit, NewSecret, Replacement, SealedDeposit, Secret, SecretFilter, Written,
};
pub use self::rules::sessions::{SESSION_IDLE, SESSION_LONGEST, SessionKey};
pub use self::rules::sign_in::{
    ProofFault, RoleChange, SignInError, SignInProof, SignInRefusal, SignInRequest, SignInToken, SignedIn,
};
pub use self::rules::state_check::StateCheck;
pub use self::rules::store::Store;
pub use self::rules::tickets::{NewTicket, Ticket, TicketIssued};
pub use self::rules::tokens::{NewToken, Token, TokenIssued};
pub use crate::crypto::value::{SealedValue, WrappedKey};
pub use crate::domain::epoch::RestoreEpoch;
