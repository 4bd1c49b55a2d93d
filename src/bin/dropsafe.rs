//! The store's server and the operator's command line. Called by the agent's name it is the agent: so `dropsafe dev` boots
//! a workload by the very code that boots machines, without a second file to find.
#![expect(clippy::disallowed_methods, reason = "the environment enters the program here")]

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    if called == Some(OsStr::new("dropsafe-agent")) {
        return dropsafe::agent::main(arguments, std::env::vars_os());
    }
    dropsafe::cli::main(arguments)
}
