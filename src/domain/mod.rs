//! The vocabulary: names, values, scopes, roles, resolution, receipts, credentials, audit events.
//! Pure: no clock, no randomness, no I/O. Everything here is parsed once, in a constructor that may refuse, and
//! no error repeats what it refused, because a value pasted in the wrong place looks like a bad name.

mod text;

pub mod attributes;
#[cfg(feature = "server")]
pub(crate) mod audit;
pub(crate) mod boot;
pub mod card;
#[cfg(feature = "server")]
pub(crate) mod catalog;
#[cfg(feature = "server")]
pub(crate) mod cidr;
pub(crate) mod code;
pub mod credential;
pub mod description;
pub mod digest;
#[cfg(feature = "server")]
pub(crate) mod epoch;
pub(crate) mod hint;
pub mod id;
pub mod import;
pub mod location;
pub mod name;
pub mod pin;
pub mod receipt;
pub(crate) mod refusal;
pub mod resolve;
pub mod role;
pub mod secret;
#[cfg(feature = "server")]
pub(crate) mod source;
pub mod ticket;
pub mod time;
pub mod value;
