//! Debian with both packages on a kernel of its own, with a store on the host behind the machine's network: the scenarios that nspawn
//! tells quickly, once more where nothing is shared with the host.
//!
//! - [`image`]: the disk and the kernel.
//! - [`emulated`]: QEMU, the ticket from the firmware (SMBIOS).
//! - [`uml`]: User Mode Linux, where the units' confinement can be seen from inside.

mod emulated;
mod image;
mod uml;

use std::fs::File;
use std::process::{Child, Command, Stdio};

use super::booted::machine::Machine;

/// The host's loopback, as both kinds of machines see it.
const HOST: &str = "10.0.2.2";

/// Starts it with the hand on its standard streams and the console on its standard error, in a process namespace of its own, so that
/// with its first process all of it ends.
fn start(command: &mut Command, work: tempfile::TempDir) -> Machine {
    let console = work.path().join("console");
    let mut all = Command::new("unshare");
    all.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    all.arg(command.get_program()).args(command.get_args());
    all.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut process: Child = all
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&console).unwrap())
        .spawn()
        .unwrap();
    let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    Machine::new(process, to, from, console, vec![Box::new(work)])
}
