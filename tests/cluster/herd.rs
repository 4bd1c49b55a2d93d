//! Herds: all succeed within their deadlines, the server stays small, and what the log and the ticket say of them is exact.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use dropsafe::domain::ticket::BootTicket;
use serde_json::Value;

use super::drive::{Arrival, Herd, Outcome};
use super::server::Cluster;
use super::server_process::peak_mib;
use super::site::{Server, Site, skipped, text};

const SECRETS: u32 = 20;
/// What a server may have resident, in MiB.
const RESIDENT: f64 = 256.0;

/// A site with secrets, and a ticket for just so many boots.
fn site(url: &str, servers: usize, uses: usize, limits: &str) -> (Site, String) {
    let mut site = Site::new(url, servers);
    for server in 0..servers {
        let configuration = site.servers[server].folder().join("server.yaml");
        writeln!(File::options().append(true).open(configuration).unwrap(), "{limits}").unwrap();
        site.start(server, true, &[]);
    }
    for number in 0..SECRETS {
        text(&site.admin_at(0, &["set", &format!("HERD_{number}"), "--shared"], &format!("{number:032}")));
    }
    let ticket = text(&site.ticket_at(0, &["--uses", &uses.to_string()]));
    (site, ticket)
}

fn herd(ticket: &str, agents: usize, deadline: u64) -> Outcome {
    let outcome = Herd {
        tickets: vec![Arc::new(BootTicket::parse(ticket).unwrap())],
        agents,
        arrival: Arrival::AtOnce,
        deadline: Duration::from_secs(deadline),
        entries: SECRETS,
    }
    .run();
    println!(
        "{agents} at once: {:.0}/s, half within {:?}, the slowest {:?}, put off {}",
        outcome.rate(),
        outcome.percentile(0.5),
        outcome.percentile(1.0),
        outcome.retries
    );
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    assert_eq!(outcome.times.len(), agents);
    outcome
}

/// Checks that each boot is in the audit log, each use was spent once, and the servers' memory stayed small.
fn check_records(site: &Site, boots: usize) {
    for server in &site.servers {
        let resident = peak_mib(server.pid());
        println!("at most {resident:.0} MiB resident");
        assert!(resident < RESIDENT, "{resident} MiB");
    }
    let tickets: Value =
        serde_json::from_str(&text(&site.admin_at(0, &["ticket", "list", "--json"], ""))).unwrap();
    let ticket = &tickets[0];
    assert_eq!((&ticket["uses"], &ticket["used"]), (&boots.into(), &boots.into()), "{ticket}");

    text(&site.operator_at(0, &["audit", "verify"], ""));
    let log = text(&site.admin_at(0, &["audit", "--export", "--action", "boot"], ""));
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let allowed = entries.filter(|entry| entry["action"] == "boot" && entry["outcome"] == "allowed");
    let boot_ids: Vec<_> = allowed.map(|entry| entry["target_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(boot_ids.len(), boots);
    assert_eq!(boot_ids.into_iter().collect::<BTreeSet<_>>().len(), boots);
}

/// What a server counts under that name.
fn counted(server: &Server, name: &str) -> u64 {
    let socket = server.folder().join("dropsafe.sock");
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--fail", "--unix-socket"]).arg(socket).arg("http://localhost/metrics");
    let metrics = String::from_utf8(curl.output().unwrap().stdout).unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn ten_thousand_machines_at_once_on_sqlite() {
    let (site, ticket) = site("sqlite:store.db", 1, 10_000, "");
    // The tests' build is not optimized, and machines of CI are slow at times: ten times what agents have.
    herd(&ticket, 10_000, 300);
    check_records(&site, 10_000);
    assert_eq!(counted(&site.servers[0], "dropsafe_boots_total"), 10_000);
}

#[test]
fn a_thousand_machines_at_once_over_three_servers_on_etcd() {
    if skipped() {
        return;
    }
    let etcd = Cluster::start(3, &[]);
    let (site, ticket) = site(&format!("etcd://{}/herd", etcd.addresses()), 3, 1000, "");
    herd(&ticket, 1000, 30);
    check_records(&site, 1000);
    // Machines begin with any of their ticket's addresses.
    let shares: Vec<u64> =
        site.servers.iter().map(|server| counted(server, "dropsafe_boots_total")).collect();
    assert!(shares.iter().sum::<u64>() == 1000 && shares.iter().all(|share| *share > 200), "{shares:?}");
}

#[test]
fn a_boot_that_is_shed_spends_nothing_and_comes_back() {
    let (site, ticket) = site("sqlite:store.db", 1, 1000, "limits: {boots: 1}");
    let outcome = herd(&ticket, 1000, 60);
    assert!(counted(&site.servers[0], "dropsafe_shed_total") > 0 && outcome.retries > 0);
    check_records(&site, 1000);
}
