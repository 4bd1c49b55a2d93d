//! podman and runc with storage of their own, which goes away; no registry is used.

use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::{Ran, skip};
use super::place::{Folder, has, source};

/// Its own default limits are higher than those of many a machine that runs tests.
const CONFIGURATION: &str = "[containers]\n\
    default_ulimits = [\"nofile=20000:20000\", \"nproc=30000:30000\"]\n\
    [engine]\n\
    runtime = \"runc\"\n\
    cgroup_manager = \"cgroupfs\"\n\
    events_logger = \"none\"\n\
    lock_type = \"file\"\n";

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
        folder.write("containers.conf", CONFIGURATION);
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

    /// An image from a root file system, without what only takes up room.
    pub fn import(&self, name: &str, root: &Path) {
        let tar = "tar --create --directory=\"$0\" --exclude=./var/cache --exclude=./var/lib/apt --exclude=./dev \
            --exclude=./usr/share . | \"$@\"";
        let import = self.command(&["import", "--quiet", "-", name]);
        let mut shell = Command::new("sh");
        shell.args(["-c", tar]).arg(root).arg(import.get_program()).args(import.get_args());
        shell.envs(import.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ran::of(shell.output().unwrap()).ok();
    }

    /// The start of a `podman run` that reaches a store on the machine's own loopback.
    pub fn run(&self, flags: &[&str], image_and_command: &[&str]) -> Command {
        let mut command = self.command(&["run", "--network=host", "--pull=never", "--cgroup-parent"]);
        command.arg(format!("/{}", self.cgroup())).args(flags).args(image_and_command);
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
        remove_groups(&[&format!("{}/conmon", self.cgroup()), self.cgroup()]);
    }
}

/// What a file for Kubernetes describes, running.
pub struct Pods<'a> {
    podman: &'a Podman,
    file: &'a str,
    /// As podman told it: among its words, what it made.
    made: String,
}

impl Podman {
    pub fn play<'a>(&'a self, file: &'a str) -> Pods<'a> {
        let ran = self.ran(&["kube", "play", "--network=host", file]);
        let made = ran.out.clone();
        let pods = Pods { podman: self, file, made };
        ran.ok();
        pods
    }
}

impl Drop for Pods<'_> {
    fn drop(&mut self) {
        let _ = self.podman.command(&["kube", "down", self.file]).output();
        for pod in self.made.split_whitespace().filter(|word| word.len() == 64) {
            remove_groups(&[&format!("libpod_parent/{pod}/conmon"), &format!("libpod_parent/{pod}")]);
        }
        // It goes when nobody else's is in it.
        remove_groups(&["libpod_parent/conmon", "libpod_parent"]);
    }
}

/// Removes control groups in each hierarchy that there is, in this order: podman leaves them.
fn remove_groups(groups: &[&str]) {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies =
        std::fs::read_dir(top).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for hierarchy in hierarchies.chain([top.to_owned()]) {
        for group in groups {
            let _ = std::fs::remove_dir(hierarchy.join(group));
        }
    }
}
