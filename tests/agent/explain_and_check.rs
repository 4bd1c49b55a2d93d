//! `explain` and `check`: no value, no use of the ticket, nothing started.

use dropsafe::domain::value::Delivery;
use dropsafe::wire::Code;

use super::store::{Secret, Store, nowhere, private, problem, referred};
use super::{agent, agent_without_memfds, configuration, run};

#[test]
fn explain_shows_each_variable_its_source_and_the_reason() {
    let store = Store::releasing(vec![private("openai-api-key", "canary"), referred("db-url", "canary")]);
    let explain = |json: &[&str]| {
        let mut command = agent(["explain"]);
        command.args(json).env("DROPSAFE_TICKET", &store.ticket).env("OPENAI_API_KEY", "canary");
        run(command.env("DATABASE_URL", "dropsafe:db-url"))
    };
    let ran = explain(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "A boot for dev of default, at the store's revision 3; uses left: 2\n\
         VARIABLE        FROM         SECRET                     SHADOWS\n\
         DATABASE_URL    environment  dropsafe:db-url (private)\n\
         OPENAI_API_KEY  private      openai-api-key             environment\n\
         and 1 unchanged variable of the environment\n\
         \n\
         Not exported:\n\
         SECRET  WOULD BE  SCOPE   REASON\n\
         off     OFF       shared  auto install off\n"
    );
    let json: serde_json::Value = serde_json::from_str(&explain(&["--json"]).out).unwrap();
    assert_eq!(json["member"], "dev");
    let variables = json["variables"].as_array().unwrap();
    assert_eq!(variables[1]["env"], "OPENAI_API_KEY");
    assert_eq!(variables[1]["name"], "openai-api-key");
    assert_eq!(variables[1]["converted"], true);
    assert_eq!(variables[1]["shadows"], serde_json::json!([{ "layer": "environment" }]));
    assert_eq!(json["skipped"][0]["reason"], "auto_install_off");
    assert_eq!(store.count("/v1/boot"), 0);
}

#[test]
fn explain_shows_the_faults_that_would_stop_a_boot() {
    let store = Store::releasing(vec![]);
    let ran = run(agent(["explain", "--require", "off"]).env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!(ran.code, Some(78));
    assert!(
        ran.out.contains("A boot would not start:\noff is required and missing: it is not auto-installed"),
        "{}",
        ran.out
    );
}

#[test]
fn check_finds_no_fault() {
    let store = Store::releasing(vec![private("A", "1")]);
    let ran = run(agent(["check"]).env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.lines().all(|line| line.starts_with("ok ")), "{}", ran.out);
    assert_eq!((store.count("/v1/boot"), store.count("/v1/boot/explain")), (0, 1));
}

#[test]
fn check_reports_every_fault_with_its_status() {
    let cases = [
        (store_with(Code::Revoked), &[][..], 77),
        (nowhere(), &[], 69),
        ("hunter2".to_owned(), &[], 78),
        (nowhere(), &[("DROPSAFE_DEADLINE", "hunter2"), ("DROPSAFE_LOG", "hunter2")], 78),
    ];
    for (ticket, variables, code) in cases {
        let ran = run(agent(["check"])
            .env("DROPSAFE_TICKET", ticket)
            .env("DROPSAFE_DEADLINE", "200ms")
            .envs(variables.iter().copied()));
        assert_eq!(ran.code, Some(code), "{}", ran.out);
        let faults = ran.out.lines().filter(|line| line.starts_with("fault ")).count();
        assert_eq!(faults, variables.len().max(1), "{}", ran.out);
        assert!(!ran.out.contains("hunter2"), "{}", ran.out);
    }
    let json = run(agent(["check", "--json"]).env("DROPSAFE_TICKET", "x")).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["exit"], 78);
}

fn store_with(code: Code) -> String {
    Store::new(move |_, _| problem(code)).ticket
}

#[test]
fn check_finds_what_would_stop_a_boot_on_this_machine() {
    let file = Secret { delivery: Delivery::File, ..private("tls-key", "canary") };
    let store = Store::releasing(vec![private("KEY", "canary"), file]);
    let long = "x".repeat(140_000);
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file_path = configuration(folder.path(), &format!("secrets: {{LONG: {long}}}\n"));
    for (variables, says) in [
        (vec![("DROPSAFE_FILES_DIR", "/proc/sys/kernel")], "files: "),
        (vec![("DROPSAFE_USER", "no-such-user")], "user: there is no user no-such-user"),
        (vec![("DROPSAFE_CONFIG", file_path.to_str().unwrap())], "environment: "),
    ] {
        let ran = run(agent_without_memfds(["check"])
            .env("DROPSAFE_TICKET", &store.ticket)
            .env("DROPSAFE_FILES_DIR", folder.path())
            .envs(variables));
        assert_eq!(ran.code, Some(78), "{}", ran.out);
        let faults: Vec<_> = ran.out.lines().filter(|line| line.starts_with("fault ")).collect();
        assert!(faults.len() == 1 && faults[0].contains(says), "{}", ran.out);
        assert!(ran.out.contains("\n         "), "says what to do: {}", ran.out);
    }
    let check = |place: &str| {
        run(agent(["check"]).env("DROPSAFE_TICKET", &store.ticket).env("DROPSAFE_FILES_DIR", place)).out
    };
    let below = check(folder.path().to_str().unwrap());
    assert!(below.contains(&format!("files: 1 below {}", folder.path().display())), "{below}");
    let memfds = check("/proc/sys/kernel");
    assert!(memfds.contains("files: 1 as memfds, because /proc/sys/kernel is on no tmpfs"), "{memfds}");
    assert_eq!(store.count("/v1/boot"), 0);
}
