//! The audit chain of this process.

pub(crate) mod chain;
