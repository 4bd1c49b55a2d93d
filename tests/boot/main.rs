//! The places where the agent really stands: the first process, units, init systems, beside a shell.
//!
//! - [`booted`]: a machine under systemd, with the packages installed and a store beside it.
//! - [`credentials`]: units with `LoadCredential=`.
//! - [`enter`]: sessions beside the workload.
//! - [`environment_file`]: what `boot` leaves for systemd and shells.
//! - [`files`]: scripts and data are accepted by the tools that read them.
//! - [`harness`]: a store that serves, as in the end-to-end tests.
//! - [`mask`]: values in the output.
//! - [`packages`]: the Debian packages, from their contents to their purge.
//! - [`rootfs`]: the Debian that machines here are made from.
//! - [`signals`]: every signal, exit status, mask, disposition and terminal through `exec --init`.
//! - [`supervise`]: orphans, stragglers, residue and size of the process that stays.
//! - [`terminal`]: job control.
//! - [`units`]: systemd accepts and confines every unit, and the units hold workloads back until their secrets are there.
//! - [`user`]: dropping privileges.
//! - [`vm`]: machines with a kernel of their own.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod booted;
mod credentials;
mod enter;
mod environment_file;
mod files;
#[allow(dead_code, reason = "these tests need less of it")]
#[path = "../e2e/harness.rs"]
mod harness;
mod mask;
mod packages;
mod place;
mod rootfs;
mod signals;
mod supervise;
mod terminal;
mod units;
mod user;
mod vm;
mod workload;

use place::skip;
