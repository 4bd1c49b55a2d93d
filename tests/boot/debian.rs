//! A Debian root file system without systemd, for containers, the other init systems and an initramfs. Built once and stored in the test
//! cache; nobody writes to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::harness::skip;
use super::place::has;
use super::rootfs::cached;

/// What is in it beside Debian's smallest.
const PACKAGES: &str = "openrc,runit,s6,execline,procps,initramfs-tools";

/// Where it lies; `None`, and said so, where it cannot be made.
pub fn root() -> Option<&'static Path> {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let root = ROOT.get_or_init(make).as_deref();
    if root.is_none() {
        skip("a Debian root file system (needs root, mmdebstrap and Debian's packages)");
    }
    root
}

fn make() -> Option<PathBuf> {
    if !nix::unistd::getuid().is_root() || !has("mmdebstrap") {
        return None;
    }
    cached("bookworm-plain", |fresh| {
        let made = Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--include", PACKAGES, "--dpkgopt=force-unsafe-io"])
            // Programs are what matters here.
            .args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"])
            .args(["--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm"])
            .arg(fresh)
            .status();
        made.is_ok_and(|made| made.success())
    })
}
