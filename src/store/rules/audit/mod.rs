//! The audit trail: one keyed chain per process, in the same commits as what it tells of.
//!
//! Entries are kept newest first over all chains, so that listing is one scan. Nothing here can hold a value.

mod list;
mod tell;
mod verify;

pub use list::{AuditFilter, AuditItem};
pub(crate) use tell::{Tell, target, unset};
#[cfg(test)]
#[cfg(test)]
pub(crate) use verify::verify as verify_records;
pub use verify::{ChainReport, ChainState, Verification};
