//! dropsafe: a write-only secret store, and the boot agent that puts its secrets into a workload's environment.
//!
//! A module may import only the modules that its row names (`tests/policy/layering.rs` compares the sources with this table).
//!
//! | module | holds | may import |
//! |---|---|---|
//! | [`domain`] | names, values, scopes, roles and decisions, resolution with provenance, receipts, audit events: pure, no clock, no I/O | – |
//! | [`settings`] | a named setting from flag, environment or file; parsers that collect every fault | – |
//! | `process` | exit codes and readiness, which both programs report to the process that started them | – |
//! | [`wire`] | bodies and error codes of the API | domain |
//! | [`crypto`] | record, deposit and release keys, sealing, key slots, signed checkpoints; randomness is an argument | domain |
//! | `kv` | ordered bytes to bytes, atomic and durable; never sees a name or a value | – |
//! | `store` | the rules over `kv`: secrets, members, tickets, boots, audit, keys | domain, crypto, kv |
//! | [`client`] | talking to a store; sealing before sending | domain, process, wire, crypto |
//! | `oidc` | OpenID Connect: issuers' keys, and checks of their tokens | domain, client |
//! | `signin` | sign-in of people at OIDC providers: the server as their client | domain, client |
//! | `api` | HTTP in front of `store`, one file per resource; `console/`: the same in a browser | domain, wire, crypto, store, oidc, signin |
//! | `agent` | the boot agent: configuration → ticket or token → fetch → environment plan → files and strings → execve(2) | domain, settings, process, wire, crypto, client |
//! | `server` | assembly: configuration → kv → store → listeners → drain | domain, settings, process, crypto, kv, store, oidc, signin, api |
//! | `cli` | one file per noun; the only module that prints | domain, settings, process, wire, crypto, client, agent, server |
//!
//! Absences that hold everywhere: nothing returns an encrypted secret's value to a person; `kv` never sees a plain
//! name or value; the agent's own build holds no server code; no parser's message leaves the place that called it.

#![deny(unsafe_code, unreachable_pub)]
#![cfg_attr(
    not(all(feature = "agent", feature = "server")),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "the build of both programs is where unused code is found"
    )
)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod client;
pub mod crypto;
pub mod domain;
#[cfg(any(feature = "agent", feature = "server"))]
mod process;
pub mod settings;
pub mod wire;

#[cfg(feature = "agent")]
pub mod agent;

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod kv;
#[cfg(feature = "server")]
pub mod oidc;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod signin;
#[cfg(feature = "server")]
pub mod store;

#[cfg(all(feature = "server", feature = "agent"))]
pub mod cli;
