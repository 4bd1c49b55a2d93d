//! One disk for all machines here, made once in a test run and never written to: each machine works on a copy of what it changes.
//! And Debian's kernel for machines in a cloud, which has what a boot needs built in.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::super::booted::machine::Layer;
use super::super::place::run;
use super::super::place::skip;
use super::super::rootfs::installed;
use super::super::rootfs::joined;
use super::super::rootfs::kept;
use super::super::rootfs::scratch;
use super::super::rootfs::system;

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
        let (system, installed, kernel) = (system()?, installed()?, kernel()?);
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
        let script = "set -e; mount -t tmpfs none /run; mkdir /run/root; \
            mount -t overlay -o lowerdir=\"$1\" none /run/root; \
            mke2fs -q -F -t ext4 -O ^has_journal -d /run/root -r 1 \"$2\" 800M";
        let layers = joined(&[layer.path(), installed, &kernel.join("modules"), system]);
        let mut command = Command::new("unshare");
        let ended = run(command.args(["--mount", "sh", "-c", script, "sh"]).arg(layers).arg(&disk));
        assert!(ended.success, "{}", ended.said);
        Some(disk)
    });
    disk.as_deref()
}

/// A folder with `vmlinuz`, and `modules/` as a layer.
pub fn kernel() -> Option<PathBuf> {
    let system = system()?;
    let made = kept("linux-cloud", |fresh| {
        fs::create_dir_all(fresh).unwrap();
        // The package of that name only depends on the one with the kernel.
        let script = "set -e; cd \"$1\"; \
            name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1); \
            apt-get download -qq \"$name\"; dpkg -x ./*.deb x; rm ./*.deb; mv x/boot/vmlinuz-* vmlinuz; \
            mkdir -p modules/usr/lib; mv x/lib/modules modules/usr/lib/; rm -r x; \
            mount --bind modules/usr \"$2\"/mnt; chroot \"$2\" depmod -b /mnt $(ls modules/usr/lib/modules)";
        // As `depmod` wants it: /mnt/lib/modules/VERSION.
        let mut command = Command::new("unshare");
        let ended = run(command.args(["--mount", "sh", "-c", script, "sh"]).args([fresh, system]));
        if !ended.success {
            eprintln!("{}", ended.said);
        }
        ended.success
    });
    if made.is_none() {
        skip("a kernel for machines (Debian package linux-image-cloud-amd64, unpacked)");
    }
    made
}

/// A file as an option's value.
pub fn option(name: &str, file: &Path, rest: &str) -> impl AsRef<OsStr> {
    let mut option = std::ffi::OsString::from(name);
    option.push(file);
    option.push(rest);
    option
}
