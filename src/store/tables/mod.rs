//! The tables: one file per resource with each table's letter, key functions, stored structs by format, and conversions.
//!
//! Imports the engine and the domain. Never decides anything.

pub(crate) mod answers;
pub(crate) mod boots;
pub(crate) mod catalog;
mod convert;
pub(crate) mod members;
pub(crate) mod orgs;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod store;
pub(crate) mod tickets;
pub(crate) mod tokens;

#[cfg(test)]
mod tests;
