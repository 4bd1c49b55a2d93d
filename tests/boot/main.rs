//! The places where the agent really stands: units, init systems, containers, machines.
//!
//! - [`units`]: systemd accepts and confines every unit, and the units hold workloads back until their secrets are there.
//! - [`files`]: scripts and data are accepted by the tools that read them.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod files;
mod place;
mod units;
