//! The process that stays: it reaps, clears up, holds nothing and is small.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::place::Folder;
use super::workload::{Running, agent, exec, lives, output, ticket, within, without_store};

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
fn a_workload_that_ignores_term_is_killed_with_its_children_after_a_grace_period() {
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

/// Where nobody can see what is left, a process that holds the output kept the first process of a container for ever.
#[test]
fn without_proc_a_straggler_that_holds_the_masked_output_is_ended_too() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("a PID namespace (needs root)");
    }
    let mut command = without_store(Command::new("unshare"));
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs none /proc && exec \"$0\" exec --init --mask --grace 500ms -- sh -c 'sleep 1000 & echo out; exit 3'",
    );
    let start = Instant::now();
    let output = command.arg(agent()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"out\n");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Each process of a chain starts the next one and ends, so that none of a list of processes is there any more when it is killed.
#[test]
fn chains_of_processes_that_start_each_other_are_ended() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("a PID namespace (needs root)");
    }
    for flags in ["", "--mask"] {
        let mut command = without_store(Command::new("unshare"));
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg(format!(
            "mount -t tmpfs none /run && exec \"$0\" exec --init {flags} --grace 0s -- sh -c 'trap \"\" TERM
             chain() {{ sleep 0.01; chain & }}; for n in 1 2 3 4 5; do chain & done; exit 4'"
        ));
        let start = Instant::now();
        let output = command.arg(agent()).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(start.elapsed() < Duration::from_secs(8), "{flags} {:?}", start.elapsed());
    }
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
fn during_the_grace_period_signals_go_to_those_who_are_left_and_a_second_sigterm_ends_it() {
    let script = "( setsid bash -c 'for n in 10 15; do trap \"echo got $n\" $n; done; echo ready; \
        while :; do sleep 0.02; done' & ); read line";
    let mut running = Running::start(&mut exec(&["--init", "--grace", "50s"], &["sh", "-c", script]));
    assert_eq!(running.line(), "ready");
    let start = Instant::now();
    running.say("");
    assert_eq!(running.line(), "got 15", "the supervisor's own");
    running.signal(Signal::SIGUSR1);
    assert_eq!(running.line(), "got 10");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.line(), "got 15");
    assert!(running.child.try_wait().unwrap().is_none(), "a first SIGTERM is not a second one");
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_sigterm_before_the_grace_period_counts() {
    let script = "( setsid bash -c 'trap \"echo got 15\" TERM; echo ready; while :; do sleep 0.02; done' & ); \
        trap 'exit 4' TERM; while :; do sleep 0.02; done";
    let mut running = Running::start(&mut exec(&["--init", "--grace", "50s"], &["bash", "-c", script]));
    assert_eq!(running.line(), "ready");
    let start = Instant::now();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.line(), "got 15");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(4));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// What a container's root has under Docker: no CAP_SYS_PTRACE.
const DOCKER: &str = "-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,\
    +net_bind_service,+sys_chroot,+kill,+audit_write";

#[test]
fn whoever_is_the_same_user_may_look_at_the_supervisor_and_use_its_output() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("capabilities like Docker's (needs root)");
    }
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.program("agent", std::fs::read(agent()).unwrap());
    for user in [&[][..], &["--reuid=65534", "--regid=65534", "--clear-groups"]] {
        let confined = || {
            let mut command = without_store(Command::new("setpriv"));
            command.arg("--bounding-set").arg(DOCKER.replace(' ', "")).args(user).current_dir("/");
            command
        };
        let mut start = confined();
        start.arg(&copy).args(["exec", "--init", "--", "sh", "-c", "echo ready; read line"]);
        let mut running = Running::start(start.stderr(Stdio::null()));
        assert_eq!(running.line(), "ready");
        // Whoever opens a pipe in /proc needs the right to it, and it belongs to the user that made it.
        nix::unistd::fchown(running.output(), Some(65534.into()), None).unwrap();
        let look = "cd /proc/$0 && tr -d '\\0' <environ | wc -c && readlink cwd root && ls root/ | grep -c proc && echo hello >fd/1";
        let mut looks = confined();
        looks.args(["sh", "-c", look]).arg(running.pid().to_string());
        let looks = looks.output().unwrap();
        let seen = String::from_utf8(looks.stdout).unwrap();
        assert_eq!(seen, "0\n/\n/\n1\n", "{user:?}: {}", String::from_utf8_lossy(&looks.stderr));
        assert_eq!(running.line(), "hello");
        running.say("");
        assert!(running.wait().success());
    }
}

#[test]
fn what_others_write_to_the_supervisors_output_is_masked_like_the_workloads() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("writing to another process's output (needs root)");
    }
    let folder = Folder::new();
    let config = folder.write("agent.yaml", "secrets: {token: hunter2-is-long}\n");
    let mut command = exec(&["--init", "--mask"], &["sh", "-c", "echo ready; read line"]);
    let mut running = Running::start(command.env("DROPSAFE_CONFIG", config).stderr(Stdio::null()));
    assert_eq!(running.line(), "ready");
    std::fs::write(format!("/proc/{}/fd/1", running.pid()), "a hunter2-is-long b\n").unwrap();
    assert_eq!(running.line(), "a *** b");
    running.say("");
    assert!(running.wait().success());
    assert_eq!(running.line(), "", "the end of the output");
}

#[test]
fn processes_of_others_are_left_alone() {
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    assert!(output(&["--init", "--grace", "50ms"], &["sh", "-c", "setsid sleep 1000 & exit 0"]).1.success());
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn the_supervisor_holds_no_ticket_and_little_memory() {
    let inherited = "a variable of the environment, secret or not";
    let mut command = exec(&["--init"], &["sh", "-c", "echo ready; read line"]);
    let mut running = Running::start(command.env("INHERITED", inherited));
    assert_eq!(running.line(), "ready");
    let pid = running.pid();
    if std::env::var_os("DROPSAFE_STATIC_AGENT").is_some() {
        // First, since a search of its memory brings pages back. The workload may be there before the supervisor has given its own up. The limits are what tini and dumb-init take, as
        // Debian has them.
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let kilobytes = |field: &str| -> u32 {
                let line = status.lines().find(|line| line.starts_with(field)).unwrap();
                line.split_whitespace().nth(1).unwrap().parse().unwrap()
            };
            if kilobytes("VmRSS:") < 1024 && kilobytes("RssAnon:") < 192 {
                break;
            }
            assert!(Instant::now() < end, "{} {}", kilobytes("VmRSS:"), kilobytes("RssAnon:"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let workload = super::workload::child(pid).as_raw();
    assert!(
        writable(workload).iter().any(|memory| holds(memory, inherited.as_bytes())),
        "the search finds nothing"
    );
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Name:\tdropsafe-agent\n") && status.contains("Threads:\t1\n"), "{status}");
    // As root one may look all the same.
    let secret = ticket();
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(environment.iter().all(|byte| *byte == 0), "{}", String::from_utf8_lossy(&environment));
    for memory in writable(pid.as_raw()) {
        assert!(!holds(&memory, secret.as_bytes()), "the supervisor's memory holds the ticket");
        assert!(!holds(&memory, inherited.as_bytes()), "the supervisor's memory holds a variable");
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
