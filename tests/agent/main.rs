//! The agent as a program, against a store that plays whatever part a test gives it.
//!
//! - [`boot`]: what the workload gets: variables, arguments, descriptors, signals, status.
//! - [`refusals`]: what stops a boot, with which status and words, and that nothing was started.
//! - [`outages`]: the deadline, the three policies and the cache.
//! - [`explain_and_check`]: `explain` and `check`.
//! - [`privilege`]: what a workload's user leaves behind does not become root's doing.
//! - [`tokens`]: machines that have a store card and tokens of an issuer.
//! - [`secrecy`]: no value in any message, at any level.

#![expect(clippy::disallowed_methods, reason = "a test plays the machine around the agent")]

mod boot;
mod explain_and_check;
mod outages;
mod privilege;
mod refusals;
mod secrecy;
mod store;
mod tokens;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// The agent, with nothing in its environment but what a test puts there, and PATH.
pub fn agent(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropsafe-agent"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// The same with too few descriptors for memfds, so that files need a tmpfs.
pub fn agent_without_memfds(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 200; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_dropsafe-agent")]);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// What a run said and how it ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// A configuration file with this content.
pub fn configuration(folder: &Path, yaml: &str) -> std::path::PathBuf {
    let path = folder.join("agent.yaml");
    std::fs::write(&path, yaml).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
