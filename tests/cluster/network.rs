//! Hosts of the test's own: network namespaces with an address on two networks, one among the servers and one for their
//! clients. A host can be cut off from either, so that its packets go nowhere, as with a broken switch. All of it ends with
//! the process that made it, however that ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The hosts, the bridges between them, and a place for clients.
pub struct Network {
    clients: Namespace,
    hosts: Vec<Namespace>,
}

/// Which network.
#[derive(Clone, Copy)]
pub enum Side {
    /// That of the servers and etcd's members.
    Servers,
    /// That of clients.
    Clients,
}

impl Side {
    const ALL: [Side; 2] = [Side::Servers, Side::Clients];

    fn bridge(self) -> &'static str {
        match self {
            Side::Servers => "servers",
            Side::Clients => "clients",
        }
    }

    fn address(self, last: usize) -> String {
        match self {
            Side::Servers => format!("10.77.1.{last}"),
            Side::Clients => format!("10.77.2.{last}"),
        }
    }
}

/// A network namespace, which lasts as long as a process in it.
struct Namespace {
    keeper: Child,
}

impl Namespace {
    fn new() -> Option<Namespace> {
        // Its input ends when this process does.
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take()?).read_line(&mut line).ok()?;
        let namespace = Namespace { keeper };
        (line == "ready\n" && namespace.ip("link set lo up")).then_some(namespace)
    }

    fn pid(&self) -> u32 {
        self.keeper.id()
    }

    fn ip(&self, arguments: &str) -> bool {
        let mut ip = Command::new("nsenter");
        ip.arg(format!("--net=/proc/{}/ns/net", self.pid())).arg("ip").args(arguments.split(' '));
        ip.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Network {
    /// Of so many hosts. None where this process may not make namespaces, or the tools for it are missing.
    pub fn new(count: usize) -> Option<Network> {
        let clients = Namespace::new()?;
        let hosts: Vec<_> = (0..count).map(|_| Namespace::new()).collect::<Option<_>>()?;
        let network = Network { clients, hosts };
        network.connect().then_some(network)
    }

    fn connect(&self) -> bool {
        Side::ALL.into_iter().all(|side| {
            let bridge = side.bridge();
            self.clients.ip(&format!("link add {bridge} type bridge forward_delay 0"))
                && self.clients.ip(&format!("link set {bridge} up"))
                && self.hosts.iter().enumerate().all(|(index, host)| {
                    let (port, pid) = (port(side, index), host.pid());
                    self.clients.ip(&format!("link add {port} type veth peer name {bridge} netns {pid}"))
                        && self.clients.ip(&format!("link set {port} master {bridge} up"))
                        && host.ip(&format!("addr add {}/24 dev {bridge}", side.address(index + 1)))
                        && host.ip(&format!("link set {bridge} up"))
                })
        }) && self.clients.ip(&format!("addr add {}/24 dev clients", Side::Clients.address(100)))
            // Where the store is made from.
            && self.clients.ip(&format!("addr add {}/24 dev servers", Side::Servers.address(100)))
    }

    /// The process in whose network the host's programs run.
    pub fn host(&self, index: usize) -> u32 {
        self.hosts[index].pid()
    }

    /// The process in whose network clients run.
    pub fn clients(&self) -> u32 {
        self.clients.pid()
    }

    /// A host's address.
    pub fn address(&self, side: Side, index: usize) -> String {
        side.address(index + 1)
    }

    /// Lets everything that a host sends or is sent on one network vanish.
    pub fn cut(&self, side: Side, index: usize) {
        assert!(self.clients.ip(&format!("link set {} nomaster", port(side, index))));
    }

    /// Ends that.
    pub fn heal(&self, side: Side, index: usize) {
        assert!(self.clients.ip(&format!("link set {} master {}", port(side, index), side.bridge())));
    }
}

fn port(side: Side, index: usize) -> String {
    format!("{}-{index}", side.bridge())
}
