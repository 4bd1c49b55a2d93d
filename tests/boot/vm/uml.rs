//! A kernel of its own as a process of the host (User Mode Linux): the same scenarios within seconds, and the units' confinement seen
//! from inside, of which nspawn, itself confined, cannot show all.

use std::collections::BTreeMap;
use std::process::Command;

use super::super::booted::machine::Machine;
use super::super::booted::scenarios;
use super::super::harness::skip;
use super::super::kernel::uml_runs;
use super::super::place::has;
use super::{HOST, image, start};

fn boot(ticket: &str) -> Option<Machine> {
    if !uml_runs() {
        // The same machine boots in the tests under QEMU's emulation.
        return None;
    }
    if !["linux.uml", "slirp-fullbolt", "mke2fs"].into_iter().all(has) {
        skip("a machine as User Mode Linux (Debian packages user-mode-linux, slirp, e2fsprogs)");
        return None;
    }
    let disk = image::disk()?;
    let work = tempfile::tempdir().unwrap();
    let mut command = Command::new("linux.uml");
    command.args(["mem=512M", "con=null", "con0=null,fd:2", "ssl=null", "ssl1=fd:0,fd:1"]);
    command.arg(image::option("ubd0=", &work.path().join("cow"), &format!(",{}", disk.display())));
    command.args(["root=/dev/ubda", "rw", "quiet", "systemd.show_status=0"]);
    command.args(["eth0=slirp,,/usr/bin/slirp-fullbolt"]);
    command.arg(format!("systemd.set_credential=dropsafe.ticket:{ticket}"));
    // Its memory is a file there.
    command.env("TMPDIR", "/dev/shm");
    Some(start(&mut command, work))
}

#[test]
fn a_kernel_of_its_own_boots_late_changes_and_is_refused() {
    let mut site = scenarios::store(HOST);
    let ticket = scenarios::deposit(&site);
    assert!(site.stop().success());
    let Some(mut machine) = boot(&ticket) else { return };
    assert_eq!(machine.run("systemd-detect-virt").1.trim(), "uml");
    scenarios::the_store_comes_late(&mut site, HOST, &mut machine);
    scenarios::changes_show_after_a_reboot(&site, &mut machine);
    scenarios::a_revoked_ticket_ends_it(&site, &mut machine);
}

/// What a unit's confinement lets through.
fn probed(machine: &mut Machine, unit: &str) -> BTreeMap<String, String> {
    let journal = machine.ok(&format!("journalctl -b -u {unit} -o cat"));
    let lines = journal.lines().filter_map(|line| line.strip_prefix("probe ")?.split_once(' '));
    let found: BTreeMap<_, _> = lines.map(|(name, may)| (name.to_owned(), may.to_owned())).collect();
    assert!(found.len() > 20, "{unit}: {journal}");
    found
}

#[test]
fn the_units_are_confined_as_they_say() {
    let site = scenarios::store(HOST);
    let Some(mut machine) = boot(&scenarios::deposit(&site)) else { return };
    machine.active("app.service");
    let drop_in = "[Service]\\nExecStartPre=/bin/sh /usr/local/lib/probe\\n";
    machine.ok(&format!(
        "set -e; echo x >/etc/probe-of-nobody; chown nobody /etc/probe-of-nobody; chmod 600 /etc/probe-of-nobody; \
         touch /root/.profile; \
         for unit in dropsafe-agent dropsafe-credentials dropsafe; do mkdir -p /etc/systemd/system/$unit.service.d; \
         printf '{drop_in}' >/etc/systemd/system/$unit.service.d/probe.conf; done; systemctl daemon-reload; \
         systemctl stop dropsafe-credentials.service; cd /; umask 077; echo 'a passphrase for the tests' >/run/passphrase; \
         chown dropsafe /run/passphrase; \
         runuser -u dropsafe -- dropsafe init --data /var/lib/dropsafe --passphrase-file /run/passphrase >/dev/null; \
         systemctl restart dropsafe-agent.service dropsafe.service credential.service"
    ));
    machine.active("dropsafe-agent.service dropsafe-credentials.service dropsafe.service");
    for unit in ["dropsafe-agent", "dropsafe-credentials", "dropsafe"] {
        let found = probed(&mut machine, unit);
        let yes: Vec<&str> =
            found.iter().filter(|(_, may)| *may == "yes").map(|(name, _)| name.as_str()).collect();
        let expected: &[&str] = match unit {
            // The kernel hides processes from all but a group, and root is in that group.
            "dropsafe-agent" => {
                &["see-other-processes", "write-cache", "write-etc-dropsafe", "write-run-dropsafe"]
            }
            "dropsafe-credentials" => &["see-other-processes"],
            _ => &["write-state"],
        };
        assert_eq!(yes, expected, "{unit}: {found:?}");
        assert_eq!(
            (found["NoNewPrivs"].as_str(), found["Seccomp"].as_str()),
            ("1", "2"),
            "{unit}: {found:?}"
        );
        let capabilities = if unit == "dropsafe-agent" { "0000000000000001" } else { "0000000000000000" };
        assert_eq!(found["CapBnd"], capabilities, "{unit}");
        assert_eq!(found["core"], "0:0", "{unit}");
        let swap = format!("cat /sys/fs/cgroup/system.slice/{unit}.service/memory.swap.max 2>&1 || true");
        let swap = machine.ok(&swap);
        assert!(swap == "0\n" || swap.contains("No such file"), "{unit}: {swap}");
    }
}
