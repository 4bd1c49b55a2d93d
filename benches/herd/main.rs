//! Herds: many machines that boot from a real server, each with a TLS 1.3 handshake of its own.
//!
//!     cargo bench --features etcd --bench herd -- herd --agents 1000
//!     cargo bench --features etcd --bench herd -- herd --agents 10000 --rate 500 --store etcd
//!     cargo bench --features etcd --bench herd -- herd --without-tls sealed   # as behind a load balancer
//!     cargo bench --features etcd --bench herd -- nginx       # needs nginx
//!     cargo bench --features etcd --bench herd -- floods      # boots beside slow, wrong and silent clients
//!     cargo bench --features etcd --bench herd -- platform    # needs curl
//!     cargo bench --features etcd --bench herd -- sizes       # takes some ten minutes
//!
//! The machines and the server share this machine's processors, so the server alone could do more boots per second. The
//! processor time per boot is the server's alone.

#![allow(clippy::disallowed_methods, reason = "a bench of processes starts processes and looks at files")]

mod drive;
mod floods;
#[path = "../../tests/e2e/harness.rs"]
#[allow(dead_code, reason = "made for tests")]
mod harness;
mod nginx;
mod platform;
#[path = "../../src/kv/etcd/tests/server.rs"]
#[allow(dead_code, reason = "made for tests")]
mod server;
mod server_process;
#[path = "../../tests/cluster/site.rs"]
#[allow(dead_code, reason = "made for tests")]
mod site;
mod sizes;

use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use drive::{Arrival, Herd, Outcome};
use dropsafe::domain::credential::Credential;
use dropsafe::domain::ticket::BootTicket;
use nginx::Nginx;
use server::Cluster;
use site::{Site, text};

#[derive(Parser)]
struct Args {
    /// Added by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    command: Option<BenchCommand>,
}

#[derive(clap::Subcommand)]
enum BenchCommand {
    /// Machines that boot at once, or at a rate
    Herd(HerdArgs),
    /// Boots beside nginx serving a static file of 4 KiB
    Nginx(NginxArgs),
    /// Boots beside a host that floods the server
    Floods(FloodsArgs),
    /// A platform that starts a machine for each of many people through one launcher
    Platform(PlatformArgs),
    /// Boots and deposits in stores of several sizes
    Sizes(SizesArgs),
    #[command(hide = true)]
    CommitTo { file: std::path::PathBuf },
}

#[derive(clap::Args)]
struct PlatformArgs {
    #[arg(long, default_value_t = 1000)]
    people: usize,
    /// Shared secrets, which each machine receives
    #[arg(long, default_value_t = 20)]
    secrets: usize,
}

#[derive(clap::Args)]
struct SizesArgs {
    /// Secrets of each store
    #[arg(default_values_t = [1000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
    #[arg(long, default_value_t = 500)]
    rounds: usize,
}

#[derive(clap::Args)]
struct FloodsArgs {
    #[arg(long, default_value_t = 200)]
    agents: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(clap::Args)]
struct NginxArgs {
    /// Requests of each round
    #[arg(long, default_value_t = 3200)]
    requests: usize,
    /// Requests at the same time
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    #[arg(long, default_value_t = 20)]
    secrets: usize,
}

#[derive(clap::Args)]
struct HerdArgs {
    #[arg(long, default_value_t = 1000)]
    agents: usize,
    /// Boots started per second, instead of all at once
    #[arg(long, conflicts_with = "at_most")]
    rate: Option<f64>,
    /// Boots at the same time, instead of all at once
    #[arg(long)]
    at_most: Option<usize>,
    #[arg(long, default_value_t = 20)]
    secrets: usize,
    #[arg(long, default_value_t = 30)]
    deadline: u64,
    #[arg(long, value_enum, default_value = "sqlite")]
    store: ByteStore,
    /// Servers over the store. More than one needs etcd
    #[arg(long, default_value_t = 1)]
    servers: usize,
    /// The number of herds, one after the other
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Reach the server without TLS, as behind a load balancer that terminates it
    #[arg(long, value_enum)]
    without_tls: Option<CallForm>,
}

/// How machines without a pin are authenticated.
#[derive(Clone, Copy, ValueEnum)]
enum CallForm {
    /// As with tickets of older versions on this machine.
    Bearer,
    Sealed,
}

#[derive(Clone, Copy, ValueEnum)]
enum ByteStore {
    Sqlite,
    /// One member.
    Etcd,
    /// Three members.
    Etcd3,
}

fn main() {
    let args = Args::parse();
    match args.command {
        Some(BenchCommand::Herd(herd)) => run_herd(&herd),
        Some(BenchCommand::Nginx(nginx)) => run_nginx(&nginx),
        Some(BenchCommand::Floods(args)) => floods::run(args.agents, args.rounds),
        Some(BenchCommand::Platform(args)) => platform::run(args.people, args.secrets),
        Some(BenchCommand::Sizes(args)) => sizes::run(&args.sizes, args.rounds),
        Some(BenchCommand::CommitTo { file }) => sizes::commit_until_killed(&file),
        // `cargo test --benches` runs this once, to check that it works.
        None => match Args::parse_from(["herd", "herd", "--agents", "10"]).command {
            Some(BenchCommand::Herd(herd)) => run_herd(&herd),
            _ => unreachable!(),
        },
    }
}

/// A store with shared secrets, and its servers.
struct ServedStore {
    site: Site,
    ticket: Arc<BootTicket>,
    etcd: Option<Cluster>,
    /// Where the first server listens without TLS.
    plain: u16,
}

impl ServedStore {
    fn new(byte_store: ByteStore, servers: usize, secrets: usize) -> ServedStore {
        let etcd = match byte_store {
            ByteStore::Sqlite => None,
            ByteStore::Etcd => Some(Cluster::start(1, &[])),
            ByteStore::Etcd3 => Some(Cluster::start(3, &[])),
        };
        let url = match &etcd {
            None => "sqlite:store.db".to_owned(),
            Some(etcd) => format!("etcd://{}/herd", etcd.addresses()),
        };
        let mut site = Site::new(&url, servers);
        let plain = harness::free_port();
        let config = site.servers[0].folder().join("server.yaml");
        let listener = format!("\nlisten_plain: 127.0.0.1:{plain}\n");
        std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &listener).unwrap();
        for server in 0..servers {
            site.start(server, true, &[]);
        }
        for number in 0..secrets {
            let name = format!("HERD_SECRET_{number}");
            text(&site.admin_at(0, &["set", &name, "--shared"], &format!("{number:032}")));
        }
        let ticket = Arc::new(BootTicket::parse(&text(&site.ticket_at(0, &[]))).unwrap());
        // Data keys are settled in the background.
        std::thread::sleep(Duration::from_millis(500));
        ServedStore { site, ticket, etcd, plain }
    }

    /// The ticket as machines without TLS have it.
    fn ticket_without_tls(&self, form: CallForm) -> Arc<BootTicket> {
        let credential = Credential::parse(&self.ticket.credential().to_text()).unwrap();
        let url = format!("http://127.0.0.1:{}", self.plain);
        let ticket = BootTicket::new(vec![url], None, credential).unwrap();
        Arc::new(match form {
            CallForm::Bearer => ticket,
            CallForm::Sealed => ticket.with_answer_key(self.ticket.location().answer_key().unwrap()),
        })
    }

    /// The size of the store's file and its log.
    fn bytes(&self) -> u64 {
        let size =
            |name| std::fs::metadata(self.site.servers[0].folder().join(name)).map_or(0, |found| found.len());
        size("store.db") + size("store.db-wal")
    }

    fn pids(&self) -> Vec<u32> {
        self.site.servers.iter().map(site::Server::pid).collect()
    }
}

fn run_herd(args: &HerdArgs) {
    let filled = ServedStore::new(args.store, args.servers, args.secrets);
    let ticket = match args.without_tls {
        Some(form) => filled.ticket_without_tls(form),
        None => Arc::clone(&filled.ticket),
    };
    for _ in 0..args.rounds {
        let arrival = match (args.rate, args.at_most) {
            (Some(rate), _) => Arrival::PerSecond(rate),
            (None, Some(most)) => Arrival::AtMost(most),
            (None, None) => Arrival::AtOnce,
        };
        let etcd = filled.etcd.as_ref().map(Cluster::pids).unwrap_or_default();
        let cost = || [&filled.pids(), &etcd].map(|pids| server_process::cpu(pids));
        let (before, bytes) = (cost(), filled.bytes());
        let herd = Herd {
            tickets: vec![Arc::clone(&ticket)],
            agents: args.agents,
            arrival,
            deadline: Duration::from_secs(args.deadline),
            entries: u32::try_from(args.secrets).unwrap(),
        };
        let outcome = herd.run();
        let (after, grown) = (cost(), filled.bytes().saturating_sub(bytes));
        if args.servers == 1 && filled.etcd.is_none() {
            println!("{} bytes of the store's file for each boot", grown / args.agents as u64);
        }
        print_outcome(&outcome, [after[0] - before[0], after[1] - before[1]], &filled.pids());
    }
}

fn print_outcome(outcome: &Outcome, [servers, etcd]: [Duration; 2], pids: &[u32]) {
    let booted = outcome.times.len();
    let ms = |share| outcome.percentile(share).as_secs_f64() * 1e3;
    println!(
        "{booted} booted in {:.2} s: {:.0}/s; p50 {:.0} ms, p99 {:.0} ms, slowest {:.0} ms; put off {}; \
         processor time of a boot {:.0} µs, and of etcd {:.0} µs; peak memory {}",
        outcome.wall.as_secs_f64(),
        outcome.rate(),
        ms(0.5),
        ms(0.99),
        ms(1.0),
        outcome.retries,
        servers.as_secs_f64() * 1e6 / booted.max(1) as f64,
        etcd.as_secs_f64() * 1e6 / booted.max(1) as f64,
        pids.iter()
            .map(|pid| format!("{:.0} MiB", server_process::peak_mib(*pid)))
            .collect::<Vec<_>>()
            .join(", "),
    );
    for (why, count) in &outcome.failed {
        println!("  {count} failed: {why}");
    }
}

/// Measures in turns: nginx, boots with the same key exchange, and boots with the hybrid key exchange of agents.
fn run_nginx(args: &NginxArgs) {
    let filled = ServedStore::new(ByteStore::Sqlite, 1, args.secrets);
    let server = &filled.site.servers[0];
    let nginx = Nginx::start(&server.folder().join("tls"), harness::free_port());
    let boot = nginx::boot_request(&filled.ticket);
    let kinds = [
        ("nginx, 4 KiB file, X25519", nginx.port, nginx.request(), nginx.pids(), false),
        ("dropsafe, boot, X25519", server.port(), boot.clone(), vec![server.pid()], false),
        ("dropsafe, boot, X25519MLKEM768", server.port(), boot, vec![server.pid()], true),
    ];
    let mut rates = kinds.each_ref().map(|_| Vec::new());
    let mut costs = rates.clone();
    for _ in 0..args.rounds {
        for (index, (_, port, request, pids, hybrid)) in kinds.iter().enumerate() {
            let before = server_process::cpu(pids);
            let load = nginx::Load {
                port: *port,
                request: request.clone(),
                requests: args.requests,
                at_once: args.at_once,
                hybrid: *hybrid,
            };
            let elapsed = load.run();
            let requests = args.requests as f64;
            rates[index].push(requests / elapsed.as_secs_f64());
            costs[index].push((server_process::cpu(pids) - before).as_secs_f64() * 1e6 / requests);
        }
    }
    println!("{} rounds of {} requests, {} at once; medians", args.rounds, args.requests, args.at_once);
    let first = median(&rates[0]);
    for (index, (name, ..)) in kinds.iter().enumerate() {
        let (rate, cost) = (median(&rates[index]), median(&costs[index]));
        println!(
            "{name:32} {rate:6.0}/s  {:5.2} of the first  {cost:5.0} µs of processor time each",
            rate / first
        );
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
