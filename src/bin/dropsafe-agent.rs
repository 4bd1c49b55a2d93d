//! The boot agent as a program of its own: [`dropsafe::agent`], built without the store.
#![expect(clippy::disallowed_methods, reason = "the environment enters the program here")]

use std::process::ExitCode;

fn main() -> ExitCode {
    dropsafe::agent::main(std::env::args_os(), std::env::vars_os())
}
