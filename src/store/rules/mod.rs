//! The rules, one file or folder per resource: decide, plan, change in one transaction, record the audit event.

pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod background;
pub(crate) mod backup;
pub(crate) mod boots;
pub(crate) mod caller;
pub(crate) mod catalog;
pub(crate) mod denials;
pub(crate) mod error;
pub(crate) mod idempotency;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod members;
pub(crate) mod migrate;
pub(crate) mod orgs;
pub(crate) mod page;
pub(crate) mod reencrypt;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod store;
pub(crate) mod tickets;
pub(crate) mod tokens;
