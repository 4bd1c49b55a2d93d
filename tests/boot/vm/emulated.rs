//! A Debian machine in QEMU, all of it emulated: KVM, where it is known to work, is opted in by DROPSAFE_TEST_KVM=1.

use std::fs;
use std::process::Command;

use super::super::booted::machine::Machine;
use super::super::booted::scenarios;
use super::super::harness::skip;
use super::super::place::has;
use super::{HOST, image, start};

/// Boots with a ticket in the firmware's tables.
fn boot(ticket: &str) -> Option<Machine> {
    if !has("qemu-system-x86_64") || !has("mke2fs") {
        skip("a machine in QEMU (Debian packages qemu-system-x86, e2fsprogs)");
        return None;
    }
    let (kernel, disk) = (image::kernel()?, image::disk()?);
    let work = tempfile::tempdir().unwrap();
    // In a file: a command line is for everybody to read.
    let firmware = work.path().join("smbios");
    fs::write(&firmware, format!("io.systemd.credential:dropsafe.ticket={ticket}")).unwrap();
    let mut command = Command::new("qemu-system-x86_64");
    if kvm() {
        command.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        command.args(["-accel", "tcg,thread=multi", "-cpu", "qemu64"]);
    }
    command.args(["-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-monitor", "none"]);
    command.args(["-serial", "file:/proc/self/fd/2", "-serial", "stdio"]);
    command.arg("-kernel").arg(kernel);
    command.args([
        "-append",
        "root=/dev/nvme0n1 rw console=ttyS0 panic=-1 net.ifnames=0 mitigations=off quiet systemd.show_status=0",
    ]);
    command.arg("-drive").arg(image::option("file=", disk, ",if=none,format=raw,id=d0,snapshot=on"));
    command.args(["-device", "nvme,serial=d0,drive=d0", "-netdev", "user,id=n0"]);
    command.args(["-device", "virtio-net-pci,netdev=n0,romfile="]);
    command.arg("-smbios").arg(image::option("type=11,path=", &firmware, ""));
    command.env("TMPDIR", work.path());
    Some(start(&mut command, work))
}

#[test]
fn a_machine_boots_late_changes_and_is_refused() {
    let mut site = scenarios::store(HOST);
    let ticket = scenarios::deposit(&site);
    assert!(site.stop().success());
    let Some(mut machine) = boot(&ticket) else { return };
    assert_eq!(machine.run("systemd-detect-virt --vm").1.trim(), if kvm() { "kvm" } else { "qemu" });
    scenarios::the_store_comes_late(&mut site, HOST, &mut machine);
    scenarios::changes_show_after_a_reboot(&site, &mut machine);
    scenarios::a_revoked_ticket_ends_it(&site, &mut machine);
}

fn kvm() -> bool {
    std::env::var_os("DROPSAFE_TEST_KVM").is_some_and(|opted| opted == "1")
}
