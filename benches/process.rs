//! Compares whole processes within one run: the agent from its start to the workload's exit, `curl` with the same TLS 1.3
//! exchange and the same store, `floor` (the smallest program with std and rustls that makes the exchange and then becomes
//! the workload), and the workload alone.
//!
//!     tests/run policy            # builds the static agent: target/agent-alone/…/dropsafe-agent
//!     (cd benches/floor && CC_x86_64_unknown_linux_musl=musl-gcc cargo build --release --target x86_64-unknown-linux-musl)
//!     DROPSAFE_STATIC_AGENT=… DROPSAFE_FLOOR=… cargo bench --bench process
//!
//! Figures are medians. Machines are noisy, so compare the ratios.

#![allow(clippy::disallowed_methods, reason = "a bench of processes starts processes")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 200;
const SECRETS: usize = 20;

struct Store {
    process: Child,
    url: String,
    ticket: String,
    _inputs: tempfile::TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start_store() -> Store {
    let inputs = tempfile::tempdir().unwrap();
    let file = inputs.path().join("shared.env");
    let lines: String =
        (0..SECRETS).map(|n| format!("BENCH_SECRET_{n}=value-of-thirty-two-bytes-{n:06}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_dropsafe"))
        .arg("dev")
        .arg("--shared")
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut field = |name: &str| {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).unwrap().to_owned()
    };
    let (url, _token, ticket) = (field("DROPSAFE_URL"), field("DROPSAFE_TOKEN"), field("DROPSAFE_TICKET"));
    Store { process, url, ticket, _inputs: inputs }
}

fn time(command: &mut Command) -> Duration {
    let started = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let elapsed = started.elapsed();
    assert!(status.success(), "{command:?} ended with {status}");
    elapsed
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() {
    // `cargo test --benches` runs this once, to check that it works.
    let runs = if std::env::args().any(|argument| argument == "--bench") { RUNS } else { 1 };
    let agent = std::env::var_os("DROPSAFE_STATIC_AGENT")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_dropsafe-agent")), PathBuf::from);
    let store = start_store();
    let credential =
        dropsafe::domain::ticket::BootTicket::parse(&store.ticket).unwrap().credential().to_text();
    let address = store.url.split('#').next().unwrap().trim_end_matches('/').to_owned();
    let have_curl =
        Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());

    let floor = std::env::var_os("DROPSAFE_FLOOR");

    let (mut with_agent, mut with_floor, mut with_curl, mut alone) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        with_agent.push(time(
            Command::new(&agent).args(["exec", "--", "true"]).env("DROPSAFE_TICKET", &store.ticket),
        ));
        if let Some(floor) = &floor {
            let host = address.trim_start_matches("https://");
            with_floor.push(time(Command::new(floor).args([host, &*credential, "true"])));
        }
        if have_curl {
            with_curl.push(time(
                Command::new("curl")
                    .args(["--silent", "--fail", "--insecure", "--tlsv1.3", "--http1.1", "--request", "POST"])
                    .args(["--header", &format!("Authorization: Bearer {}", &*credential)])
                    .args(["--header", "Content-Type: application/json", "--data", "{}"])
                    .arg(format!("{address}/v1/boot")),
            ));
        }
        alone.push(time(&mut Command::new("true")));
    }
    let (with_agent, alone) = (median(with_agent), median(alone));
    println!("{runs} runs, {SECRETS} secrets, medians");
    println!("workload alone   {alone:8.2} ms");
    println!("agent + workload {with_agent:8.2} ms");
    if floor.is_some() {
        let with_floor = median(with_floor);
        println!("floor + workload {with_floor:8.2} ms");
        println!("agent / floor    {:8.2}", with_agent / with_floor);
    }
    if have_curl {
        let with_curl = median(with_curl);
        println!("curl, same exchange, no workload {with_curl:8.2} ms");
        println!("agent / curl     {:8.2}", with_agent / with_curl);
    }
}
