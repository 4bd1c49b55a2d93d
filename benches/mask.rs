//! The filter of `exec --mask` from outside: the throughput of a log that `cat` prints and the latency of one line, each beside
//! `cat` alone, and the memory of the filter.
//!
//!     DROPSAFE_STATIC_AGENT=… cargo bench --bench mask
//!
//! Figures are medians. The writer, the filter and this reader share the machine's processors.

#![allow(clippy::disallowed_methods, reason = "a bench of processes starts processes and looks at files")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../tests/boot/workload.rs"]
#[allow(dead_code, reason = "made for tests")]
mod workload;

const RUNS: usize = 5;
/// The size of the log, which is printed several times.
const LOG: usize = 64 << 20;
const TIMES: usize = 16;
const LINES: usize = 2000;

/// Lines as those of a web server and of a program that logs JSON. Values are not in them.
fn log_text() -> String {
    let mut text = String::with_capacity(LOG + 512);
    let mut number = 1_u32;
    while text.len() < LOG {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (a, b) = (number >> 24, number >> 12 & 0xfff);
        let _ = writeln!(
            text,
            "10.0.{a}.{} - - [29/Nov/2026:12:{:02}:{:02} +0000] \"GET /api/v1/items/{b}?page={a}&q=a%20b HTTP/1.1\" 200 {number} \
             \"https://shop.example.com/items\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\"",
            b & 0xff,
            a % 60,
            b % 60
        );
        let _ = writeln!(
            text,
            "{{\"level\":\"info\",\"time\":\"2026-11-29T12:00:{:02}.{b:04}Z\",\"msg\":\"request handled\",\"id\":\"{number:08x}\",\
             \"path\":\"\\/api\\/v1\\/items\",\"duration_ms\":{a}}}",
            a % 60
        );
    }
    text
}

/// Settings with so many secrets of usual kinds.
fn settings(folder: &Path, count: usize) -> std::path::PathBuf {
    let mut text = String::from("secrets:\n");
    for n in 0..count {
        let value = match n % 4 {
            0 => format!("sk-proj-{n:04}-uV3kR8pXw1QmZt6YbNc4HsJ9dLfGa2eO5iTyKqWxEzCvBnMrPlSdFgHj"),
            1 => format!("postgres://app:uV3kR8pXw1{n:04}@db.internal:5432/shop"),
            2 => format!("https://hooks.example.com/services/T{n:04}/B0000/XXXXXXXX"),
            _ => format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyLXh4In0.{n:04}dLfGa2eO5iTyKqWxEz"),
        };
        let _ = writeln!(text, "  SECRET_{n}: '{value}'");
    }
    let path = folder.join(format!("{count}.yaml"));
    std::fs::write(&path, text).unwrap();
    path
}

fn masked(settings: &Path, command: &[&str]) -> Command {
    let mut masked = workload::exec(&["--init", "--mask"], command);
    masked.env("DROPSAFE_CONFIG", settings);
    masked
}

fn alone(command: &[&str]) -> Command {
    let mut alone = Command::new(command[0]);
    alone.args(&command[1..]);
    alone
}

/// MB/s
fn throughput(mut command: Command, expected: usize) -> f64 {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut buffer, mut total) = (vec![0; 64 << 10], 0);
    loop {
        match out.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count,
        }
    }
    assert_eq!((total, child.wait().unwrap().success()), (expected, true));
    total as f64 / 1e6 / started.elapsed().as_secs_f64()
}

/// Microseconds from a line to its echo, and the child, which still runs.
fn latency(mut command: Command, lines: usize) -> (f64, Child) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut times: Vec<Duration> = (0..lines)
        .map(|n| {
            let started = Instant::now();
            writeln!(input, "a line of a log with the number {n}").unwrap();
            line.clear();
            output.read_line(&mut line).unwrap();
            started.elapsed()
        })
        .collect();
    times.sort();
    child.stdin = Some(input);
    (times[lines / 2].as_secs_f64() * 1e6, child)
}

/// The most memory that the filter below a supervisor has had, in KiB.
fn filter_memory(supervisor: &Child) -> String {
    let pid = supervisor.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let statuses = children
        .split_whitespace()
        .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap());
    let filter = statuses.into_iter().find(|status| status.starts_with("Name:\tdropsafe-mask\n")).unwrap();
    filter.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    // `cargo test --benches` runs this once, to check that it works.
    let (runs, times, lines) = if std::env::args().any(|argument| argument == "--bench") {
        (RUNS, TIMES, LINES)
    } else {
        (1, 1, 20)
    };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let text = log_text();
    std::fs::write(&log, &text).unwrap();
    let cat: Vec<&str> =
        std::iter::once("cat").chain(std::iter::repeat_n(log.to_str().unwrap(), times)).collect();
    let expected = text.len() * times;
    println!("{runs} runs of {expected} bytes, medians");
    let bare = median((0..runs).map(|_| throughput(alone(&cat), expected)).collect());
    println!("cat alone            {bare:8.0} MB/s");
    for count in [1, 20, 200] {
        let settings = settings(folder.path(), count);
        let rate = median((0..runs).map(|_| throughput(masked(&settings, &cat), expected)).collect());
        println!("{count:4} secrets masked  {rate:8.0} MB/s");
    }
    let settings = settings(folder.path(), 20);
    for (name, command) in
        [("cat alone", alone(&["cat"])), ("20 secrets masked", masked(&settings, &["cat"]))]
    {
        let is_masked = name != "cat alone";
        let (time, mut child) = latency(command, lines);
        let memory = if is_masked {
            format!(", at most {} in the filter", filter_memory(&child))
        } else {
            String::new()
        };
        println!("a line through {name}: {time:.0} µs{memory}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
