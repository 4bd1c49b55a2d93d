//! Under nspawn: the store's own unit on the machine that it serves, unlocked by a credential or by nobody, and what installing
//! another version does to it while it runs.

use super::super::packages::Packages;
use super::machine::{Layer, Machine};
use super::scenarios;

/// A machine that makes its own store, on a port that nobody else in this network has. Unlocked, with one secret and a ticket.
fn machine() -> Option<(Machine, u16)> {
    let port = super::super::harness::free_port();
    let layer = Layer::new(Machine::PIPES);
    layer.workloads();
    let mut machine = Machine::nspawn(layer)?;
    // Installed and without a store: no fault.
    assert_eq!(machine.shows("dropsafe.service", "ActiveState"), "inactive");
    assert_eq!(machine.shows("dropsafe.service", "ConditionResult"), "no");
    machine.ok(&format!(
        "cd /; umask 077; echo 'a passphrase for the tests' >/run/passphrase; chown dropsafe /run/passphrase; \
         runuser -u dropsafe -- dropsafe init --data /var/lib/dropsafe --passphrase-file /run/passphrase \
         --listen 127.0.0.1:{port} --json >/run/init.json; systemctl start dropsafe.service"
    ));
    assert_eq!(machine.shows("dropsafe.service", "ActiveState"), "active");
    unlock(&mut machine);
    machine.ok(&format!(
        "{AS} admin_token; printf %s canary-of-the-machine | dropsafe set openai-api-key --shared; \
         umask 077; dropsafe ticket new --ttl none --uses unlimited >/etc/credstore/dropsafe.ticket"
    ));
    Some((machine, port))
}

/// The command line as somebody whom `init` has named.
const AS: &str = "as() { for name in url $1; do \
    sed -n 's/.*\"'$name'\": *\"\\([^\"]*\\)\".*/\\1/p' /run/init.json; done; }; \
    who() { set -- $(as $1); export DROPSAFE_URL=$1 DROPSAFE_TOKEN=$2 HOME=/root; }; set -e; who";

fn unlock(machine: &mut Machine) {
    machine.ok(&format!("{AS} operator_token; dropsafe unlock --passphrase-file /run/passphrase"));
}

fn locked(machine: &mut Machine) -> bool {
    machine
        .ok(&format!("{AS} operator_token; dropsafe status --json | tr -d ' '"))
        .contains("\"locked\":true")
}

#[test]
fn a_store_unlocks_itself_by_a_credential_and_serves_its_own_machine() {
    let Some((mut machine, _)) = machine() else { return };
    // A key file of its own, sealed to this machine.
    machine.ok(&format!(
        "{AS} operator_token; dropsafe keyslot add --new-key-file /run/dropsafe.key --credential; \
         mkdir -p -m 700 /etc/credstore.encrypted; systemd-creds encrypt --with-key=host --name=dropsafe.key \
         /run/dropsafe.key /etc/credstore.encrypted/dropsafe.key; cp /run/init.json /root/init.json"
    ));
    machine.reboot();
    machine.active("dropsafe.service app.service credential.service");
    assert_eq!(machine.environment("app.service")["OPENAI_API_KEY"], "canary-of-the-machine");
    machine.ok("cp /root/init.json /run/init.json");
    assert!(!locked(&mut machine));
    scenarios::no_value_is_stored(&mut machine);

    // Another version: restarted, since it unlocks itself.
    let before = machine.shows("dropsafe.service", "MainPID");
    let agent = machine.shows("dropsafe-agent.service", "ExecMainStartTimestampMonotonic");
    let app = machine.shows("app.service", "MainPID");
    upgrade(&mut machine);
    assert_ne!(machine.shows("dropsafe.service", "MainPID"), before, "the old version still runs");
    machine.active("dropsafe.service");
    assert!(!locked(&mut machine));
    // The machine's own boot is not repeated, and its workload goes on.
    assert_eq!(machine.shows("dropsafe-agent.service", "ExecMainStartTimestampMonotonic"), agent);
    assert_eq!(machine.shows("app.service", "MainPID"), app);
}

#[test]
fn an_upgrade_never_locks_a_store_and_removing_it_keeps_it() {
    let Some((mut machine, _)) = machine() else { return };
    machine.ok("systemctl restart dropsafe-agent.service");
    machine.active("app.service");
    let before = machine.shows("dropsafe.service", "MainPID");
    let said = upgrade(&mut machine);
    assert!(said.contains("the old version still runs"), "{said}");
    assert_eq!(machine.shows("dropsafe.service", "MainPID"), before);
    assert!(!locked(&mut machine));

    // By hand it starts again, locked, and says so.
    machine.ok("systemctl restart dropsafe.service");
    assert!(locked(&mut machine));
    let status = machine.shows("dropsafe.service", "StatusText");
    assert!(status.contains("locked"), "{status}");
    unlock(&mut machine);

    // The agent goes: what it left goes with it, and the workload that required it.
    machine.ok("dpkg --remove dropsafe-agent");
    machine.ok("test ! -e /run/dropsafe/env");
    assert_ne!(machine.run("systemctl is-active app.service").0, 0);
    machine.ok("dpkg --purge dropsafe; test -s /var/lib/dropsafe/store.db");
    assert_ne!(machine.run("systemctl is-active dropsafe.service").0, 0);
    // And comes back to the same store.
    machine.ok("dpkg -i /out/debs/*.deb");
    machine.ok("systemctl is-active dropsafe.service || systemctl start dropsafe.service");
    unlock(&mut machine);
    let list = machine.ok(&format!("{AS} admin_token; dropsafe list"));
    assert!(list.contains("openai-api-key"), "{list}");
    scenarios::no_value_is_stored(&mut machine);
}

/// Installs both packages as version 99.0.
fn upgrade(machine: &mut Machine) -> String {
    let packages = Packages::built().unwrap();
    let there = machine.shared().join("debs");
    std::fs::create_dir(&there).unwrap();
    for entry in std::fs::read_dir(packages.folder()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), there.join(entry.file_name())).unwrap();
    }
    machine.ok(
        "set -e; cd /tmp; for package in dropsafe dropsafe-agent; do dpkg-deb -R /out/debs/${package}_[0-9]*.deb $package; \
         sed -i 's/^Version: .*/Version: 99.0/' $package/DEBIAN/control; dpkg-deb -Znone -b $package $package.deb; done; \
         dpkg -i dropsafe.deb dropsafe-agent.deb",
    )
}
