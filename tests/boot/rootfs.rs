//! A Debian with systemd, built once from the machine's own package sources into the test cache, and layers over it. Nothing
//! writes into the cached tree: a test that changes it works on an overlay whose upper layer is in memory.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

use super::harness::skip;
use super::packages::Packages;
use super::place::{has, run, text};

/// Besides the essential packages: udev, dbus and kmod as on every machine, network tools, sessions over SSH.
const INCLUDED: &str = "systemd,systemd-sysv,udev,dbus,iproute2,kmod,openssh-server,openssh-client";

/// The folder that tests cache expensive files in.
pub fn cache() -> PathBuf {
    let cache = std::env::var_os("DROPSAFE_TEST_CACHE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache"), PathBuf::from);
    fs::create_dir_all(&cache).unwrap();
    cache
}

/// A folder that lasts as long as this process, for files that its tests share. It also removes the folders of processes that
/// have ended, since no destructor runs for a static.
pub fn scratch(name: &str) -> PathBuf {
    static OURS: OnceLock<PathBuf> = OnceLock::new();
    let ours = OURS.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for entry in fs::read_dir(all).unwrap().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix("boot-"));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        all.join(format!("boot-{}", std::process::id()))
    });
    let folder = ours.join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Builds an entry of the cache if it is absent. If several tests need it at once, one builds it and the others wait. An
/// existing entry is complete.
pub fn cached(name: &str, make: impl FnOnce(&Path) -> bool) -> Option<PathBuf> {
    let cache = cache();
    let place = cache.join(name);
    let lock = fs::File::create(cache.join(format!("{name}.lock"))).unwrap();
    let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
    if !place.exists() {
        let fresh = cache.join(format!("{name}.new"));
        let _ = fs::remove_dir_all(&fresh);
        if !make(&fresh) {
            let _ = fs::remove_dir_all(&fresh);
            return None;
        }
        fs::rename(&fresh, &place).unwrap();
    }
    let _ = lock.as_fd();
    Some(place)
}

/// The system itself, for reading only.
pub fn system() -> Option<&'static Path> {
    static SYSTEM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| {
        if !nix::unistd::getuid().is_root() || !["mmdebstrap", "unshare"].into_iter().all(has) {
            skip("a Debian of the tests' own (needs root, Debian package mmdebstrap)");
            return None;
        }
        let made = cached("bookworm-machine", |fresh| {
            let made = Command::new("mmdebstrap")
                .args(["--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io"])
                .args([&format!("--include={INCLUDED}"), "bookworm"])
                .arg(fresh)
                .status();
            made.is_ok_and(|made| made.success())
        });
        if made.is_none() {
            skip("a Debian of the tests' own (mmdebstrap finds no packages)");
        }
        made
    });
    system.as_deref()
}

/// What installing both packages changes in it.
pub fn installed() -> Option<&'static Path> {
    static LAYER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let layer = LAYER.get_or_init(|| {
        let (system, packages) = (system()?, Packages::built()?);
        let layer = scratch("installed");
        let script = "dpkg -i /debs/*.deb && rm -r /debs";
        let ended = changed(&[system], &layer, packages, script);
        assert!(ended.success, "{}", ended.said);
        // A ready-made identity spares what a first boot does; a folder makes the journal stay over reboots.
        fs::write(layer.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::create_dir_all(layer.join("var/log/journal")).unwrap();
        Some(layer)
    });
    layer.as_deref()
}

/// Runs a script in the system that the layers make (the uppermost first), the packages at hand in `/debs`, and puts what
/// it changed into `to`.
pub fn changed(layers: &[&Path], to: &Path, packages: &Packages, script: &str) -> super::place::Ended {
    let outside = "set -e; mount -t tmpfs none /run; mkdir /run/upper /run/work /run/root; \
        mount -t overlay -o lowerdir=\"$1\",upperdir=/run/upper,workdir=/run/work none /run/root; \
        mount -t proc none /run/root/proc; mount --rbind /dev /run/root/dev; \
        mkdir /run/root/debs; cp \"$2\"/*.deb /run/root/debs/; \
        chroot /run/root /bin/sh -c \"$4\" </dev/null 2>&1 || exit 1; \
        umount -R /run/root/proc /run/root/dev; cp -a /run/upper/. \"$3\"/";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", outside, "sh"]).arg(joined(layers)).arg(packages.folder()).arg(to);
    run(command.arg(script).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8"))
}

/// Layers as the kernel takes them.
pub fn joined(layers: &[&Path]) -> String {
    let layers: Vec<_> = layers.iter().map(|layer| layer.to_str().unwrap()).collect();
    layers.join(":")
}

/// The version in the sources.
pub fn version() -> String {
    let manifest = text("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \"")).unwrap();
    line.trim_end_matches('"').to_owned()
}
