//! A platform that starts machines for many people through one launcher: what each step of it takes.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropsafe::domain::ticket::BootTicket;
use serde_json::Value;

use crate::drive::{Arrival, Herd};
use crate::{ByteStore, ServedStore, print_outcome, server_process};

/// Calls of one kind, sent one after the other over one connection, as a platform that starts machine after machine.
struct Calls<'a> {
    store: &'a ServedStore,
    path: &'a str,
    /// The token and the body of each.
    calls: Vec<(String, String)>,
}

impl Calls<'_> {
    /// Sends them, and prints what they took. Returns the answers.
    fn run(&self, what: &str) -> Vec<Value> {
        let folder = self.store.site.folder();
        let config = folder.join("calls");
        let port = self.store.site.servers[0].port();
        let mut text = String::new();
        for (index, (token, body)) in self.calls.iter().enumerate() {
            let url = format!("https://127.0.0.1:{port}{}", self.path);
            // In a file, because the arguments of a process are visible to everybody.
            let next = if index == 0 { "" } else { "next\n" };
            writeln!(text, "{next}silent\nshow-error\nfail-with-body\ninsecure\nwrite-out = \"\\n\"")
                .unwrap();
            writeln!(text, "url = \"{url}\"\nheader = \"Authorization: Bearer {token}\"").unwrap();
            writeln!(text, "header = \"Content-Type: application/json\"\ndata = {body:?}").unwrap();
        }
        std::fs::write(&config, text).unwrap();
        let (cpu, start) = (server_process::cpu(&self.store.pids()), Instant::now());
        let answers = send(&config);
        let (took, cpu) = (start.elapsed(), server_process::cpu(&self.store.pids()) - cpu);
        let count = self.calls.len();
        assert_eq!(answers.len(), count, "{what}");
        println!(
            "{count} {what} in {:.2} s: {:.2} ms each, {:.0} µs of the server's processor time",
            took.as_secs_f64(),
            took.as_secs_f64() * 1e3 / count as f64,
            cpu.as_secs_f64() * 1e6 / count as f64
        );
        answers
    }
}

fn send(config: &Path) -> Vec<Value> {
    let output = Command::new("curl").arg("--config").arg(config).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), text);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Adds the people, each of whom accepts the launcher in the step that redeems their enrolment, and boots a machine for each.
pub fn run(people: usize, secrets: usize) {
    let store = ServedStore::new(ByteStore::Sqlite, 1, secrets);
    let admin = store.site.admin.clone();
    let call = |path, calls, what: &str| Calls { store: &store, path, calls }.run(what);
    let code = |added: &Value| added["issued"]["code"].as_str().unwrap().to_owned();
    let token = |redeemed: &Value| redeemed["token"].as_str().unwrap().to_owned();

    let body = r#"{"name":"devboxes","kind":"launcher"}"#.to_owned();
    let added = call("/v1/members", vec![(admin.clone(), body)], "launcher authorized");
    let redeemed =
        call("/v1/enrolments/redeem", vec![(code(&added[0]), "{}".to_owned())], "enrolment redeemed");
    let launcher = token(&redeemed[0]);

    let bodies = (0..people).map(|n| (admin.clone(), format!(r#"{{"name":"person-{n}"}}"#)));
    let codes: Vec<String> = call("/v1/members", bodies.collect(), "people added").iter().map(code).collect();
    let accept = r#"{"accept":["devboxes"]}"#.to_owned();
    let calls = codes.into_iter().map(|code| (code, accept.clone())).collect();
    call("/v1/enrolments/redeem", calls, "enrolments redeemed, each with the acceptance");

    let bodies = (0..people).map(|n| (launcher.clone(), format!(r#"{{"member":"person-{n}","uses":1}}"#)));
    let created = call("/v1/tickets", bodies.collect(), "tickets created by one launcher");
    let ticket = |created: &Value| Arc::new(BootTicket::parse(created["ticket"].as_str().unwrap()).unwrap());

    let before = server_process::cpu(&store.pids());
    let herd = Herd {
        tickets: created.iter().map(ticket).collect(),
        agents: people,
        arrival: Arrival::AtOnce,
        deadline: Duration::from_secs(60),
        entries: u32::try_from(secrets).unwrap(),
    };
    let outcome = herd.run();
    let cost = server_process::cpu(&store.pids()) - before;
    print_outcome(&outcome, [cost, Duration::ZERO], &store.pids());
    assert_eq!(outcome.times.len(), people, "a machine did not boot");
}
