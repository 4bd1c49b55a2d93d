//! The vocabulary: names, values, scopes, roles, resolution, receipts, credentials, audit events.
//! Pure: no clock, no randomness, no I/O. Everything here is parsed once, in a constructor that may refuse, and
//! no error repeats what it refused, because a value pasted in the wrong place looks like a bad name.

mod text;

pub mod attributes;
pub mod audit;
pub mod boot;
#[cfg(feature = "server")]
pub mod catalog;
pub mod cidr;
pub mod code;
pub mod credential;
pub mod digest;
pub mod hint;
pub mod id;
pub mod import;
pub mod name;
pub mod pin;
pub mod receipt;
pub mod refusal;
pub mod resolve;
pub mod role;
pub mod secret;
pub mod ticket;
pub mod time;
pub mod value;
