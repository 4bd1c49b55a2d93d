//! The agent where it really stands: as the first process, in a unit, beside a shell.
//!
//! - [`credentials`]: units with `LoadCredential=`.
//! - [`enter`]: sessions beside the workload.
//! - [`environment_file`]: what `boot` leaves for systemd and shells.
//! - [`mask`]: values in the output.
//! - [`signals`]: every signal, exit status, mask, disposition and terminal through `exec --init`.
//! - [`supervise`]: orphans, stragglers, residue and size of the process that stays.
//! - [`user`]: dropping privileges.

mod credentials;
mod enter;
mod environment_file;
mod mask;
mod signals;
mod supervise;
mod user;
mod workload;

/// Names what could not be tested here; with `DROPSAFE_REQUIRE_ALL` that is a failure.
fn skip(what: &str) {
    assert!(std::env::var_os("DROPSAFE_REQUIRE_ALL").is_none(), "skipped: {what}");
    if let Some(path) = std::env::var_os("DROPSAFE_SKIPS") {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{what}").unwrap();
    }
}
