//! The agent against a real store.

use std::fs;
use std::time::{Duration, Instant};

use dropsafe::domain::credential::Credential;
use dropsafe::domain::ticket::BootTicket;

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

/// Otherwise whoever may share a secret could give the workload of another member a value of their own.
#[test]
fn a_reference_is_never_to_a_shared_secret_in_place_of_ones_own() {
    let site = Site::unlocked();
    let (alice, mallory) = (site.member("alice", "member"), site.member("mallory", "admin"));
    site.cli(&["plugin", "set", "pay", "--optional", "stripe-key"]).ok();
    site.set_as(&alice, "stripe-key", b"own", &["--plugin", "pay"]).ok();
    site.cli(&["plugin", "disable", "pay"]).ok();
    site.set_as(&alice, "OPENAI_API_KEY", b"own", &[]).ok();
    site.set_as(&alice, "gw", b"own", &["--as-file", "--as", "MY_GW"]).ok();
    let ticket = site.ticket("alice", &[]);
    // The kernel's memory, as files are written nowhere else.
    let files = tempfile::tempdir_in("/dev/shm").unwrap();
    let exec = ["exec", "--files-dir", files.path().to_str().unwrap(), "--", "env"];
    let refused = |variable: &str, secret: &str| {
        let reference = format!("dropsafe:{secret}");
        let says = format!("{variable} refers to the secret {secret}, which ");
        site.agent(&ticket, &exec, &[(variable, &reference)]).fails(78, &[&says]);
    };
    let both = || {
        refused("STRIPE_SECRET", "stripe-key");
        refused("OPENAI_BASE_URL", "gw");
    };
    both();
    site.set_as(&mallory, "stripe-key", b"theirs", &["--shared", "--as", "ZZ_X"]).ok();
    site.set_as(&mallory, "gw", b"https://evil", &["--shared", "--as", "ZZ_W"]).ok();
    both();
}

#[test]
fn the_workload_replaces_the_agent_and_keeps_its_exit_status() {
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
    // Arguments arrive unchanged, without a shell in between.
    let ran =
        site.agent(&ticket, &["exec", "--", "printf", "%s|", "a b", "$HOME", "*", "", "--flag"], &[]).ok();
    assert_eq!(ran.out, "a b|$HOME|*||--flag|");
}

#[test]
fn the_agent_waits_for_a_store_that_is_down() {
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
    // Without the policy, an outage is a failure. With `start-without`, the workload starts without secrets.
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

/// Anybody on the path to one address can pose as its server.
#[test]
fn another_key_is_an_outage_of_its_address_and_a_refusal_at_all_of_them() {
    let mut site = Site::unlocked();
    let (mut second, third) = (Site::unlocked(), Site::unlocked());
    site.set("key", "cached value", &[]).ok();
    let own = BootTicket::parse(&site.ticket("admin", &[])).unwrap();
    let at = |sites: &[&Site]| {
        let credential = Credential::parse(&own.credential().to_text()).unwrap();
        let urls = sites.iter().map(|site| site.url.split_once('#').unwrap().0.to_owned()).collect();
        BootTicket::new(urls, own.pins(), credential).unwrap().to_text().to_string()
    };
    let cache = site.folder.path().join("cache");
    let environment = [("DROPSAFE_CACHE_DIR", cache.to_str().unwrap()), ("DROPSAFE_LOG", "warn")];
    let boot = |site: &Site, ticket: &str| {
        let cached = ["exec", "--on-outage", "cache", "--deadline", "2s", "--", "printenv", "KEY"];
        site.agent(ticket, &cached, &environment)
    };
    let both = at(&[&second, &site]);
    // A boot begins at one of them by chance.
    for _ in 0..8 {
        let ran = boot(&site, &both).ok();
        assert_eq!(ran.out, "cached value\n");
        assert!(ran.err.is_empty() || ran.err.contains("is not the expected store"), "{}", ran.err);
    }
    // The store may be at the other address and be back soon, so the cache is used, and the stranger is reported.
    assert!(site.stop().success());
    let ran = boot(&site, &both).ok();
    assert_eq!(ran.out, "cached value\n");
    assert!(
        ran.err.contains("is not the expected store") && ran.err.contains("starting with"),
        "{}",
        ran.err
    );
    // Nobody but strangers is a refusal, at once and without the cache.
    let began = Instant::now();
    boot(&site, &at(&[&second, &third])).fails(77, &["is not the expected store"]);
    assert!(began.elapsed() < Duration::from_secs(2));
    // That destroys no cache: a stranger could cause it.
    assert!(second.stop().success());
    assert_eq!(boot(&site, &both).ok().out, "cached value\n");
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
