//! Signals, statuses, masks, dispositions and terminals pass through `exec --init` as if nobody stood between.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::workload::{Running, agent, exec, output, without_store};

/// Prints the number of each signal it gets.
const TRAPS: &str = "for n in $(seq 1 64); do trap \"echo $n\" $n 2>/dev/null; done; \
    sleep 1000 & trap \"kill -9 $! 2>/dev/null\" EXIT; echo ready; while :; do wait $!; done";

#[test]
fn all_256_statuses_come_through() {
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                for code in (0..=255).filter(|code| code % 4 == part) {
                    let (_, status) = output(&["--init"], &["sh", "-c", &format!("exit {code}")]);
                    assert_eq!(status.code(), Some(code));
                }
            });
        }
    });
}

#[test]
fn a_workload_that_a_signal_ends_gives_128_and_its_number() {
    for number in [1, 2, 3, 6, 9, 11, 13, 15, 34, 64] {
        let (_, status) = output(&["--init"], &["sh", "-c", &format!("kill -{number} $$")]);
        assert_eq!(status.code(), Some(128 + number));
    }
}

#[test]
fn what_cannot_be_started_is_told_as_a_shell_tells_it() {
    assert_eq!(output(&["--init"], &["/nonexistent"]).1.code(), Some(127));
    assert_eq!(output(&["--init"], &["/dev/null"]).1.code(), Some(126));
    let denied = exec(&["--init"], &["true"]).env("DROPSAFE_ON_OUTAGE", "fail").output().unwrap();
    assert_eq!(denied.status.code(), Some(69));
}

#[test]
fn every_signal_is_passed_on_but_those_of_the_supervisor_itself() {
    let mut running = Running::start(&mut exec(&["--init", "--grace", "0s"], &["bash", "-c", TRAPS]));
    assert_eq!(running.line(), "ready");
    // KILL and STOP cannot be passed on, CHLD is the supervisor's own, the synchronous ones end it; 32 to 34 belong to C libraries.
    for number in (1..=64).filter(|n| ![4, 5, 7, 8, 9, 11, 17, 19, 32, 33, 34].contains(n)) {
        let sent = Command::new("bash").arg("-c").arg(format!("kill -{number} {}", running.pid())).status();
        assert!(sent.unwrap().success());
        assert_eq!(running.line(), number.to_string());
    }
}

#[test]
fn a_group_gets_what_is_for_it_and_a_workload_alone_what_is_for_that() {
    let script = "trap 'echo outer' USR1; bash -c 'trap \"echo inner; exit\" USR1; echo ready; while :; do sleep 0.02; done' & \
        while :; do sleep 0.02; done";
    let mut group =
        Running::start(&mut exec(&["--init", "--group", "--grace", "0s"], &["bash", "-c", script]));
    assert_eq!(group.line(), "ready");
    group.signal(Signal::SIGUSR1);
    let mut both = [group.line(), group.line()];
    both.sort();
    assert_eq!(both, ["inner", "outer"]);

    let mut alone = Running::start(&mut exec(&["--init", "--grace", "0s"], &["bash", "-c", script]));
    assert_eq!(alone.line(), "ready");
    alone.signal(Signal::SIGUSR1);
    assert_eq!(alone.line(), "outer");
    alone.signal(Signal::SIGUSR1);
    assert_eq!(alone.line(), "outer");
}

#[test]
fn a_signal_while_it_still_fetches_ends_it_at_once() {
    for (signal, code) in
        [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGHUP, 129), (Signal::SIGUSR1, 138)]
    {
        let mut command = exec(&["--init"], &["true"]);
        command.env("DROPSAFE_DEADLINE", "1h").stderr(Stdio::null());
        let mut running = Running::start(&mut command);
        std::thread::sleep(std::time::Duration::from_millis(300));
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(code));
    }
}

/// `SigBlk` and `SigIgn` of the program that a shell with these traps starts, with and without the agent between.
fn seen(before: &str, through: &[&str]) -> Vec<String> {
    let agent = agent();
    let between =
        if through.is_empty() { String::new() } else { format!("{agent} exec {} --", through.join(" ")) };
    let script = format!("{before} {between} grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
    let output = without_store(Command::new("bash")).arg("-c").arg(script).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_workload_finds_the_mask_and_the_ignored_signals_that_the_agent_found() {
    for before in ["", "trap '' PIPE;", "trap '' HUP CHLD;", "trap '' PIPE TERM INT USR2 TTOU CHLD;"] {
        let plain = seen(before, &[]);
        assert_eq!(plain.len(), 3);
        assert_eq!(seen(before, &["--init"]), plain, "{before} --init");
        assert_eq!(seen(before, &["--init", "--group"]), plain, "{before} --group");
        let alone = without_store(Command::new("bash"))
            .arg("-c")
            .arg(format!("{before} {} exec -- grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status", agent()))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(alone.stdout).unwrap().lines().collect::<Vec<_>>(),
            plain,
            "{before} exec"
        );
    }
}

#[test]
fn a_blocked_signal_stays_blocked() {
    // Python is the shortest program that can block one; without it, nothing is shown here.
    let script = "import os,signal,sys; signal.pthread_sigmask(signal.SIG_BLOCK,[signal.SIGUSR1,40]); os.execv(sys.argv[1],sys.argv[1:])";
    let agent = agent();
    let run = |arguments: &[&str]| {
        let output =
            without_store(Command::new("python3")).args(["-c", script]).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.starts_with("SigBlk")).map(str::to_owned)
    };
    let plain = run(&["/bin/cat", "/proc/self/status"]);
    assert_eq!(run(&[&agent, "exec", "--init", "--", "cat", "/proc/self/status"]), plain);
    assert_eq!(run(&[&agent, "exec", "--", "cat", "/proc/self/status"]), plain);
}
