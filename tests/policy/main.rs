//! Policy as tests: what the sources, the dependency trees and the shipped agent must be.
//!
//! - [`layering`]: every module imports only what the table in `src/lib.rs` allows, and every file says what it does.
//! - [`imports`]: the layers of the store, no large cycle of imports, and what may reach the disk.
//! - [`agent`]: the agent built alone holds no server crate, is static, stripped and small.
//! - [`manifest`]: each dependency says what it is for.
//! - [`actions`]: every permission is checked somewhere, and every audit action is written.
//! - [`metrics`]: files, functions, names and comments keep their limits; `make metrics` prints the table.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod actions;
mod agent;
mod imports;
mod layering;
mod manifest;
mod metrics;
