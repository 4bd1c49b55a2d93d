//! podman and runc with storage of their own, which goes away; no registry is asked for anything.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use super::harness::Ran;
use super::place::Folder;
use super::place::has;
use super::place::skip;
use super::place::source;

/// Every limit of the machine that runs the tests may be lower than what podman asks for by default.
const LIMITS: [&str; 2] = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=30000:30000"];

pub struct Podman {
    folder: Folder,
}

impl Podman {
    /// `None`, and said so, where there is none.
    pub fn new() -> Option<Self> {
        if !nix::unistd::getuid().is_root() || !["podman", "runc"].into_iter().all(has) {
            skip("containers (needs root, podman, runc)");
            return None;
        }
        let folder = Folder::new();
        folder.write(
            "containers.conf",
            "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nlock_type = \"file\"\n",
        );
        Some(Self { folder })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        for (flag, folder) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "state")] {
            command.arg(flag).arg(self.folder.join(folder));
        }
        command.args(["--log-level", "error"]).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn ran(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// An image from one of our Containerfiles and the files of a folder.
    pub fn build(&self, name: &str, containerfile: &str, context: &Path, flags: &[&str]) {
        let file = source(containerfile);
        let mut build = self.command(&["build", "--quiet", "--pull-never", "--tag", name]);
        Ran::of(build.args(flags).arg("--file").arg(file).arg(context).output().unwrap()).ok();
    }

    /// The start of a `podman run` that reaches a store on the machine's own loopback.
    pub fn run(&self, flags: &[&str], image_and_command: &[&str]) -> Command {
        let mut command = self.command(&["run", "--network=host", "--pull=never", "--cgroup-parent"]);
        command.arg(format!("/{}", self.cgroup())).args(LIMITS).args(flags).args(image_and_command);
        command
    }

    /// A name that no other test has.
    fn cgroup(&self) -> &str {
        self.folder.path().file_name().and_then(|name| name.to_str()).unwrap()
    }

    /// Where images, containers and logs lie.
    pub fn storage(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "--all", "--force", "--time=0"]).output();
        // Layers are mounted, and read-only: podman itself takes them away.
        let _ = self.command(&["system", "reset", "--force"]).output();
        // The group of groups, in each hierarchy that there is: podman leaves it.
        let top = std::path::PathBuf::from("/sys/fs/cgroup");
        let hierarchies =
            std::fs::read_dir(&top).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        for folder in hierarchies.chain([top.clone()]) {
            let _ = std::fs::remove_dir(folder.join(self.cgroup()));
        }
    }
}
