//! The places where the agent really stands: the first process, units, init systems, beside a shell.
//!
//! - [`booted`]: a machine under systemd, with the packages installed and a store beside it.
//! - [`containers`]: images built from our Containerfiles, under podman and runc.
//! - [`credentials`]: units with `LoadCredential=`.
//! - [`descriptors`]: what the agent was started with, and limits on it.
//! - [`ended`]: the store learns how a boot ended, and a store that is down holds nothing up.
//! - [`enter`]: sessions beside the workload.
//! - [`environment_file`]: what `boot` leaves for systemd and shells.
//! - [`files`]: scripts and data are accepted by the tools that read them.
//! - [`harness`]: a store that serves, as in the end-to-end tests.
//! - [`initramfs`]: initramfs-tools builds with our hook, and a machine boots through our script.
//! - [`inits`]: OpenRC, runit, s6 and sysvinit themselves run our scripts.
//! - [`jobs`]: job control without a terminal.
//! - [`mask`]: values in the output.
//! - [`microvm`]: a kernel starts the agent itself, under User Mode Linux and QEMU.
//! - [`packages`]: the Debian packages, from their contents to their purge.
//! - [`rootfs`]: the Debian that machines here are made from.
//! - [`residue`]: what stays of a value where it does not belong.
//! - [`signals`]: every signal, exit status, mask, disposition and terminal through `exec --init`.
//! - [`supervise`]: orphans, stragglers, residue and size of the process that stays.
//! - [`terminal`]: job control.
//! - [`units`]: systemd accepts and confines every unit, and the units hold workloads back until their secrets are there.
//! - [`user`]: dropping privileges.
//! - [`vm`]: machines with a kernel of their own.
//!
//! What the machines cost, in seconds of one core: [`packages`] 20; [`booted`] 60, in some 25 boots; [`vm`] 190 for three boots of
//! an emulated machine and 50 for five under User Mode Linux. So three to four minutes on two cores, and once for the test cache
//! two more: Debian's root 25 (and its download), cargo-deb 50.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod booted;
mod containers;
mod credentials;
mod debian;
mod descriptors;
mod ended;
mod enter;
mod environment_file;
mod files;
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "the harness of tests/e2e, not all of which is used here")]
mod harness;
mod initramfs;
mod inits;
mod jobs;
mod kernel;
mod mask;
mod microvm;
mod packages;
mod place;
mod podman;
mod probe;
mod residue;
mod rootfs;
mod scope;
mod signals;
mod supervise;
mod terminal;
mod units;
mod user;
mod vm;
mod workload;

use harness::skip;
