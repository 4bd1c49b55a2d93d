//! The process that stays: it reaps, clears up, holds nothing and is small.

use std::time::{Duration, Instant};

use super::workload::{Running, exec, lives, output, ticket, within};

fn children(of: i32) -> usize {
    std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap().split_whitespace().count()
}

#[test]
fn a_thousand_orphans_are_reaped_while_the_workload_runs() {
    let script = "i=0; while [ $i -lt 1000 ]; do ( ( exec true ) & ); i=$((i+1)); done; echo done; read line";
    let mut running = Running::start(&mut exec(&["--init"], &["sh", "-c", script]));
    assert_eq!(running.line(), "done");
    within(Duration::from_secs(20), || (children(running.pid().as_raw()) == 1).then_some(()));
    running.say("");
    assert!(running.wait().success());
}

#[test]
fn a_daemon_of_the_workload_is_adopted_and_ended_with_it() {
    let script = "( setsid sh -c 'echo $$; exec sleep 1000' & ); read line; exit 7";
    let mut running = Running::start(&mut exec(&["--init"], &["sh", "-c", script]));
    let daemon: i32 = running.line().parse().unwrap();
    assert!(lives(daemon));
    within(Duration::from_secs(5), || (children(running.pid().as_raw()) == 2).then_some(()));
    running.say("");
    assert_eq!(running.wait().code(), Some(7));
    assert!(!lives(daemon));
}

#[test]
fn what_ignores_term_has_a_grace_and_is_killed_with_all_below_it() {
    let script =
        "( setsid sh -c 'trap \"\" TERM; sleep 1000 & echo $$ $!; wait; wait' & ); read line; exit 3";
    let mut running = Running::start(&mut exec(&["--init", "--grace", "300ms"], &["sh", "-c", script]));
    let pids: Vec<i32> = running.line().split(' ').map(|pid| pid.parse().unwrap()).collect();
    let start = Instant::now();
    running.say("");
    assert_eq!(running.wait().code(), Some(3));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(pids.iter().all(|pid| !lives(*pid)));
}

#[test]
fn a_straggler_that_ends_in_its_grace_is_not_killed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "( setsid sh -c 'trap \"sleep 0.2; echo bye >{}; exit\" TERM; echo ready; while :; do sleep 0.02; done' & ); read line",
        file.path().display()
    );
    let mut running = Running::start(&mut exec(&["--init"], &["sh", "-c", &script]));
    assert_eq!(running.line(), "ready");
    running.say("");
    assert!(running.wait().success());
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "bye\n");
}

#[test]
fn processes_of_others_are_left_alone() {
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    assert!(output(&["--init", "--grace", "50ms"], &["sh", "-c", "setsid sleep 1000 & exit 0"]).1.success());
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn the_supervisor_holds_no_ticket_and_little_memory() {
    let mut running = Running::start(&mut exec(&["--init"], &["sh", "-c", "echo ready; read line"]));
    assert_eq!(running.line(), "ready");
    let pid = running.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Name:\tdropsafe-agent\n") && status.contains("Threads:\t1\n"), "{status}");
    // As root one may look all the same.
    let secret = ticket();
    if let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) {
        assert!(!holds(&environment, secret.as_bytes()));
    }
    for memory in writable(pid.as_raw()) {
        assert!(!holds(&memory, secret.as_bytes()), "the supervisor's memory holds the ticket");
    }
    if std::env::var_os("DROPSAFE_STATIC_AGENT").is_some() {
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let resident: u32 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(resident < 2048, "{line}");
    }
    running.say("");
    assert!(running.wait().success());
}

/// Whether any window of 16 bytes of `secret` is in `memory`.
pub fn holds(memory: &[u8], secret: &[u8]) -> bool {
    let windows: std::collections::BTreeSet<&[u8]> = secret.windows(16).collect();
    memory.windows(16).any(|window| windows.contains(window))
}

/// The writable memory of a process, as far as one may read it.
pub fn writable(pid: i32) -> Vec<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let Ok(memory) = std::fs::File::open(format!("/proc/{pid}/mem")) else { return Vec::new() };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let ranges =
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")));
    let range = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        memory.read_exact_at(&mut bytes, from).ok()?;
        Some(bytes)
    };
    ranges.filter_map(range).collect()
}
