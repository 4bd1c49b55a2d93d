//! The audit chain of this process, and the tables of the audit log.

pub(crate) mod baseline;
pub(crate) mod chain;
pub(crate) mod chain_walk;
pub(crate) mod check;
pub(crate) mod pruned;
pub(crate) mod refused;
pub(crate) mod row_sums;
pub(crate) mod rows;
pub(crate) mod seen_heads;
pub(crate) mod stored_event;
pub(crate) mod tables;
pub(crate) mod verified;
pub(crate) mod verify;
pub(crate) mod verify_tables;
