//! The audit chain of this process, and the tables of the audit log.

pub(crate) mod chain;
pub(crate) mod tables;
pub(crate) mod verify;
