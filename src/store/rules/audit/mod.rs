//! The audit log: one keyed chain per process, in the same commits as the changes that it records.
//!
//! Entries are sorted newest first over all chains, so that listing is one scan. Nothing here can hold a value.

pub(crate) mod checkpoint;
mod event;
mod limited;
mod list;
mod prune;
mod released;
mod verify;
mod view;

pub(crate) use event::{EventBuilder, target, unset};
pub use list::{AuditFilter, AuditItem};
pub use released::ReleasedVersion;
