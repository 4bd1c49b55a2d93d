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
//! | `tls`, `hybrid`, `roots` | which server is believed, and the key exchange |
//! | `request`, `transport`, `answer` | one HTTP exchange, and what its answer means |
//! | `error`, `exit` | outages and refusals, and the exit code of each |
//! | `pace`, `retry` | waiting, and trying again until a deadline |
//! | `boot`, `probe` | the agent's calls |
//! | `session`, `list` | a caller with a token: its connection, and lists by pages |
//! | `secrets`, `admin` | its calls |
//! | `deposit` | sealing before sending |
#![cfg(any(feature = "agent", feature = "server"))]

#[cfg(feature = "server")]
mod admin;
mod answer;
mod boot;
#[cfg(feature = "server")]
mod catalog;
mod connect;
#[cfg(feature = "server")]
mod deposit;
mod endpoint;
mod error;
mod exit;
#[cfg(all(feature = "agent", any(test, not(feature = "server"))))]
mod hybrid;
#[cfg(feature = "server")]
mod list;
mod pace;
mod probe;
#[cfg(all(test, feature = "server"))]
mod rehearsal;
mod request;
mod resolve;
mod retry;
mod roots;
#[cfg(feature = "server")]
mod secrets;
#[cfg(feature = "server")]
mod session;
mod stream;
mod tls;
mod transport;

pub use boot::{BootError, BootOptions, Session, boot, explain};
#[cfg(feature = "server")]
pub use deposit::DepositError;
#[cfg(feature = "server")]
pub use deposit::Depositor;
pub use endpoint::{Endpoint, EndpointError};
pub use error::{AnswerFault, CallError, Distrust, Outage, Refused, Step, TlsFault};
#[cfg(feature = "server")]
pub use list::AuditFilter;
#[cfg(feature = "server")]
pub use list::BootFilter;
#[cfg(feature = "server")]
pub use list::Pages;
#[cfg(feature = "server")]
pub use list::SecretFilter;
pub use pace::{MachinePace, Pace};
pub use probe::{Probe, Reached, probe};
pub use roots::RootsError;
#[cfg(feature = "server")]
pub use session::Client;
