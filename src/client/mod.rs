//! The client of a store: a boot with a ticket for the agent, and every operation of the API for the command line.
//!
//! It sends a credential only to the configured server: over TLS 1.3, after it has checked the server's key or certificate,
//! or within this machine. A machine without a pin for the server sends none at all: it proves itself. It follows no redirect. Its
//! only effects are sockets, a resolver thread, and reading the file of certificate authorities.
//!
//! | file | holds |
//! |---|---|
//! | `endpoint` | the address, parsed |
//! | `resolve`, `connect`, `stream` | from an address to a byte stream |
//! | `tls`, `x25519_mlkem768`, `roots` | which server is trusted, and the key exchange |
//! | `request`, `transport`, `response` | one HTTP exchange, and what its status means |
//! | `error`, `exit` | outages and refusals, and the exit code of each |
//! | `timer`, `retry` | waiting, and retries until a deadline |
//! | `boot`, `probe` | the agent's calls, with a bearer credential or sealed |
//! | `api_client`, `list` | calls with a token over one connection, and lists page by page |
//! | `secrets`, `catalog`, `admin`, `launchers` | the API's operations |
//! | `deposit`, `unlock` | seal a value or a passphrase before it is sent |
#![cfg(any(feature = "agent", feature = "server"))]

#[cfg(feature = "server")]
mod admin;
#[cfg(feature = "server")]
mod api_client;
#[cfg(feature = "agent")]
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
mod launchers;
#[cfg(feature = "server")]
mod list;
#[cfg(feature = "agent")]
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
#[cfg(feature = "server")]
mod unlock;
#[cfg(all(feature = "agent", any(test, not(feature = "server"))))]
mod x25519_mlkem768;

#[cfg(feature = "server")]
pub(crate) use api_client::Client;
#[cfg(feature = "agent")]
pub use boot::{BootCallError, BootOptions, BootSession, boot};
#[cfg(feature = "agent")]
pub(crate) use boot::{BootProgress, EndTarget, end_boot, explain};
#[cfg(feature = "server")]
pub(crate) use deposit::{
    DepositError, Depositor, ImportEntry, ImportPlan, PlannedEntry, ReplaceTarget, VersionTagger,
};
pub(crate) use endpoint::{Endpoint, EndpointKind};
pub(crate) use error::{CallError, MORE_DESCRIPTORS};
pub use error::{CallOutage, CallRefusal};
#[cfg(feature = "server")]
pub(crate) use list::{AuditListFilter, BootListFilter, HolderQuery, Pages, SecretListFilter};
#[cfg(feature = "agent")]
pub(crate) use probe::{ProbeResult, ProbeSuccess, probe};
pub use timer::{SystemTimer, Timer};
