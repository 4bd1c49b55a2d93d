//! `--mask`: values do not show in what the workload prints, and nothing else changes about it.
//!
//! - [`delivery`]: which values are masked, and what that takes.
//! - [`streams`]: readers that pause or leave, prompts, and output of every shape.

mod delivery;
mod streams;

use std::process::{Command, Stdio};

use super::supervise::{holds, writable};
use super::workload::{Running, exec, lives, within};

const VALUE: &str = "hunter2-is-a/\"long\" value é";

fn masked(script: &str) -> (tempfile::NamedTempFile, Command) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        format!("secrets: {{token: '{VALUE}', pem: \"-----BEGIN-----\\nAAAABBBB\\n-----END-----\\n\"}}\n"),
    )
    .unwrap();
    let mut command = exec(&["--init", "--mask", "--grace", "200ms"], &["bash", "-c", script]);
    command.env("DROPSAFE_CONFIG", file.path());
    (file, command)
}

fn printed(script: &str) -> (String, String, Option<i32>) {
    let (_file, mut command) = masked(script);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn values_are_masked_in_both_streams_and_the_status_is_passed_on() {
    let (out, err, code) =
        printed("echo \"a $TOKEN b\"; echo \"c $TOKEN\" >&2; printf '%s' \"$PEM\"; exit 7");
    assert_eq!((out.as_str(), err.as_str(), code), ("a *** b\n***", "c ***\n", Some(7)));
}

#[test]
fn encoded_values_and_single_lines_are_masked() {
    let (out, ..) = printed(
        "printf %s \"$TOKEN\" | base64 -w0; echo; printf 'user:%s' \"$TOKEN\" | base64 -w0; echo; echo x AAAABBBB y",
    );
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "***");
    assert!(lines[1].len() < 14 && lines[1].contains("***"), "{}", lines[1]);
    assert_eq!(lines[2], "x *** y");
}

/// The process that masks, below a supervisor.
fn filter(pid: u32) -> i32 {
    within(std::time::Duration::from_secs(10), || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        let mut children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        children.find(|pid: &i32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "dropsafe-mask\n")
        })
    })
}

#[test]
fn hexadecimal_is_masked_in_both_cases() {
    let (out, ..) =
        printed("printf %s \"$TOKEN\" | od -An -v -tx1 | tr -d ' \\n' | tee /dev/fd/2 | tr a-f A-F; echo");
    assert_eq!(out, "***\n");
    let (_, err, _) = printed("printf %s \"$TOKEN\" | od -An -v -tx1 | tr -d ' \\n' >&2");
    assert_eq!(err, "***");
}

#[test]
fn pieces_are_put_together_and_partial_lines_come_at_once() {
    let script =
        "printf 'password: '; read x; printf '%s' \"${TOKEN:0:5}\"; printf '%s' \"${TOKEN:5}\"; echo; read x";
    let (_file, mut command) = masked(script);
    let mut running = Running::start(&mut command);
    assert_eq!(running.bytes("password: ".len()), b"password: ");
    running.say("");
    assert_eq!(running.line(), "***");
    running.say("");
    assert!(running.wait().success());
}

#[test]
fn order_is_preserved_if_both_streams_are_one() {
    let (_file, command) = masked("for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done");
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    let output = shell.stdout(Stdio::piped()).output().unwrap();
    let wanted: String = (1..=5).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
}

#[test]
fn everything_arrives_though_the_reader_is_slow_and_there_is_a_straggler() {
    let (out, _, code) =
        printed("seq 1 200000; echo \"$TOKEN\"; ( setsid sh -c 'trap \"\" TERM; sleep 100' & )");
    assert_eq!(code, Some(0));
    assert_eq!(out.lines().count(), 200_001);
    assert!(out.ends_with("200000\n***\n"));
}

#[test]
fn a_reader_that_leaves_ends_the_writer() {
    let (_file, mut command) = masked("trap '' PIPE; trap - PIPE; yes \"$TOKEN\"");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn the_supervisor_holds_no_value_and_the_filter_outlives_the_workload_only_to_finish() {
    let (_file, mut command) = masked("echo ready; read x");
    let mut running = Running::start(&mut command);
    assert_eq!(running.line(), "ready");
    let pid = running.pid().as_raw();
    let memory = writable(pid);
    assert!(!memory.is_empty() || !nix::unistd::getuid().is_root());
    assert!(!memory.iter().any(|memory| holds(memory, VALUE.as_bytes())), "the supervisor holds a value");
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(children.len(), 2);
    running.say("");
    assert!(running.wait().success());
    assert!(!children.into_iter().any(lives));
}

#[test]
fn the_agents_own_messages_are_not_lost() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = exec(&["--init", "--mask"], &["/nonexistent"]);
    let output = command.env("DROPSAFE_CONFIG", file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no such program"));
}
