//! initramfs-tools builds an initramfs with our hook, Debian's kernel boots it, and our script fetches before the first process of
//! the real system starts, whatever init that is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian;
use super::harness::Site;
use super::kernel::{HOST, Kernel};
use super::place::{Folder, run, source};
use super::probe::probe;
use super::scope::{PRIVATE, SHARED, deposit, holds, revoked};
use super::workload::agent;

#[test]
fn the_real_system_finds_the_secrets_that_the_initramfs_fetched() {
    let Some(root) = debian::root() else { return };
    let Some(kernel) = Kernel::qemu() else { return };
    let mut site = Site::advertised(&["127.0.0.1", HOST]);
    site.serve_unlocked();
    deposit(&site);
    let folder = Folder::new();
    let initramfs = initramfs(&folder, root, &kernel.unpacked());
    let kernel = kernel.with_initramfs(initramfs);

    // What is the init system here prints what it finds, and ends: the kernel restarts the machine, and the emulator ends.
    let words = "file /run/dropsafe/env file /run/dropsafe/receipt.json environment";
    let boot = |ticket: &str| {
        let disk = disk(&folder, ticket);
        let drive = format!("file={},if=none,format=raw,id=d0", disk.display());
        kernel
            .boot_on(&["-drive", &drive, "-device", "nvme,serial=d0,drive=d0"], "root=/dev/nvme0n1 ro", words)
            .0
    };
    let ticket = site.ticket("admin", &[]);
    let console = boot(&ticket);
    assert!(console.contains(&format!("OPENAI_API_KEY=\"{PRIVATE}\"\n")), "{console}");
    assert!(console.contains("\"entries\"") && !holds(console.as_bytes(), SHARED), "{console}");
    assert!(!console.contains("not found") && !console.contains("warning: "), "{console}");

    // The machine starts all the same, so that somebody can look.
    let console = boot(&revoked(&site));
    assert!(console.contains("revoked") && console.contains("No secrets in this boot"), "{console}");
    assert!(console.contains("/run/dropsafe/env: No such file or directory"), "{console}");
    assert!(!holds(console.as_bytes(), PRIVATE));
}

/// Built in a Debian of its own, with the hook and the script where they say that they go.
fn initramfs(folder: &Folder, root: &Path, kernel: &Path) -> PathBuf {
    for (from, to) in [
        ("init/initramfs-tools/hooks/dropsafe-agent", "etc/initramfs-tools/hooks/dropsafe-agent"),
        (
            "init/initramfs-tools/scripts/init-bottom/dropsafe-agent",
            "etc/initramfs-tools/scripts/init-bottom/dropsafe-agent",
        ),
    ] {
        folder.program(Path::new("layer").join(to), fs::read(source(from)).unwrap());
    }
    folder.program("layer/usr/bin/dropsafe-agent", fs::read(agent()).unwrap());
    // The bus alone is listed: the card's driver is the hook's to add.
    folder.write("layer/etc/initramfs-tools/modules", "virtio_pci\n");
    folder.write("layer/etc/initramfs-tools/conf.d/few", "MODULES=list\nCOMPRESS=gzip\n");
    fs::create_dir(folder.join("over")).unwrap();
    fs::create_dir(folder.join("out")).unwrap();
    let script = "set -e; mount -t tmpfs none \"$3\"; cd \"$3\"; mkdir upper work root drivers drivers-work; \
        mount -t overlay -o lowerdir=\"$1\":\"$2\",upperdir=upper,workdir=work none root; cd root; \
        mkdir -p lib/modules out; cp \"$4\"/boot/config-* boot/; \
        mount -t overlay -o lowerdir=\"$4/lib/modules\",upperdir=../drivers,workdir=../drivers-work none lib/modules; \
        mount -t proc none proc; mount --bind /dev dev; mount -t tmpfs none tmp; mount --bind \"$5\" out; \
        version=$(ls lib/modules); chroot . depmod \"$version\"; exec chroot . mkinitramfs -o /out/initramfs \"$version\"";
    let mut make = Command::new("unshare");
    make.args(["--mount", "sh", "-c", script, "sh"])
        .arg(folder.join("layer"))
        .arg(root)
        .arg(folder.join("over"));
    make.arg(kernel).arg(folder.join("out")).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let made = run(&mut make);
    assert!(made.success, "{}", made.said);
    folder.join("out/initramfs")
}

/// A system of one program, with a ticket where the script looks for it.
fn disk(folder: &Folder, ticket: &str) -> PathBuf {
    for place in ["proc", "sys", "dev", "run", "tmp", "root", "etc/dropsafe"] {
        fs::create_dir_all(folder.join("system").join(place)).unwrap();
    }
    folder.program("system/sbin/init", fs::read(probe().unwrap()).unwrap());
    folder.write("system/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    let ticket = folder.write("system/etc/dropsafe/ticket", format!("{ticket}\n"));
    fs::set_permissions(ticket, fs::Permissions::from_mode(0o600)).unwrap();
    let disk = folder.join("disk");
    let _ = fs::remove_file(&disk);
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-d"]).arg(folder.join("system")).arg(&disk).arg("16M");
    let made = run(make.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
    assert!(made.success, "{}", made.said);
    disk
}
