//! What every machine must do, whatever it is made of: the scenarios are written once, and boots under nspawn, in an emulator and on a
//! kernel of their own tell them again.

use std::collections::BTreeMap;

use super::super::harness::{Site, environment};
use super::machine::Machine;

/// In every value that is deposited here, and in nothing else.
pub const CANARY: &str = "canary-of-";

/// A store that serves, whose tickets name it as the machine sees it.
pub fn store(host: &str) -> Site {
    let mut site = Site::new();
    serve(&mut site, host);
    site
}

/// Serves it again.
pub fn serve(site: &mut Site, host: &str) {
    let passphrase = site.folder.path().join("passphrase");
    let address = format!("{host}:{}", site.port);
    site.serve(&["--unlock-passphrase-file", passphrase.to_str().unwrap(), "--advertise", &address]);
}

/// Secrets of each kind, and a ticket.
pub fn deposit(site: &Site) -> String {
    site.set("openai-api-key", "canary-of-the-shared-key", &["--shared"]).ok();
    site.set("OPENAI_API_KEY", "canary-of-the-private-key", &["--private"]).ok();
    site.set("going", "canary-of-what-goes", &["--shared"]).ok();
    site.set("changing", "canary-of-the-old", &["--shared"]).ok();
    site.set("turned-off", "canary-of-the-turned", &["--shared"]).ok();
    site.set("dormant", "canary-of-the-dormant", &["--shared", "--no-install"]).ok();
    site.set("lines", "canary-of-one\n\"two\" $HOME `three` \\ four ", &["--shared"]).ok();
    site.ticket("admin", &[])
}

/// What the first boot gets, by name.
fn first() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("OPENAI_API_KEY", "canary-of-the-private-key"),
        ("GOING", "canary-of-what-goes"),
        ("CHANGING", "canary-of-the-old"),
        ("TURNED_OFF", "canary-of-the-turned"),
        ("LINES", "canary-of-one\n\"two\" $HOME `three` \\ four "),
    ])
}

/// Then on the host: one is deleted, one replaced, one turned off.
fn change(site: &Site) -> BTreeMap<&'static str, &'static str> {
    let said = site.cli(&["delete", "going", "--shared", "--yes"]).ok();
    assert!(said.out.contains("boot_"), "it does not say who holds it: {}", said.out);
    site.set("changing", "canary-of-the-new", &["--shared"]).ok();
    site.cli(&["edit", "turned-off", "--shared", "--no-install"]).ok();
    let mut second = first();
    second.remove("GOING");
    second.remove("TURNED_OFF");
    second.insert("CHANGING", "canary-of-the-new");
    second
}

/// All of these, and no other value of the store.
#[track_caller]
fn exactly(seen: &BTreeMap<String, String>, expected: &BTreeMap<&str, &str>) {
    let seen: BTreeMap<&str, &str> = seen
        .iter()
        .filter(|(_, value)| value.contains(CANARY))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(&seen, expected);
}

/// The workload, a login shell and a unit with a credential see the same; who may not, sees nothing.
fn all_see(machine: &mut Machine, expected: &BTreeMap<&str, &str>) {
    machine.active("app.service");
    exactly(&machine.environment("app.service"), expected);
    shells_see(machine, expected);
    let credential = machine.until("cat /run/credentials/credential.service/openai-api-key");
    assert_eq!(credential, expected["OPENAI_API_KEY"]);
    assert_eq!(machine.ok("su -l nobody -s /bin/sh -c env 2>/dev/null | grep -c canary || true").trim(), "0");
    let files = machine.ok("cd /run/dropsafe; stat -c '%a %U %n' . *");
    assert_eq!(files, "711 root .\n600 root end\n600 root env\n600 root profile.sh\n600 root receipt.json\n");
}

fn shells_see(machine: &mut Machine, expected: &BTreeMap<&str, &str>) {
    for shell in ["bash", "sh"] {
        exactly(&environment(&machine.ok(&format!("su -l -s /bin/{shell} -c 'env -0'"))), expected);
    }
    exactly(&environment(&machine.ok("dropsafe-agent enter -- env -0")), expected);
}

/// A boot, changes on the host that the running workload does not see, and a reboot after which it does.
pub fn changes_show_after_a_reboot(site: &Site, machine: &mut Machine) {
    all_see(machine, &first());
    let pid = machine.shows("app.service", "MainPID");
    let second = change(site);
    exactly(&machine.environment("app.service"), &first());
    assert_eq!(machine.shows("app.service", "MainPID"), pid, "the workload was restarted");
    shells_see(machine, &first());
    let count = |text: &str| {
        let boots = site.cli(&["boots", "changing", "--json"]).ok().json();
        boots.as_array().unwrap().iter().filter(|boot| boot.to_string().contains(text)).count()
    };
    let running = machine.boot.replace('-', "");
    assert!(count(&running) + count(&machine.boot) <= 1, "one boot, one record");
    machine.reboot();
    all_see(machine, &second);
    no_value_is_stored(machine);
}

/// The store is down while the machine boots: nothing that needs it starts, and everything does once it is back.
pub fn the_store_comes_late(site: &mut Site, host: &str, machine: &mut Machine) {
    machine.until("journalctl -b -u dropsafe-agent | grep -q 'cannot be reached'");
    let waits = machine.run("systemctl is-active dropsafe-agent.service app.service dropsafe.target").1;
    assert!(!waits.contains("active\ninactive\nactive") && !waits.starts_with("active"), "{waits}");
    assert_ne!(machine.run("systemctl is-active app.service").0, 0, "it started without its secrets");
    serve(site, host);
    all_see(machine, &first());
}

/// A ticket that was revoked: no second attempt, no workload, the reason in the journal and no value.
pub fn a_revoked_ticket_ends_it(site: &Site, machine: &mut Machine) {
    let tickets = site.cli(&["ticket", "list", "--json"]).ok().json();
    for ticket in tickets.as_array().unwrap() {
        site.cli(&["ticket", "revoke", ticket["id"].as_str().unwrap()]).ok();
    }
    machine.reboot();
    machine.until("systemctl is-failed dropsafe-agent.service");
    machine.settled();
    refused(machine, "revoked");
}

/// The store has refused the agent exactly once.
pub fn refused(machine: &mut Machine, reason: &str) {
    assert_eq!(machine.shows("dropsafe-agent.service", "ExecMainStatus"), "77");
    assert_eq!(machine.shows("dropsafe-agent.service", "NRestarts"), "0");
    nothing_started(machine);
    let journal = machine.ok("journalctl -b -u dropsafe-agent -o cat");
    assert!(journal.contains(reason), "{journal}");
    no_value_is_stored(machine);
}

/// Neither the target nor who needs it; and a unit that asks for a credential fails instead of getting an empty one.
pub fn nothing_started(machine: &mut Machine) {
    for unit in ["dropsafe.target", "app.service"] {
        assert_eq!(machine.run(&format!("systemctl is-active {unit}")).1, "inactive\n", "{unit}");
        assert_eq!(machine.shows(unit, "ActiveEnterTimestampMonotonic"), "0", "{unit} was started");
    }
    machine.until("test \"$(systemctl show --value -p ExecMainStatus credential.service)\" = 243");
    machine.ok("test ! -e /run/dropsafe/env");
}

/// No value is in a log, or anywhere on the machine's disk.
pub fn no_value_is_stored(machine: &mut Machine) {
    machine.ok("journalctl --sync");
    let found = machine.run(
        "grep -rlaF canary-of- /var /etc /root /home /usr/local/lib /run/log /run/systemd 2>/dev/null; \
         journalctl -o export --no-pager | grep -aF canary-of-",
    );
    assert_eq!(found.1, "", "values are stored");
    assert!(
        machine.ok("journalctl -o export --no-pager | grep -ac MESSAGE=").trim().parse::<u32>().unwrap() > 20
    );
}
