//! The end of a boot: reported by the supervisor, and by `dropsafe-agent ended` for units. A store that is down or silent costs at most
//! 2 s, and no exit status.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use super::harness::{Ran, Site, bare};
use super::supervise::{holds, writable};
use super::workload::{Running, agent};

/// What a report may take, and what processes on a busy machine take besides.
const REPORT: Duration = Duration::from_millis(2000 + 4000);

/// A store, a ticket, and a folder in memory.
struct Ends {
    site: Site,
    ticket: String,
    folder: tempfile::TempDir,
}

impl Ends {
    fn new() -> Self {
        let site = Site::unlocked();
        site.set("key", "the value", &[]).ok();
        let ticket = site.ticket("admin", &[]);
        Self { site, ticket, folder: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = bare("env", self.site.folder.path());
        command.arg("--default-signal").arg(agent()).args(arguments);
        command.env("DROPSAFE_TICKET", &self.ticket).env("DROPSAFE_FILES_DIR", self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// As in a unit that runs `ended`.
    fn unit(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.agent(arguments).env("DROPSAFE_REPORT_END", "yes").output().unwrap())
    }

    fn ended(&self, code: &str, status: &str) -> Ran {
        let mut command = self.agent(&["ended"]);
        command.env_remove("DROPSAFE_TICKET").env("EXIT_CODE", code).env("EXIT_STATUS", status);
        Ran::of(command.output().unwrap())
    }

    /// The boots, newest first.
    fn boots(&self) -> Vec<Value> {
        self.site.cli(&["boots", "--json"]).ok().json().as_array().unwrap().clone()
    }

    fn last(&self) -> Value {
        self.boots()[0].clone()
    }

    /// Waits until the newest boot has this state: the report of a failure is not waited for.
    fn last_is(&self, state: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.last()["state"] != state {
            assert!(Instant::now() < until, "{}", self.last());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn note(&self) -> std::path::PathBuf {
        self.folder.path().join("end")
    }

    /// The credential in the note.
    fn credential(&self) -> String {
        fs::read_to_string(self.note()).unwrap().lines().nth(1).unwrap().to_owned()
    }
}

fn end(source: &str, status: Option<u8>, boot: &Value) {
    assert_eq!((&boot["state"], &boot["end"]["source"]), (&json!("ended"), &json!(source)), "{boot}");
    assert_eq!(boot["end"]["status"], json!(status), "{boot}");
}

#[test]
fn the_supervisor_reports_how_the_workload_ended() {
    let ends = Ends::new();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)] {
        let ran = ends.agent(&["exec", "--init", "--", "sh", "-c", script]).status().unwrap();
        assert_eq!(ran.code(), Some(status));
        let boot = ends.last();
        assert_eq!(boot["reports_end"], json!(true));
        end("agent", Some(status.try_into().unwrap()), &boot);
    }
    assert_eq!(ends.site.cli(&["boots", "--live", "--json"]).ok().json(), json!([]));
    // Without a supervisor nobody would report, and the store is not told so.
    assert!(ends.agent(&["exec", "--", "true"]).status().unwrap().success());
    assert_eq!(ends.last()["reports_end"], json!(false));
    assert!(!ends.note().exists());
}

#[test]
fn while_the_workload_runs_the_supervisor_has_the_note_in_a_pipe_alone() {
    let ends = Ends::new();
    let mut running = Running::start(&mut ends.agent(&[
        "exec",
        "--init",
        "--",
        "sh",
        "-c",
        "echo ready; read line; exit 3",
    ]));
    assert_eq!(running.line(), "ready");
    for memory in writable(running.pid().as_raw()) {
        for secret in ["dsb_", "the value", &ends.ticket] {
            assert!(!holds(&memory, secret.as_bytes()) && !contains(&memory, secret), "{}", &secret[..4]);
        }
    }
    ends.last_is("running");
    running.say("");
    assert_eq!(running.wait().code(), Some(3));
    end("agent", Some(3), &ends.last());
}

fn contains(memory: &[u8], text: &str) -> bool {
    // The words of the program itself have no letter behind this prefix.
    memory.windows(text.len() + 8).any(|window| {
        window.starts_with(text.as_bytes()) && window[text.len()..].iter().all(u8::is_ascii_alphanumeric)
    })
}

#[test]
fn a_boot_that_fails_after_the_release_is_a_failed_one() {
    let ends = Ends::new();
    for flags in [&[][..], &["--init"]] {
        let line = [&["exec"], flags, &["--", "true"]].concat();
        // A name that the store does not have is found after the release.
        let status = ends.agent(&line).env("WANTED", "dropsafe:nowhere").status().unwrap();
        assert_eq!(status.code(), Some(78));
        ends.last_is("failed");
    }
    let status = ends.agent(&["boot"]).env("DROPSAFE_FILE_GROUP", "nobody-has-this-group").status().unwrap();
    assert_eq!(status.code(), Some(78), "before the release");
    assert_eq!(ends.boots().len(), 2);
    assert_eq!(ends.site.cli(&["boots", "--live", "--json"]).ok().json(), json!([]));
}

#[test]
fn a_store_that_is_down_or_silent_costs_two_seconds_and_no_status() {
    let mut ends = Ends::new();
    let start = |ends: &Ends| {
        let script = "echo ready; read line; exit 42";
        let mut running = Running::start(&mut ends.agent(&["exec", "--init", "--", "sh", "-c", script]));
        assert_eq!(running.line(), "ready");
        running
    };
    let (mut down, mut silent) = (start(&ends), start(&ends));
    ends.unit(&["boot"]).ok();
    assert!(ends.site.stop().success());
    let finish = |running: &mut Running| {
        let began = Instant::now();
        running.say("");
        assert_eq!(running.wait().code(), Some(42));
        assert!(began.elapsed() < REPORT, "{:?}", began.elapsed());
    };
    let report = || {
        let began = Instant::now();
        let ran = ends.ended("exited", "0").ok();
        assert!(began.elapsed() < REPORT, "{:?}", began.elapsed());
        assert!(ran.err.contains("warning: the end of this boot is not reported"), "{}", ran.err);
    };
    finish(&mut down);
    report();
    // Accepts, and says nothing.
    let listener = TcpListener::bind(("127.0.0.1", ends.site.port)).unwrap();
    finish(&mut silent);
    report();
    drop(listener);
    // The note is still there, so that a later report arrives.
    ends.site.serve_unlocked();
    let until = Instant::now() + Duration::from_secs(20);
    while ends.note().exists() {
        // On a busy machine, one report may take longer than it may.
        assert!(Instant::now() < until, "{}", ends.ended("exited", "0").err);
        ends.ended("exited", "0").ok();
    }
    end("agent", None, &ends.last());
    assert_eq!(ends.boots().iter().filter(|boot| boot["state"] == "running").count(), 2);
}

#[test]
fn a_termination_during_a_silent_report_is_not_held_up() {
    let mut ends = Ends::new();
    let mut running =
        Running::start(&mut ends.agent(&["exec", "--init", "--", "sh", "-c", "echo ready; exec sleep 1000"]));
    assert_eq!(running.line(), "ready");
    assert!(ends.site.stop().success());
    let _silent = TcpListener::bind(("127.0.0.1", ends.site.port)).unwrap();
    let began = Instant::now();
    // As a container runtime does.
    kill(running.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().code(), Some(143));
    assert!(began.elapsed() < REPORT, "{:?}", began.elapsed());
}

#[test]
fn ended_reports_for_a_unit_with_exec() {
    let ends = Ends::new();
    for (code, status, expected) in [("exited", "9", Some(9)), ("killed", "KILL", Some(137)), ("", "", None)]
    {
        ends.unit(&["exec", "--", "true"]).ok();
        assert_eq!(ends.last()["reports_end"], json!(true));
        let metadata = fs::metadata(ends.note()).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, nix::unistd::getuid().as_raw()));
        assert_eq!(ends.ended(code, status).ok().err, "");
        end("agent", expected, &ends.last());
        assert!(!ends.note().exists());
    }
    // Without anything to report.
    assert_eq!(ends.ended("exited", "0").ok().err, "");
    // Not on a disk.
    let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut command = ends.agent(&["exec", "--", "true"]);
    command.env("DROPSAFE_REPORT_END", "yes").env("DROPSAFE_FILES_DIR", disk.path());
    let ran = Ran::of(command.output().unwrap()).ok();
    assert!(ran.err.contains("will not be reported") && ran.err.contains("tmpfs"), "{}", ran.err);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn ended_reports_for_a_machine_without_a_status() {
    let ends = Ends::new();
    ends.unit(&["boot"]).ok();
    let mode = |name: &str| fs::metadata(ends.folder.path().join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("end"), mode("receipt.json")), (0o600, 0o600));
    let note = fs::read_to_string(ends.note()).unwrap();
    assert!(!note.contains("the value") && !note.contains(&ends.ticket[..40]), "{note}");
    // systemd passes the status of `boot` itself.
    ends.ended("exited", "0").ok();
    end("agent", None, &ends.last());
    // A configuration that was broken in the meantime changes nothing.
    ends.unit(&["boot"]).ok();
    let mut command = ends.agent(&["ended"]);
    assert!(command.env("DROPSAFE_DEADLINE", "never").status().unwrap().success());
    end("agent", None, &ends.last());
    // Other users may not read it, even where a group reads the rest.
    let group = nix::unistd::Group::from_gid(nix::unistd::getgid()).unwrap().unwrap().name;
    let mut command = ends.agent(&["boot"]);
    command.env("DROPSAFE_REPORT_END", "yes").env("DROPSAFE_FILE_GROUP", group);
    assert!(command.status().unwrap().success());
    assert_eq!((mode("end"), mode("receipt.json")), (0o600, 0o640));
}

#[test]
fn what_a_machine_keeps_can_end_its_own_boot_and_do_nothing_else() {
    let ends = Ends::new();
    ends.unit(&["exec", "--", "true"]).ok();
    let other = ends.last()["id"].as_str().unwrap().to_owned();
    ends.unit(&["exec", "--", "true"]).ok();
    let credential = ends.credential();
    let refused = |arguments: &[&str]| {
        let ran = ends.site.cli_as(&credential, arguments, b"");
        assert!(!ran.status.success() && !ran.out.contains("the value"), "{arguments:?}: {}", ran.out);
    };
    refused(&["list"]);
    refused(&["boots"]);
    refused(&["set", "key"]);
    refused(&["ticket", "new", "--for", "admin"]);
    refused(&["boots", "--end", &other]);
    let states: BTreeMap<_, _> = ends
        .boots()
        .into_iter()
        .map(|boot| (boot["id"].as_str().unwrap().to_owned(), boot["state"].clone()))
        .collect();
    assert_eq!(states.len(), 2);
    assert!(states.values().all(|state| state != "ended"), "{states:?}");
    // In the place of a ticket.
    let ran =
        Ran::of(ends.agent(&["exec", "--", "true"]).env("DROPSAFE_TICKET", &credential).output().unwrap());
    ran.fails(78, &[]);
    // And what it can do.
    ends.ended("exited", "5").ok();
    end("agent", Some(5), &ends.last());
    assert_ne!(ends.last()["id"], json!(other));
}
