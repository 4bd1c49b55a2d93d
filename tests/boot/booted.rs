//! A machine that boots under systemd (nspawn) with both packages installed: what `boot` leaves, read by systemd itself, and
//! credentials from our socket. Needs root, systemd-nspawn and mmdebstrap.
//!
//! - [`machine`]: the machine, and a hand in it.
//! - [`scenarios`]: what every machine must do, whatever it is made of.
//! - [`nspawn`]: boots, changes, outages and refusals.
//! - [`tickets`]: tickets that run out or delete themselves, the cache.
//! - [`store_unit`]: the store's own unit.

pub mod machine;
mod nspawn;
pub mod scenarios;
mod store_unit;
mod tickets;

use machine::{Layer, Machine};

use super::environment_file::{configuration, values};
use super::workload::ticket;

const READS: &str = "[Unit]\nRequires=dropsafe.target\nAfter=dropsafe.target\n[Service]\n\
    EnvironmentFile=/run/dropsafe/env\nExecStart=/bin/sleep infinity\n";

/// Asks the socket for a credential of a name.
fn asks(name: &str) -> String {
    format!(
        "[Unit]\nRequires=dropsafe-agent.service dropsafe-credentials.socket\nAfter=dropsafe-agent.service\n[Service]\n\
         LoadCredential={name}:/run/dropsafe-credentials.sock\nExecStart=/bin/sleep infinity\n"
    )
}

#[test]
fn systemd_reads_the_environment_file_and_credentials_or_fails() {
    let mut values = values(3000);
    values.insert("db-url".to_owned(), "a\nb".to_owned());
    let layer = Layer::new(Machine::PIPES);
    let settings = format!("on_outage: start-without\ndeadline: 1ms\n{}", configuration(&values));
    layer.write("etc/dropsafe/agent.yaml", &settings);
    layer.ticket(&ticket());
    layer.unit("reads.service", READS);
    layer.unit("known.service", &asks("db-url"));
    layer.unit("unknown.service", &asks("gone"));
    let Some(mut machine) = Machine::nspawn(layer) else { return };

    machine.ok("systemctl start reads.service known.service");
    let seen = machine.environment("reads.service");
    let different: Vec<&String> = values
        .keys()
        .filter(|name| name.starts_with('V') && seen.get(*name) != Some(&values[*name]))
        .collect();
    assert!(different.is_empty(), "systemd reads something else for {different:?}");
    assert_eq!(machine.until("cat /run/credentials/known.service/db-url"), "a\nb");
    machine.ok("systemctl start unknown.service");
    machine.until("test \"$(systemctl show --value -p ExecMainStatus unknown.service)\" = 243");
    let answers = machine.ok("journalctl -b -u dropsafe-credentials -o cat");
    assert!(answers.contains("unknown.service asks for gone, which this boot did not receive"), "{answers}");
    let status = machine.shows("dropsafe-agent.service", "StatusText");
    assert!(status.contains("3001 variables and 0 files"), "{status}");
}
