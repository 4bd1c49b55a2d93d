//! End-to-end tests with real processes, a real store on disk, and TLS on loopback.
//!
//! - [`lifecycle`]: from deposit to boot with a restart between the steps; deletion and replacement affect future boots
//!   only, and the store lists the holders.
//! - [`crash`]: 500 times `kill -9` during concurrent deposits and boots lose nothing that was acknowledged.
//! - [`locked`]: a locked store accepts deposits and refuses boots; its memory has no part of a sealed deposit.
//! - [`memory`]: after a lock, the server's memory has no passphrase and no value, whichever client sent it.
//! - [`residue`]: a canary value is in no file, log or message.
//! - [`rolled_back`]: a machine proves offline, with what it kept, that its store was rolled back.
//! - [`rotation`]: a ticket survives one rotation of the TLS key, and a rotation survives `kill -9`.
//! - [`platform`]: the example of a platform that starts machines for people.
//! - [`tickets`]: of 1,000 parallel boots with a single-use ticket, exactly one succeeds.
//! - [`bad_input`]: each kind of bad input has a clear message and changes nothing.
//! - [`disk`]: a full disk, a damaged database, a second server on the same data.
//! - [`tamper`]: rows that somebody changes beside a running server release no wrong value.
//! - [`agent`]: the agent against a real store: outage policies, references, layers, exit codes.
//! - [`golden`]: stores and backups of earlier versions still work.
//! - [`sealed`]: a proxy that terminates TLS ([`tls_proxy`]) learns and changes nothing.
//! - [`tokens`]: machines without a ticket boot with tokens of an issuer.
//! - [`token_examples`]: the examples of such machines.
//! - [`schema`]: a property-based client finds no deviation from the OpenAPI document.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod agent;
mod bad_input;
mod crash;
mod disk;
mod golden;
mod harness;
mod lifecycle;
mod locked;
mod memory;
mod platform;
mod residue;
mod rolled_back;
mod rotation;
mod schema;
mod sealed;
mod tamper;
mod tickets;
mod tls_proxy;
mod token_examples;
mod tokens;
