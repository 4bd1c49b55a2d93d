//! A Debian root file system without systemd, for containers and for the other init systems. Made once and kept in the test
//! cache; nobody writes to it.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::place::has;
use super::place::skip;

/// What is in it beside Debian's smallest.
const PACKAGES: &str = "openrc,runit,s6,execline,procps";

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
    let cache = std::env::var_os("DROPSAFE_TEST_CACHE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache"), PathBuf::from);
    fs::create_dir_all(&cache).unwrap();
    let root = cache.join("bookworm-inits");
    // Other test programs may want it at the same time: one makes it.
    let lock = File::create(cache.join("bookworm-inits.lock")).unwrap();
    lock.lock().unwrap();
    if !root.join("usr/bin/runsvdir").exists() {
        let fresh = cache.join("bookworm-inits.new");
        let _ = fs::remove_dir_all(&fresh);
        let made = Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--include", PACKAGES, "--dpkgopt=force-unsafe-io"])
            // Programs are what matters here.
            .args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"])
            .args(["--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm"])
            .arg(&fresh)
            .status();
        if !made.is_ok_and(|made| made.success()) {
            let _ = fs::remove_dir_all(&fresh);
            return None;
        }
        let _ = fs::remove_dir_all(&root);
        fs::rename(&fresh, &root).unwrap();
    }
    Some(root)
}
