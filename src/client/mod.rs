//! The client of a store: a boot with a ticket or a token for the agent, and every operation of the API for the command line.
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
//! | `token_service` | tokens for a machine from its cloud or from GitHub |
//! | `api_client`, `list` | calls with a token over one connection, and lists page by page |
//! | `secrets`, `catalog`, `admin`, `launchers`, `sign_in` | the API's operations |
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
mod identities;
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
#[cfg(feature = "server")]
mod sign_in;
mod stream;
#[cfg(all(test, feature = "server"))]
mod tests;
mod timer;
mod tls;
#[cfg(feature = "agent")]
mod token_service;
mod transport;
#[cfg(feature = "server")]
mod unlock;
#[cfg(all(feature = "agent", any(test, not(feature = "server"))))]
mod x25519_mlkem768;

#[cfg(feature = "server")]
pub(crate) use api_client::Client;
#[cfg(feature = "agent")]
pub use boot::{
    BootCallError, BootOptions, BootProof, BootSession, IssuerToken, TokenFuture, TokenProof, TokenProvider,
    boot,
};
#[cfg(feature = "agent")]
pub(crate) use boot::{BootProgress, EndTarget, MAX_TOKEN, end_boot, explain};
#[cfg(feature = "server")]
pub(crate) use connect::ConnectTarget;
#[cfg(feature = "server")]
pub(crate) use connect::connect_first;
#[cfg(feature = "server")]
pub(crate) use deposit::{
    DepositError, Depositor, ImportEntry, ImportPlan, PlannedEntry, ReplaceTarget, VersionTagger,
};
#[cfg(feature = "server")]
pub(crate) use endpoint::Host;
pub(crate) use endpoint::{Endpoint, EndpointKind};
pub use error::{CallError, CallOutage, CallRefusal, TokenFault};
pub(crate) use error::{MORE_DESCRIPTORS, ProgramEnd};
#[cfg(feature = "server")]
pub(crate) use list::{AuditListFilter, BootListFilter, HolderQuery, Pages, SecretListFilter};
#[cfg(feature = "agent")]
pub(crate) use probe::{ProbeResult, ProbeSuccess, probe};
#[cfg(feature = "server")]
pub(crate) use request::HttpRequest;
#[cfg(feature = "server")]
pub(crate) use resolve::resolve;
#[cfg(feature = "server")]
pub(crate) use roots::{Roots, RootsError};
pub use timer::{SystemTimer, Timer};
#[cfg(feature = "agent")]
pub(crate) use token_service::TokenService;
#[cfg(feature = "server")]
pub(crate) use transport::Connection;
