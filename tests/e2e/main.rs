//! The programs as they are used: real processes, a real store on disk, TLS on loopback.
//!
//! - [`lifecycle`]: deposit to boot with the store restarted between the steps; deletion and replacement affect future
//!   boots only, and the store names who still holds what.
//! - [`crash`]: 500 times `kill -9` under concurrent deposits and boots lose nothing that was acknowledged.
//! - [`locked`]: a locked store takes deposits and refuses boots; its memory holds no piece of a sealed deposit.
//! - [`residue`]: a canary value is found nowhere that it does not belong.
//! - [`tickets`]: of 1,000 parallel boots on a ticket for one use, one wins.
//! - [`bad_input`]: each kind of bad input has a clear message and changes nothing.
//! - [`disk`]: a full disk, a damaged database, a second server on the same data.
//! - [`agent`]: the agent against a real store: outage policies, references, layers, exit codes.
//! - [`schema`]: a property-based client finds no deviation from the OpenAPI document.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod agent;
mod bad_input;
mod crash;
mod disk;
mod harness;
mod lifecycle;
mod locked;
mod residue;
mod schema;
mod tickets;
