//! The audit trail: one keyed chain per process, in the same commits as what it tells of.
//!
//! Entries are kept newest first over all chains, so that listing is one scan. Nothing here can hold a value.

mod event;
mod list;
mod verify;

pub(crate) use event::{EventBuilder, target, unset};
pub use list::{AuditFilter, AuditItem};
