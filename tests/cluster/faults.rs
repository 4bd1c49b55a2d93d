//! Continuous deposits and boots while whatever can be killed or paused is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::skip;
use super::history::{Kind, Moment, Operation, check};
use super::network::{Network, Side};
use super::server::Cluster;
use super::site::{Place, Site, skipped, text, variables};

/// Values that keep being replaced.
const REGISTERS: u64 = 3;
const SERVERS: usize = 3;

/// What happened, by everybody.
struct Log {
    began: Instant,
    stop: AtomicBool,
    /// For each register.
    histories: Vec<Mutex<Vec<Operation>>>,
    /// Names of secrets whose deposit was acknowledged.
    made: Mutex<BTreeSet<String>>,
    boots: Mutex<Vec<(Instant, i32)>>,
    single_use: AtomicUsize,
}

impl Log {
    fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    fn add(&self, register: u64, operation: Operation) {
        self.histories[register as usize].lock().unwrap().push(operation);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Replaces one value over and over, each time at the next server.
fn replace(site: &Site, log: &Log, register: u64) {
    let mut server = register as usize;
    for value in 1.. {
        if !log.goes_on() {
            return;
        }
        server = (server + 1) % SERVERS;
        let from = log.now();
        let ran = site.admin_at(server, &["set", &format!("register-{register}")], &value.to_string());
        // Any failure may have come after the deposit.
        let until = ran.status.success().then(|| log.now());
        log.add(register, Operation { kind: Kind::Write, value, from, until });
    }
}

/// Deposits new secrets, which must all be there in the end.
fn deposit(site: &Site, log: &Log) {
    for number in 0.. {
        if !log.goes_on() {
            return;
        }
        let name = format!("MADE_{number}");
        if site.admin_at(number % SERVERS, &["set", &name], "1").status.success() {
            log.made.lock().unwrap().insert(name);
        }
    }
}

/// Boots over and over by a ticket without limits; what a boot gets is a read of every register.
fn boot(site: &Site, log: &Log, ticket: &str) {
    while log.goes_on() {
        let from = log.now();
        let ran = site.agent(ticket, "20s").output().unwrap();
        let until = Some(log.now());
        let code = ran.status.code().unwrap();
        assert!([0, 69].contains(&code), "{code}: {}", String::from_utf8_lossy(&ran.stderr));
        log.boots.lock().unwrap().push((Instant::now(), code));
        if code == 0 {
            let seen = variables(&ran);
            for register in 0..REGISTERS {
                let value = seen[&format!("REGISTER_{register}")].parse().unwrap();
                log.add(register, Operation { kind: Kind::Read, value, from, until });
            }
        }
    }
}

/// Two machines at once with a ticket for one use, over and over: never both.
fn race(site: &Site, log: &Log) {
    for round in 0_usize.. {
        if !log.goes_on() {
            return;
        }
        let issued = site.ticket_at(round % SERVERS, &["--uses", "1"]);
        if !issued.status.success() {
            continue;
        }
        let ticket = text(&issued);
        let racers = [(); 2].map(|()| site.agent(&ticket, "20s").spawn().unwrap());
        let codes = racers.map(|racer| racer.wait_with_output().unwrap().status.code().unwrap());
        assert!(codes.iter().all(|code| [0, 69, 77].contains(code)), "{codes:?}");
        assert!(codes != [0, 0], "a ticket for one use was used twice");
        // Denied is only who came after one that was served, though that one may not have heard of it.
        assert!(codes != [77, 77], "a ticket for one use was used by nobody");
        log.single_use.fetch_add(codes.iter().filter(|code| **code == 0).count(), Ordering::Relaxed);
    }
}

fn wait(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// Finds the member that leads.
fn leader(etcd: &mut Cluster) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        for (index, member) in etcd.members().iter().enumerate() {
            let leads = runtime.block_on(async {
                let status = async {
                    let mut client = etcd_client::Client::connect([member.address()], None).await.ok()?;
                    let status = client.status().await.ok()?;
                    let own = status.header()?.member_id();
                    Some(status.leader() == own)
                };
                tokio::time::timeout(Duration::from_secs(1), status).await.ok().flatten()
            });
            if leads == Some(true) {
                return index;
            }
        }
        assert!(Instant::now() < until, "no leader");
    }
}

/// Hurts what it can while deposits and boots go on, then judges what everybody saw.
fn under_load(site: &Site, hurt: impl FnOnce()) {
    for register in 0..REGISTERS {
        text(&site.admin_at(0, &["set", &format!("register-{register}")], "0"));
    }
    let ticket = text(&site.ticket_at(0, &[]));
    let log = Log {
        began: Instant::now(),
        stop: AtomicBool::new(false),
        histories: (0..REGISTERS)
            .map(|_| Mutex::new(vec![Operation { kind: Kind::Write, value: 0, from: 0, until: Some(0) }]))
            .collect(),
        made: Mutex::default(),
        boots: Mutex::default(),
        single_use: AtomicUsize::new(0),
    };
    std::thread::scope(|scope| {
        let (log, ticket) = (&log, ticket.as_str());
        let users: Vec<_> = (0..REGISTERS)
            .map(|register| scope.spawn(move || replace(site, log, register)))
            .chain([scope.spawn(|| deposit(site, log)), scope.spawn(|| race(site, log))])
            .chain((0..2).map(|_| scope.spawn(move || boot(site, log, ticket))))
            .collect();
        hurt();
        let healed = Instant::now();
        wait(4);
        log.stop.store(true, Ordering::Relaxed);
        for user in users {
            user.join().unwrap();
        }
        let boots = log.boots.lock().unwrap();
        assert!(boots.iter().any(|(at, code)| *at > healed && *code == 0), "no boot after all was well");
    });
    judge(site, &ticket, log);
}

fn judge(site: &Site, ticket: &str, log: Log) {
    let seen = variables(&super::site::output(site.agent(ticket, "30s")));
    for register in 0..REGISTERS {
        let value = seen[&format!("REGISTER_{register}")].parse().unwrap();
        let now = log.now();
        log.add(register, Operation { kind: Kind::Read, value, from: now, until: Some(now + 1) });
        let history = log.histories[register as usize].lock().unwrap();
        let count =
            |kind, known| history.iter().filter(|o| o.kind == kind && o.until.is_some() == known).count();
        println!(
            "register {register}: {} writes, {} unknown, {} reads",
            count(Kind::Write, true),
            count(Kind::Write, false),
            count(Kind::Read, true)
        );
        assert_eq!(check(&history), Ok(()));
        assert!(count(Kind::Write, true) > 10 && count(Kind::Read, true) > 10);
    }
    let made = log.made.into_inner().unwrap();
    let lost: Vec<_> = made.iter().filter(|name| !seen.contains_key(*name)).collect();
    assert!(lost.is_empty() && !made.is_empty(), "acknowledged and lost: {lost:?}");
    let mut codes = BTreeMap::new();
    for (_, code) in log.boots.into_inner().unwrap() {
        *codes.entry(code).or_insert(0) += 1;
    }
    println!("{} secrets made, boots {codes:?}, tickets for one use {:?}", made.len(), log.single_use);
    assert!(codes[&0] > 10 && log.single_use.into_inner() > 0);
    text(&site.operator_at(1, &["audit", "verify"], ""));
}

#[test]
fn nothing_acknowledged_is_lost_and_no_ticket_is_used_twice_whatever_fails() {
    if skipped() {
        return;
    }
    let mut etcd = Cluster::start(3, &[]);
    let mut site = Site::new(&format!("etcd://{}/cluster", etcd.addresses()), SERVERS);
    for server in 0..SERVERS {
        site.start(server, true, &[]);
    }
    // The processes that are hurt, apart from those that use them.
    let mut servers = std::mem::take(&mut site.servers);
    site.servers = servers.iter().map(super::site::Server::reference).collect();
    under_load(&site, || {
        wait(4);
        let dead = leader(&mut etcd);
        etcd.members()[dead].signal(Signal::SIGKILL);
        wait(8);
        etcd.members()[dead].restart();
        wait(4);
        let paused = leader(&mut etcd);
        etcd.members()[paused].signal(Signal::SIGSTOP);
        wait(8);
        etcd.members()[paused].signal(Signal::SIGCONT);
        wait(3);
        servers[0].kill();
        wait(4);
        servers[0].start();
        servers[0].wait_ready();
        wait(2);
        servers[1].signal(Signal::SIGSTOP);
        wait(5);
        servers[1].signal(Signal::SIGCONT);
        wait(2);
        // A rolling restart, while a member of etcd is away too.
        let dead = leader(&mut etcd);
        etcd.members()[dead].signal(Signal::SIGKILL);
        for server in &mut servers {
            server.stop();
            server.start();
            server.wait_ready();
        }
        etcd.members()[dead].restart();
    });
    for server in &mut servers {
        server.kill();
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_no_ticket_is_used_twice_when_the_network_is_cut() {
    if skipped() {
        return;
    }
    let Some(network) = Network::new(SERVERS) else {
        return skip(
            "servers and members of etcd on networks that are cut (root; packages iproute2, util-linux)",
        );
    };
    let members = (0..SERVERS).map(|host| (network.address(Side::Servers, host), Some(network.host(host))));
    let etcd = Cluster::start_at(members.collect(), &[]);
    let place = |host| Place {
        host: network.address(Side::Clients, host),
        port: 7373,
        network: Some(network.host(host)),
    };
    let url = format!("etcd://{}/cluster", etcd.addresses());
    let mut site = Site::at(&url, (0..SERVERS).map(place).collect(), Some(network.clients()));
    for server in 0..SERVERS {
        site.start(server, true, &[]);
    }
    under_load(&site, || {
        wait(3);
        // Isolates each member in turn, together with its clients, so that the leader is isolated once.
        for host in 0..SERVERS {
            network.cut(Side::Servers, host);
            wait(7);
            network.heal(Side::Servers, host);
            wait(4);
        }
        // No half has a majority: nothing is acknowledged, and nothing is lost.
        network.cut(Side::Servers, 0);
        network.cut(Side::Servers, 1);
        wait(5);
        network.heal(Side::Servers, 0);
        network.heal(Side::Servers, 1);
        wait(4);
        // A server that its clients cannot reach.
        network.cut(Side::Clients, 1);
        wait(5);
        network.heal(Side::Clients, 1);
    });
    assert!(site.logs().contains("asking another member of etcd"), "no server lost its member");
}
