//! A kernel starts the agent as its first process: it mounts, brings the network up, fetches from a store on the host, runs the
//! workload, tells the status and powers off.

use std::io::{BufRead, BufReader, Read, Write};

use super::harness::Site;
use super::kernel::{Console, HOST, Kernel, uml_runs};
use super::scope::{SHARED, deposit, holds, is_what_a_boot_receives, revoked, variables};

const FIRST: &str = "probe: first instruction";

fn site() -> Site {
    // The host uses the loopback address. Inside the machine, the first address leads nowhere and the second to the host.
    let mut site = Site::advertised(&["127.0.0.1", HOST]);
    site.serve_unlocked();
    deposit(&site);
    site
}

#[test]
fn a_kernel_starts_the_agent_and_the_agent_the_workload() {
    let Some(kernel) = Kernel::uml() else { return };
    let site = site();
    let ticket = site.ticket("admin", &["--uses", "1"]);
    let words = "environment file /proc/mounts file /proc/sys/kernel/hostname file /etc/resolv.conf orphans 50 zombies exit 7";
    let console = kernel.boot(&format!("dropsafe.ticket={ticket}"), &format!("exec /app {words}"));
    received(&console, &kernel);
    console.ended_with(7);
    let printed = console.printed();
    for line in [
        "proc /proc proc rw,nosuid,nodev,noexec",
        "tmpfs /run tmpfs rw,nosuid,nodev",
        "microvm",
        "nameserver 10.0.2.3",
        "zombies 0",
    ] {
        assert!(printed.lines().any(|printed| printed.starts_with(line)), "{line:?} is not in\n{printed}");
    }
    report(&console, &kernel);
}

#[test]
fn a_boot_that_fails_starts_nothing_and_its_reason_is_on_the_console() {
    let Some(kernel) = Kernel::uml() else { return };
    let mut site = site();
    let good = format!("dropsafe.ticket={}", site.ticket("admin", &[]));
    let denied = format!("dropsafe.ticket={}", revoked(&site));
    let fails = |line: &str, agent: &str, status: u8, says: &str| {
        let console = kernel.boot(line, agent);
        console.ended_with(status);
        assert!(console.0.contains(says), "{says:?} is not in\n{}", console.0);
        assert!(!console.0.contains(FIRST), "the workload was started");
        assert!(!holds(console.printed().as_bytes(), SHARED));
    };
    fails(&denied, "exec /app environment", 77, "revoked");
    fails(&good, "exec /nothing", 127, "no such program");
    fails(&good, "exec --no-such-flag /app", 64, "--no-such-flag");
    fails("", "exec /app", 78, "there is no boot ticket");
    // What a machine starts first is no workload, whose environment could be taken for what was received.
    fails("", "enter /app environment", 78, "there are no secrets in /run/dropsafe");
    assert!(site.stop().success());
    fails(&format!("{good} DROPSAFE_DEADLINE=1s"), "exec /app environment", 69, "dropsafe-agent:");
}

#[test]
fn a_workload_that_a_signal_ends_and_a_machine_that_is_asked_to_end() {
    // How User Mode Linux ends, as a program, is what this test looks at.
    if !uml_runs() {
        return;
    }
    let Some(kernel) = Kernel::uml() else { return };
    let site = site();
    let ticket = format!("dropsafe.ticket={}", site.ticket("admin", &[]));
    kernel.boot(&ticket, "exec /app kill 9").ended_with(137);

    let mut machine = kernel.start(&[], &ticket, "exec --init /app wait");
    let mut lines = BufReader::new(machine.stdout.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("ready\n") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        said = said.replace('\r', "");
    }
    kernel.press_ctrl_alt_del();
    lines.read_to_string(&mut said).unwrap();
    machine.wait().unwrap();
    assert!(said.contains("signal 2"), "{said}");
    Console(said.replace('\r', "")).ended_with(2);
}

#[test]
fn an_emulated_machine_with_debians_kernel() {
    let Some(kernel) = Kernel::qemu() else { return };
    let site = site();
    let ticket = format!("dropsafe.ticket={}", site.ticket("admin", &[]));
    let console = kernel.boot(&ticket, "exec /app environment exit 7");
    received(&console, &kernel);
    console.ended_with(7);
    report(&console, &kernel);

    // By the firmware, which only root can read there, in place of the command line.
    let firmware = format!("type=11,value=io.systemd.credential:dropsafe.ticket={}", revoked(&site));
    let console = kernel.boot_on(&["-smbios", &firmware], "dropsafe.end=restart", "exec /app");
    assert!(console.0.contains("status 77, restarting\n") && !console.0.contains(FIRST), "{}", console.0);
}

fn received(console: &Console, kernel: &Kernel) {
    let printed = console.printed();
    is_what_a_boot_receives(&variables(&printed), &format!("{}:\n{}", kernel.name(), console.0));
}

/// The time that a boot takes from the kernel's hand-over, the exchange with the store included. Past the capture of `cargo test`.
fn report(console: &Console, kernel: &Kernel) {
    let took = console.when(FIRST) - console.when("Run /init as init process");
    assert!(took >= 0.0, "the clock went backwards");
    let line = format!(
        "microVM under {}: {:.0} ms from the kernel's hand-over to the workload's first instruction\n",
        kernel.name(),
        took * 1000.0
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
