//! Bodies, paths and error codes of the HTTP API. Requests hold plain strings, which the API parses into domain
//! types and answers with every fault at once; only [`Value`] carries a secret, and nothing here prints one.

mod account;
mod audit;
mod boot;
mod catalog;
mod faces;
mod import;
mod keys;
mod number;
mod object;
mod org;
mod page;
pub mod paths;
mod problem;
mod secret;
mod status;
mod ticket;
mod value;

pub use account::{MemberChange, MemberView, NewMember, NewToken, TokenCreated, TokenView};
pub use audit::{AuditEntryView, AuditPage, AuditVerification, ChainView};
pub use boot::{BootReport, BootRequest, BootResponse, BootView, Explanation, HolderView, Released};
pub use catalog::{
    CategoryDeclaration, CategoryView, NeedView, PluginChange, PluginDeclaration, PluginView,
    PresetFieldView, PresetView, StatisticsView,
};
pub use faces::{
    Done, FaceAssignments, FaceSecret, FaceSecrets, NewVaultSecret, VaultDeleted, VaultEntry, VaultLog,
    VaultRotated, VaultSecret, VaultSecrets, VaultStatus,
};
pub use import::{ImportLineView, ImportRequest, ImportView};
pub use keys::{
    DepositInfo, KeyslotView, Lock, NewKeyslot, ReencryptProgress, Unlock, UnlockSecret, UnlockedView,
};
pub use object::Object;
pub use org::{NewOrg, OrgCreated, OrgPolicyChange, OrgView};
pub use page::Page;
pub use problem::{Code, Fault, Problem};
pub use secret::{Deleted, NewSecret, Replacement, Sealed, SecretChange, SecretView};
pub use status::{Health, Identity, StatusView};
pub use ticket::{NewTicket, TicketCreated, TicketView};
pub use value::{Value, ValueBase64};
