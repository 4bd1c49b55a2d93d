//! Under nspawn: a machine and its store beside it, through boots, changes, outages and refusals.

use super::super::harness::environment;
use super::machine::{Layer, Machine};
use super::scenarios;

const HERE: &str = "127.0.0.1";

fn layer() -> Layer {
    let layer = Layer::new(Machine::PIPES);
    layer.workloads();
    layer
}

#[test]
fn changes_show_after_a_reboot_and_a_revoked_ticket_ends_it() {
    let site = scenarios::store(HERE);
    let layer = layer();
    layer.ticket(&scenarios::deposit(&site));
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    scenarios::changes_show_after_a_reboot(&site, &mut machine);
    scenarios::a_revoked_ticket_ends_it(&site, &mut machine);
}

#[test]
fn a_ticket_from_the_machines_maker_is_found() {
    let site = scenarios::store(HERE);
    let ticket = format!("--set-credential=dropsafe.ticket:{}", scenarios::deposit(&site));
    let Some(mut machine) = Machine::nspawn_with(layer(), &[&ticket]) else { return };
    machine.active("app.service credential.service");
    assert_eq!(machine.environment("app.service")["GOING"], "canary-of-what-goes");
}

#[test]
fn the_store_comes_late_within_one_attempt() {
    let mut site = scenarios::store(HERE);
    let layer = layer();
    layer.ticket(&scenarios::deposit(&site));
    assert!(site.stop().success());
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    scenarios::the_store_comes_late(&mut site, HERE, &mut machine);
    assert_eq!(
        machine.shows("dropsafe-agent.service", "NRestarts"),
        "0",
        "the deadline of the package is long"
    );
}

#[test]
fn the_store_comes_after_attempts_that_failed() {
    let mut site = scenarios::store(HERE);
    let layer = layer();
    layer.ticket(&scenarios::deposit(&site));
    layer.write("etc/dropsafe/agent.yaml", "deadline: 500ms\n");
    layer.unit("dropsafe-agent.service.d/soon.conf", "[Service]\nRestartSec=1\n");
    assert!(site.stop().success());
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    // The workload's job was given up with the first attempt.
    machine.until("test \"$(systemctl show --value -p NRestarts dropsafe-agent.service)\" -ge 2");
    scenarios::the_store_comes_late(&mut site, HERE, &mut machine);
}

#[test]
fn a_locked_store_is_an_outage_until_somebody_unlocks_it() {
    let mut site = scenarios::store(HERE);
    let layer = layer();
    layer.ticket(&scenarios::deposit(&site));
    assert!(site.stop().success());
    site.serve(&[]);
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    machine.until("journalctl -b -u dropsafe-agent -o cat | grep -q locked");
    assert_ne!(machine.run("systemctl is-active app.service").0, 0);
    let passphrase = site.folder.path().join("passphrase");
    site.operator(&["unlock", "--passphrase-file", passphrase.to_str().unwrap()]).ok();
    machine.active("app.service credential.service");
}

#[test]
fn every_service_may_have_it_but_our_own() {
    let site = scenarios::store(HERE);
    let layer = layer();
    layer.ticket(&scenarios::deposit(&site));
    let all = "50-dropsafe-environment.conf";
    let drop_in = super::super::place::text(&format!("systemd/service.d/{all}"));
    layer.write(&format!("etc/systemd/system/service.d/{all}"), &drop_in);
    layer.unit("other.service", "[Unit]\nAfter=dropsafe.target\n[Service]\nExecStart=/bin/sleep infinity\n");
    layer.enable("other.service", "multi-user.target");
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    machine.active("other.service credential.service");
    assert_eq!(machine.environment("other.service")["GOING"], "canary-of-what-goes");
    // The one that still runs, since a unit has just asked it.
    let own = machine.environment("dropsafe-credentials.service");
    assert!(!own.contains_key("GOING"), "{own:?}");
    site.cli(&["delete", "going", "--shared", "--yes"]).ok();
    machine.ok("systemctl restart dropsafe-agent.service");
    machine.ok("systemctl restart other.service");
    let seen = machine.environment("other.service");
    assert!(!seen.contains_key("GOING"), "the agent handed down what it had inherited");
}

#[test]
fn sessions_over_ssh_see_what_their_group_may() {
    let site = scenarios::store(HERE);
    let layer = layer();
    layer.ticket(&scenarios::deposit(&site));
    layer.write("etc/dropsafe/agent.yaml", "file_group: dropsafe-env\n");
    let Some(mut machine) = Machine::nspawn_with(layer, &["--private-network"]) else { return };
    // Without the host's network there is no store; the accounts come first.
    machine.ok(
        "ip link set lo up; groupadd dropsafe-env; useradd -m -s /bin/bash -G dropsafe-env member; \
         useradd -m -s /bin/bash guest; install -d -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; \
         for user in member guest; do install -d -o $user -m 700 /home/$user/.ssh; \
         install -o $user -m 600 /root/.ssh/id_ed25519.pub /home/$user/.ssh/authorized_keys; done; \
         cd /usr/share/doc/dropsafe-agent/examples/profile; install -D -m 755 ssh-session /usr/local/lib/dropsafe/ssh-session; \
         install -m 644 sshd.conf /etc/ssh/sshd_config.d/dropsafe.conf; ssh-keygen -A; \
         mkdir -p /run/sshd; /usr/sbin/sshd -p 2222; mkdir -p /run/dropsafe; \
         printf 'GOING=\"canary-of-what-goes\"\\nLINES=\"one\\ntwo\"\\n' >/run/dropsafe/env; \
         chgrp dropsafe-env /run/dropsafe/env; chmod 640 /run/dropsafe/env; chmod 711 /run/dropsafe",
    );
    let ssh = "ssh -q -o BatchMode=yes -o StrictHostKeyChecking=no -p 2222";
    let member = environment(&machine.ok(&format!("{ssh} member@127.0.0.1 'env -0'")));
    assert_eq!(member["GOING"], "canary-of-what-goes");
    assert_eq!(member["LINES"], "one\ntwo");
    assert_eq!(member["HOME"], "/home/member");
    let (status, said) = machine.run(&format!("{ssh} member@127.0.0.1 'exit 7'"));
    assert_eq!((status, said.as_str()), (7, ""));
    let guest = environment(&machine.ok(&format!("{ssh} guest@127.0.0.1 'env -0'")));
    assert!(!guest.contains_key("GOING"), "{guest:?}");
}
