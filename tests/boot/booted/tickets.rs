//! Under nspawn: tickets that run out, that delete themselves and that come by other ways, and what an outage does with a cache.

use super::machine::{Layer, Machine};
use super::scenarios;

const HERE: &str = "127.0.0.1";

fn layer(settings: &str) -> Layer {
    let layer = Layer::new(Machine::PIPES);
    layer.workloads();
    layer.write("etc/dropsafe/agent.yaml", settings);
    layer
}

#[test]
fn a_ticket_for_one_boot_boots_once() {
    let site = scenarios::store(HERE);
    scenarios::deposit(&site);
    let layer = layer("");
    layer.ticket(&site.ticket("admin", &["--uses", "1"]));
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    machine.active("app.service credential.service");
    // Neither another unit nor a restart of the socket's service spends a use; a fetch does.
    machine.ok("systemctl restart credential.service app.service");
    let (status, said) = machine.run("systemctl restart dropsafe-agent.service");
    assert_ne!(status, 0, "{said}");
    // What the earlier boot left goes with it: there is no half state.
    machine.ok("test ! -e /run/dropsafe/env");
    machine.reboot();
    machine.settled();
    scenarios::refused(&mut machine, "no use left");
}

#[test]
fn a_ticket_file_that_is_to_go_goes_with_the_first_boot() {
    let site = scenarios::store(HERE);
    let ticket = scenarios::deposit(&site);
    let layer = layer("ticket_file: /etc/dropsafe/ticket\ndelete_ticket_file: true\n");
    layer.write("etc/dropsafe/ticket", &ticket);
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    machine.active("app.service credential.service");
    machine.ok("test ! -e /etc/dropsafe/ticket");
    machine.reboot();
    machine.settled();
    scenarios::nothing_started(&mut machine);
    assert_eq!(machine.shows("dropsafe-agent.service", "ExecMainStatus"), "78");
    let journal = machine.ok("journalctl -b -u dropsafe-agent -o cat");
    assert!(journal.contains("/etc/dropsafe/ticket"), "{journal}");
    assert!(!journal.contains("dst_"), "{journal}");
}

#[test]
fn an_outage_is_met_from_the_cache_until_a_denial_destroys_it() {
    let mut site = scenarios::store(HERE);
    let ticket = scenarios::deposit(&site);
    let layer = layer("deadline: 1s\non_outage: cache\ncache: {dir: /var/cache/dropsafe, max_age: 1h}\n");
    layer.ticket(&ticket);
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    machine.active("app.service credential.service");
    machine.ok("test -n \"$(ls /var/cache/dropsafe/*.release)\"");
    scenarios::no_value_is_stored(&mut machine);

    assert!(site.stop().success());
    machine.reboot();
    machine.active("app.service credential.service");
    assert_eq!(machine.environment("app.service")["OPENAI_API_KEY"], "canary-of-the-private-key");
    let status = machine.shows("dropsafe-agent.service", "StatusText");
    assert!(status.contains("from the cache of"), "{status}");

    scenarios::serve(&mut site, HERE);
    scenarios::a_revoked_ticket_ends_it(&site, &mut machine);
    // What is left is no secret: the revision and a checkpoint of the store.
    let left = machine.ok("ls /var/cache/dropsafe");
    assert!(
        left.starts_with("revisions\n") && left.ends_with(".checkpoint\n") && left.lines().count() == 2,
        "{left}"
    );

    assert!(site.stop().success());
    machine.reboot();
    machine.until("journalctl -b -u dropsafe-agent -o cat | grep -q 'code=exited, status=69'");
    machine.ok("test ! -e /run/dropsafe/env");
}

#[test]
fn each_workload_may_fetch_for_itself() {
    let site = scenarios::store(HERE);
    let ticket = scenarios::deposit(&site);
    let layer = Layer::new(Machine::PIPES);
    layer.unit("exec.service", &super::super::place::text("examples/workload/exec.service"));
    layer.enable("exec.service", "multi-user.target");
    layer.write("etc/credstore/exec.ticket", &ticket);
    let Some(mut machine) = Machine::nspawn(layer) else { return };
    machine.active("exec.service");
    machine.until("journalctl -b -u exec.service -o cat | grep -q 'OPENAI_API_KEY is set'");
    let seen = machine.environment("exec.service");
    assert_eq!(seen["CHANGING"], "canary-of-the-old");
    assert!(!seen.keys().any(|name| name.starts_with("DROPSAFE_")), "{seen:?}");
    // No ticket for the machine as a whole: its own unit says so, and nothing else is touched.
    machine.until("systemctl is-failed dropsafe-agent.service");
    assert_eq!(machine.shows("dropsafe-agent.service", "ExecMainStatus"), "78");
    scenarios::no_value_is_stored(&mut machine);
}
