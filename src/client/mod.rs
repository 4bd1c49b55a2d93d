//! Talking to a store: a boot with a ticket for the agent, every operation of the API for the command line.
//!
//! It sends a credential only to the server that was named, over TLS 1.3 to a key or certificate it has checked, or within
//! this machine; it follows no redirect, logs nothing, and has no effect but sockets and reading the file of certificate
//! authorities.
//!
//! | file | holds |
//! |---|---|
//! | `endpoint` | an address, parsed |
//! | `resolve`, `connect`, `stream` | from an address to bytes |
//! | `tls`, `x25519_mlkem768`, `roots` | which server is believed, and the key exchange |
//! | `request`, `transport`, `response` | one HTTP exchange, and what its answer means |
//! | `error`, `exit` | outages and refusals, and the exit code of each |
//! | `timer`, `retry` | waiting, and trying again until a deadline |
//! | `boot`, `probe` | the agent's calls |
//! | `api_client`, `list` | a caller with a token: its connection, and lists by pages |
//! | `secrets`, `admin` | its calls |
//! | `deposit` | sealing before sending |
#![cfg(any(feature = "agent", feature = "server"))]

#[cfg(feature = "server")]
mod admin;
#[cfg(feature = "server")]
mod api_client;
mod boot;
#[cfg(feature = "server")]
mod catalog;
mod connect;
#[cfg(feature = "server")]
mod deposit;
mod endpoint;
mod error;
mod exit;
#[cfg(feature = "server")]
mod list;
mod probe;
mod request;
mod resolve;
mod response;
mod retry;
mod roots;
#[cfg(feature = "server")]
mod secrets;
mod stream;
#[cfg(all(test, feature = "server"))]
mod tests;
mod timer;
mod tls;
mod transport;
#[cfg(all(feature = "agent", any(test, not(feature = "server"))))]
mod x25519_mlkem768;

#[cfg(feature = "server")]
pub(crate) use api_client::Client;
pub use boot::{BootCallError, BootOptions, BootSession, boot, explain};
#[cfg(feature = "server")]
pub(crate) use deposit::{DepositError, Depositor};
pub(crate) use endpoint::Endpoint;
pub(crate) use error::CallError;
pub use error::{CallOutage, CallRefusal};
#[cfg(feature = "server")]
pub(crate) use list::{AuditListFilter, BootListFilter, Pages, SecretListFilter};
pub(crate) use probe::{ProbeResult, ProbeSuccess, probe};
pub use timer::{SystemTimer, Timer};
