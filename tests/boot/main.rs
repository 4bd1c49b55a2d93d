//! The places where the agent really stands: the first process, units, init systems, beside a shell.
//!
//! - [`credentials`]: units with `LoadCredential=`.
//! - [`enter`]: sessions beside the workload.
//! - [`environment_file`]: what `boot` leaves for systemd and shells.
//! - [`files`]: scripts and data are accepted by the tools that read them.
//! - [`mask`]: values in the output.
//! - [`signals`]: every signal, exit status, mask, disposition and terminal through `exec --init`.
//! - [`supervise`]: orphans, stragglers, residue and size of the process that stays.
//! - [`terminal`]: job control.
//! - [`units`]: systemd accepts and confines every unit, and the units hold workloads back until their secrets are there.
//! - [`user`]: dropping privileges.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod credentials;
mod enter;
mod environment_file;
mod files;
mod mask;
mod place;
mod signals;
mod supervise;
mod terminal;
mod units;
mod user;
mod workload;

use place::skip;
