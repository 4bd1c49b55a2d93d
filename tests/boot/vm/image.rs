//! One disk for all machines here, made once in a test run and never written to: each machine works on a copy of what it changes.
//! And Debian's kernel for machines in a cloud, which has what a boot needs built in.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::super::booted::machine::Layer;
use super::super::harness::skip;
use super::super::place::run;
use super::super::rootfs::{installed, joined, scratch, system};

/// The hand's line: the second serial line of both.
const LINE: &str = "/dev/ttyS1";

/// How the network comes up: by DHCP in the emulator, as in any cloud; behind slirp nobody answers.
const NETWORKS: [(&str, &str); 2] = [
    ("emulated", "[Match]\nName=eth0\nVirtualization=!uml\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n"),
    (
        "uml",
        "[Match]\nName=eth0\nVirtualization=uml\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n\
         LinkLocalAddressing=no\n",
    ),
];

/// What the confined units find out about themselves.
pub const PROBE: &str = include_str!("probe.sh");

/// The disk.
pub fn disk() -> Option<&'static Path> {
    static DISK: OnceLock<Option<PathBuf>> = OnceLock::new();
    let disk = DISK.get_or_init(|| {
        let (system, installed) = (system()?, installed()?);
        let layer = Layer::new(LINE);
        layer.workloads();
        layer.write("usr/local/lib/probe", PROBE);
        for (name, network) in NETWORKS {
            layer.write(&format!("etc/systemd/network/{name}.network"), network);
        }
        for (unit, target) in [
            ("systemd-networkd.service", "multi-user.target"),
            ("systemd-networkd-wait-online.service", "network-online.target"),
        ] {
            let path = format!("etc/systemd/system/{target}.wants/{unit}");
            layer.link(&format!("/lib/systemd/system/{unit}"), &path);
        }
        let disk = scratch("disk").join("root.ext4");
        let script = "set -e; mount -t tmpfs none /run; mkdir /run/root /run/upper /run/work; \
            mount -t overlay -o lowerdir=\"$1\",upperdir=/run/upper,workdir=/run/work none /run/root; \
            if [ -n \"$3\" ]; then cp -a \"$3\"/lib/modules /run/root/usr/lib/; \
            for version in \"$3\"/lib/modules/*; do chroot /run/root depmod \"${version##*/}\"; done; fi; \
            mke2fs -q -F -t ext4 -O ^has_journal -d /run/root -r 1 \"$2\" 800M";
        let layers = joined(&[layer.path(), installed, system]);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(layers).arg(&disk);
        let ended = run(command.arg(unpacked().unwrap_or_default()));
        assert!(ended.success, "{}", ended.said);
        Some(disk)
    });
    disk.as_deref()
}

/// Where the package of Debian's kernel is unpacked.
fn unpacked() -> Option<PathBuf> {
    std::env::var_os("DROPSAFE_CLOUD_KERNEL").map(PathBuf::from)
}

/// That kernel, whose modules are on the disk.
pub fn kernel() -> Option<PathBuf> {
    let entries = unpacked().and_then(|folder| fs::read_dir(folder.join("boot")).ok());
    let found = entries.and_then(|entries| {
        let mut files = entries.flatten().map(|entry| entry.path());
        files.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
    });
    if found.is_none() {
        skip("a kernel for machines (Debian package linux-image-cloud-amd64, unpacked)");
    }
    found
}

/// A file as an option's value.
pub fn option(name: &str, file: &Path, rest: &str) -> impl AsRef<OsStr> {
    let mut option = std::ffi::OsString::from(name);
    option.push(file);
    option.push(rest);
    option
}
