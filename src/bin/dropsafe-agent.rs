//! The boot agent.
#![expect(clippy::disallowed_methods, reason = "the environment enters the program here")]

use std::process::ExitCode;

fn main() -> ExitCode {
    dropsafe::agent::main(std::env::args_os(), std::env::vars_os())
}
