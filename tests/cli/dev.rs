//! `dropsafe dev`: the demonstration, exit statuses, signals, and the three lines.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::site::{DROPSAFE, Ran, bare, feed, signal};

#[test]
fn the_demonstration_shows_every_rule_and_no_value() {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(DROPSAFE)
        .args(["dev", "--shared", "examples/demo/shared.env", "--private", "examples/demo/private.env"])
        .args(["--", "examples/demo/workload.sh"])
        .current_dir(root)
        .output()
        .unwrap();
    let ran = Ran::of(output).ok();
    let answers: Vec<_> = ran.out.lines().map(|line| (&line[..28], &line[29..39])).collect();
    assert!(answers.contains(&("OPENAI_API_KEY              ", "given     ")), "{}", ran.out);
    assert!(answers.contains(&("LEGACY_ADMIN_PASSWORD       ", "not given ")), "{}", ran.out);
    for file in ["shared.env", "private.env"] {
        let text = std::fs::read_to_string(format!("{root}/examples/demo/{file}")).unwrap();
        let lines: String =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let values: Vec<_> = lines.split('\'').skip(1).step_by(2).collect();
        assert!(values.len() >= 2, "{file}");
        for value in values {
            assert!(!format!("{}{}", ran.out, ran.err).contains(value), "{}", ran.out);
        }
    }
}

#[test]
fn it_ends_as_its_workload_does() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = bare(&home);
        command.args(["dev", "--"]).args(arguments);
        Ran::of(feed(command, b"input\n"))
    };
    assert_eq!(run(&["sh", "-c", "exit 7"]).code, Some(7));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).code, Some(137));
    assert_eq!(run(&["no-such-program"]).code, Some(127));
    assert_eq!(run(&["/etc/passwd"]).code, Some(126));
    assert_eq!(run(&["cat"]).out, "input\n");
    // Nothing of this program's or the agent's own reaches the workload.
    assert!(!run(&["env"]).out.contains("DROPSAFE"));
    // An argument is passed on as it is.
    assert_eq!(run(&["printf", "%s|", "a b", "", "--help", "*"]).out, "a b||--help|*|");
}

#[test]
fn signals_reach_the_workload() {
    let home = tempfile::tempdir().unwrap();
    for (which, code) in [(Signal::SIGTERM, 4), (Signal::SIGINT, 5), (Signal::SIGHUP, 6)] {
        let script = "trap 'exit 4' TERM; trap 'exit 5' INT; trap 'exit 6' HUP; echo ready; sleep 60 & wait";
        let mut child =
            bare(&home).args(["dev", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        signal(&child, which);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{which}");
    }
}

#[test]
fn without_a_workload_it_prints_three_lines_and_serves() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("s.env"), "greeting=hello\n").unwrap();
    let mut child = bare(&home)
        .args(["dev", "--shared", "s.env"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(child.stdout.as_mut().unwrap()).lines().take(3).map(Result::unwrap).collect();
    let named: Vec<_> = lines.iter().map(|line| line.split_once('=').unwrap()).collect();
    assert_eq!(
        named.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["DROPSAFE_URL", "DROPSAFE_TOKEN", "DROPSAFE_TICKET"]
    );

    let mut status = bare(&home);
    status.args(["status"]).envs(named.iter().copied());
    assert!(Ran::of(feed(status, b"")).ok().out.contains("dev (admin of default)"));
    for _ in 0..3 {
        let mut agent = Command::new(super::site::AGENT);
        agent.env_clear().env("PATH", "/usr/bin:/bin").envs(named.iter().copied());
        agent.args(["exec", "--", "printenv", "GREETING"]);
        assert_eq!(Ran::of(feed(agent, b"")).ok().out, "hello\n");
    }
    signal(&child, Signal::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}
