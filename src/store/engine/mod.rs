//! The engine: typed keys, sealed records and their formats, transactions, the journal and the audit chain.
//!
//! It knows no table and no rule: neither a secret nor a member nor a boot.

pub(crate) mod audit;
pub(crate) mod clock;
pub(crate) mod failure;
pub(crate) mod format;
pub(crate) mod header;
pub(crate) mod journal;
pub(crate) mod keys;
pub(crate) mod records;
pub(crate) mod row_digest;
pub(crate) mod table;
