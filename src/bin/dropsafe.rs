//! The store's server and the command line. Called as `dropsafe-agent` it is the agent, so that `dropsafe dev` boots a workload with
//! the code that boots machines, and has no second file to find.
#![expect(clippy::disallowed_methods, reason = "the environment enters the program here")]

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use dropsafe::crypto::memory::WipingAllocator;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: WipingAllocator<MiMalloc> = WipingAllocator(MiMalloc);

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The name that the caller gave it, which may be a link, and not the file's.
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    if called == Some(OsStr::new("dropsafe-agent")) {
        return dropsafe::agent::main(arguments, std::env::vars_os());
    }
    dropsafe::cli::main(arguments)
}
