//! Job control without a terminal: a shell, or whoever acts like one, stops and continues the agent as its job.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::workload::{Running, child, exec, kill, state, within};

const TTIN: i32 = Signal::SIGTTIN as i32;
const STOPS: [i32; 3] = [Signal::SIGTSTP as i32, TTIN, Signal::SIGTTOU as i32];
/// Prints what it gets instead of being stopped. It waits without a child, which a signal for the group would stop.
const HANDLES: &str =
    "for n in 10 18 20 21 22; do trap \"echo $n\" $n; done; echo ready; while :; do read -t 0.02; done";

#[track_caller]
fn until_stopped(pids: &[Pid], stopped: bool) {
    within(Duration::from_secs(10), || pids.iter().all(|pid| (state(*pid) == 'T') == stopped).then_some(()));
}

#[test]
fn a_request_to_stop_stops_both_and_sigcont_continues_both() {
    let mut running = Running::start(&mut exec(&["--init"], &["sh", "-c", "echo ready; exec sleep 100"]));
    assert_eq!(running.line(), "ready");
    let both = [running.pid(), child(running.pid())];
    for number in STOPS {
        kill(running.pid(), number);
        until_stopped(&both, true);
        running.signal(Signal::SIGCONT);
        until_stopped(&both, false);
    }
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(143));
}

#[test]
fn a_workload_that_handles_the_request_gets_it_and_the_job_counts_as_stopped() {
    let mut running = Running::start(&mut exec(&["--init", "--grace", "0s"], &["bash", "-c", HANDLES]));
    assert_eq!(running.line(), "ready");
    for number in STOPS {
        kill(running.pid(), number);
        assert_eq!(running.line(), number.to_string());
        until_stopped(&[running.pid()], true);
        running.signal(Signal::SIGCONT);
        assert_eq!(running.line(), "18");
        until_stopped(&[running.pid()], false);
    }
}

#[test]
fn with_the_group_every_process_stops_whether_it_handles_the_request_or_not() {
    let script = format!("sleep 100 & {HANDLES}");
    let flags = ["--init", "--group", "--grace", "0s"];
    let mut running = Running::start(&mut exec(&flags, &["bash", "-c", &script]));
    assert_eq!(running.line(), "ready");
    let workload = child(running.pid());
    let below = std::fs::read_to_string(format!("/proc/{workload}/task/{workload}/children")).unwrap();
    let sleeps = Pid::from_raw(below.split(' ').next().unwrap().parse().unwrap());
    let all = [running.pid(), workload, sleeps];
    for number in STOPS {
        kill(running.pid(), number);
        until_stopped(&all, true);
        running.signal(Signal::SIGCONT);
        assert_eq!(running.line(), "18");
        until_stopped(&all, false);
    }
}

#[test]
fn a_service_gets_these_signals_for_purposes_of_its_own_and_is_not_stopped() {
    for group in [&[][..], &["--group"]] {
        let flags = [&["--init", "--grace", "0s"], group].concat();
        let agent = exec(&flags, &["bash", "-c", HANDLES]);
        // The leader of a session, as a service manager and a container runtime start it.
        let mut command = Command::new("setsid");
        command.arg(agent.get_program()).args(agent.get_args());
        let mut running = Running::start(&mut super::workload::without_store(command));
        assert_eq!(running.line(), "ready");
        for number in STOPS {
            kill(running.pid(), number);
            assert_eq!(running.line(), number.to_string());
            // A stopped supervisor would pass nothing on.
            running.signal(Signal::SIGUSR1);
            assert_eq!(running.line(), "10");
        }
    }
}

#[test]
fn a_script_with_job_control_sees_its_job_stopped_and_brings_it_back() {
    let agent = exec(&["--init"], &["sh", "-c", "sleep 1; exit 6"]);
    let script = "set -m; \"$@\" & sleep 0.4; kill -TSTP %1; while [ -n \"$(jobs -r)\" ]; do sleep 0.02; done; jobs -s | cut -c1-12; \
        fg >/dev/null; echo $?";
    let mut command = super::workload::without_store(Command::new("bash"));
    command.args(["-c", script, "bash"]).arg(agent.get_program()).args(agent.get_args());
    let mut running = Running::start(&mut command);
    assert_eq!(running.line(), "[1]+  Stopped".get(..12).unwrap());
    assert_eq!(running.line(), "6");
}
