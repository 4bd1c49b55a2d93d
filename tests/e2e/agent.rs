//! The agent against a real store.

use std::fs;
use std::time::{Duration, Instant};

use super::harness::{Site, agent_program, bare};

#[test]
fn references_layers_and_requirements() {
    let site = Site::unlocked();
    site.set("db-url", "postgres://secret", &["--no-install"]).ok();
    site.set("token", "from the store", &["--shared"]).ok();
    let ticket = site.ticket("admin", &[]);
    let config = site.folder.path().join("agent.yaml");
    let defaults = site.folder.path().join("defaults.env");
    fs::write(&defaults, "LOWEST=default\nTOKEN=default\nPRESENT=default\n").unwrap();
    fs::write(
        &config,
        format!("defaults_file: {}\nsecrets:\n  FROM_CONFIG: configured\n  TOKEN: configured\nrequire: [TOKEN, DATABASE_URL]\n", defaults.display()),
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let ran = site
        .agent(
            &ticket,
            &["exec", "--config", config, "--", "env", "-0"],
            &[("DATABASE_URL", "dropsafe:db-url"), ("TOKEN", "inherited"), ("PRESENT", "inherited")],
        )
        .ok();
    let seen = super::harness::environment(&ran.out);
    assert_eq!(seen["DATABASE_URL"], "postgres://secret");
    assert_eq!(seen["TOKEN"], "from the store");
    assert_eq!(seen["FROM_CONFIG"], "configured");
    assert_eq!(seen["LOWEST"], "default");
    assert_eq!(seen["PRESENT"], "inherited");
    assert!(!seen.contains_key("DB_URL"));

    site.agent(&ticket, &["exec", "--", "true"], &[("A", "dropsafe:nowhere"), ("B", "dropsafe:neither")])
        .fails(78, &["nowhere", "neither"]);
    site.agent(&ticket, &["exec", "--require", "MISSING_ONE", "--require", "MISSING_TWO", "--", "true"], &[])
        .fails(78, &["MISSING_ONE", "MISSING_TWO"]);
}

#[test]
fn the_workload_replaces_the_agent_and_its_status_comes_through() {
    let site = Site::unlocked();
    let ticket = site.ticket("admin", &[]);
    for code in [0, 1, 2, 42, 64, 77, 126, 255] {
        let ran = site.agent(&ticket, &["exec", "--", "sh", "-c", &format!("exit {code}")], &[]);
        assert_eq!(ran.status.code(), Some(code), "{}", ran.err);
    }
    let mut child = site.agent_command(&ticket, &["exec", "--", "sh", "-c", "echo $$; sleep 0"], &[]);
    let child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let said = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(said.stdout).unwrap().trim(),
        pid.to_string(),
        "the workload is another process"
    );
    // Arguments arrive as they were given, without a shell in between.
    let ran =
        site.agent(&ticket, &["exec", "--", "printf", "%s|", "a b", "$HOME", "*", "", "--flag"], &[]).ok();
    assert_eq!(ran.out, "a b|$HOME|*||--flag|");
}

#[test]
fn a_store_that_is_down_is_waited_for() {
    let mut site = Site::unlocked();
    site.set("key", "v", &[]).ok();
    let ticket = site.ticket("admin", &[]);
    assert!(site.stop().success());
    let began = Instant::now();
    site.agent(&ticket, &["exec", "--deadline", "2s", "--", "true"], &[]).fails(69, &[]);
    assert!(began.elapsed() > Duration::from_millis(1500) && began.elapsed() < Duration::from_secs(10));

    let mut waiting =
        site.agent_command(&ticket, &["exec", "--deadline", "60s", "--", "printenv", "KEY"], &[]);
    let waiting =
        waiting.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    site.serve_unlocked();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"v\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_outage_policies() {
    let mut site = Site::unlocked();
    site.set("key", "cached value", &[]).ok();
    let ticket = site.ticket("admin", &[]);
    let cache = site.folder.path().join("cache");
    let config = site.folder.path().join("agent.yaml");
    fs::write(&config, format!("on_outage: cache\ncache:\n  dir: {}\n  max_age: 1h\n", cache.display()))
        .unwrap();
    let config = config.to_str().unwrap().to_owned();
    let cached = ["exec", "--config", &config, "--deadline", "1s", "--", "printenv", "KEY"];
    assert_eq!(site.agent(&ticket, &cached, &[]).ok().out, "cached value\n");
    for entry in fs::read_dir(cached_folder(&cache)).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(super::harness::holds_piece(&bytes, b"cached value").is_none());
    }
    assert!(site.stop().success());
    let ran = site.agent(&ticket, &cached, &[]).ok();
    assert_eq!(ran.out, "cached value\n");
    // Without the policy an outage is a failure; with `start-without` the workload starts without.
    site.agent(&ticket, &["exec", "--deadline", "1s", "--", "true"], &[]).fails(69, &[]);
    let ran = site
        .agent(
            &ticket,
            &[
                "exec",
                "--deadline",
                "1s",
                "--on-outage",
                "start-without",
                "--",
                "sh",
                "-c",
                "echo ${KEY-unset}",
            ],
            &[],
        )
        .ok();
    assert_eq!(ran.out, "unset\n");

    // A denial destroys the cache.
    site.serve_unlocked();
    let id = site.cli(&["ticket", "list", "--json"]).ok().json()[0]["id"].as_str().unwrap().to_owned();
    site.cli(&["ticket", "revoke", &id]).ok();
    site.agent(&ticket, &cached, &[]).fails(77, &[]);
    assert!(site.stop().success());
    site.agent(&ticket, &cached, &[]).fails(69, &[]);
}

fn cached_folder(folder: &std::path::Path) -> std::path::PathBuf {
    assert!(folder.is_dir(), "no cache was written");
    folder.to_owned()
}

#[test]
fn the_receipt_reaches_the_store() {
    let site = Site::unlocked();
    site.set("key", "v", &[]).ok();
    let ticket = site.ticket("admin", &[]);
    site.agent(&ticket, &["exec", "--", "true"], &[]).ok();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let boots = site.cli(&["boots", "--json"]).ok().json();
        if boots[0]["confirmed_at"].is_string() {
            break;
        }
        assert!(Instant::now() < until, "never confirmed: {boots}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn check_names_every_fault_and_a_remedy() {
    let home = tempfile::tempdir().unwrap();
    let output = bare(agent_program(), home.path()).args(["check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let site = Site::unlocked();
    let ticket = site.ticket("admin", &[]);
    site.agent(&ticket, &["check"], &[]).ok();
}

#[test]
fn the_ticket_may_come_from_a_file_or_a_credential() {
    let site = Site::unlocked();
    site.set("key", "v", &[]).ok();
    let ticket = site.ticket("admin", &[]);
    let folder = site.folder.path().join("credentials");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("dropsafe.ticket");
    fs::write(&file, format!("{ticket}\n")).unwrap();
    for (name, value) in [
        ("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()),
        ("DROPSAFE_TICKET_FILE", file.to_str().unwrap()),
    ] {
        let output = bare(agent_program(), site.folder.path())
            .args(["exec", "--", "printenv", "KEY"])
            .env(name, value)
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"v\n", "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
