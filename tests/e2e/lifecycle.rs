//! From deposit to boot, and the effect of a deletion or replacement.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::{Site, environment};

#[test]
fn from_deposit_to_boot_with_a_restart_between_the_steps() {
    let mut site = Site::new();
    site.serve_unlocked();
    site.set("openai-api-key", "shared-openai", &["--shared"]).ok();
    assert!(site.stop().success());

    site.serve_unlocked();
    let said = site.set("OPENAI_API_KEY", "private-openai", &[]).ok();
    assert!(said.out.contains("OPENAI_API_KEY"), "{}", said.out);
    site.set("pagerduty.token", "pd", &["--shared"]).ok();
    site.set("db_url", "postgres://x", &["--shared"]).ok();
    site.set("skill:stripe:webhook_secret", "whsec", &["--shared"]).ok();
    site.set("dormant", "not me", &["--no-install"]).ok();
    site.set("mixed", "as is", &["--as", "camelCase"]).ok();
    site.set("region", "eu-west-1", &["--plain", "--shared"]).ok();
    assert!(site.stop().success());

    site.serve_unlocked();
    let ticket = site.ticket("admin", &["--ttl", "1h"]);
    assert!(site.stop().success());

    site.serve_unlocked();
    let seen = site.boot(&ticket, &[]);
    let expected = [
        ("OPENAI_API_KEY", "private-openai"),
        ("PAGERDUTY_TOKEN", "pd"),
        ("DB_URL", "postgres://x"),
        ("SKILL_STRIPE_WEBHOOK_SECRET", "whsec"),
        ("camelCase", "as is"),
        ("REGION", "eu-west-1"),
    ];
    for (name, value) in expected {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name} in {seen:?}");
    }
    assert!(!seen.contains_key("DORMANT"));
    assert!(!seen.keys().any(|name| name.starts_with("DROPSAFE_")), "{seen:?}");

    let named = site.boot(&ticket, &["--include", "dormant"]);
    assert_eq!(named.get("DORMANT").map(String::as_str), Some("not me"));
    assert!(site.stop().success());
}

#[test]
fn the_list_has_the_documented_fields() {
    let site = Site::unlocked();
    site.set(
        "openai-api-key",
        "sk-abcdefghijklmnopqrstuvwxyz0123456789",
        &["--shared", "--category", "api_key"],
    )
    .ok();
    site.set("region", "eu-west-1", &["--plain", "--plugin", "@acme/db"]).ok();
    let list = site.cli(&["list", "--json"]).ok().json();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2);
    let keys = [
        "id",
        "name",
        "env",
        "scope",
        "owner",
        "type",
        "auto_install",
        "plugin",
        "category",
        "version",
        "created_at",
        "updated_at",
        "hint",
    ];
    for item in list {
        for key in keys {
            assert!(item.get(key).is_some(), "no {key} in {item}");
        }
    }
    let by_env = |env: &str| list.iter().find(|item| item["env"] == env).unwrap();
    let openai = by_env("OPENAI_API_KEY");
    assert_eq!(openai["scope"], "shared");
    assert_eq!(openai["type"], "encrypted");
    assert_eq!(openai["category"], "api_key");
    assert!(openai.get("value").is_none(), "{openai}");
    assert_eq!(openai["hint"], "sk-****...6789");
    let region = by_env("REGION");
    assert_eq!(region["scope"], "private");
    assert_eq!(region["owner"], "admin");
    assert_eq!(region["value"], "eu-west-1");
    assert_eq!(region["plugin"], "@acme/db");
}

#[test]
fn a_deletion_and_a_replacement_change_future_boots_only() {
    let site = Site::unlocked();
    site.set("going", "old-going", &["--shared"]).ok();
    site.set("changing", "old-changing", &["--shared"]).ok();
    let ticket = site.ticket("admin", &[]);

    // A workload that prints its environment for each line of input.
    let mut command =
        site.agent_command(&ticket, &["exec", "--", "sh", "-c", "while read _; do env -0; echo; done"], &[]);
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ask = running.stdin.take().unwrap();
    let mut answers = BufReader::new(running.stdout.take().unwrap());
    let mut look = || {
        ask.write_all(b"\n").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        environment(line.trim_end_matches('\n'))
    };
    assert_eq!(look()["GOING"], "old-going");
    let before = site.cli(&["list", "--json"]).ok().json();

    let said = site.cli(&["delete", "going", "--shared", "--yes"]).ok();
    assert!(said.out.contains("boot_"), "delete does not say who still holds it:\n{}{}", said.out, said.err);
    site.set("changing", "new-changing", &["--shared"]).ok();

    let still = look();
    assert_eq!(still["GOING"], "old-going");
    assert_eq!(still["CHANGING"], "old-changing");
    let next = site.boot(&ticket, &[]);
    assert!(!next.contains_key("GOING"));
    assert_eq!(next["CHANGING"], "new-changing");

    // The holders of the deleted secret.
    let holders = site.cli(&["boots", "going", "--json"]).ok().json();
    assert_eq!(holders.as_array().unwrap().len(), 1, "{holders}");
    // The holders of the replaced secret, with their versions.
    let holders = site.cli(&["boots", "changing", "--json"]).ok().json();
    let after = site.cli(&["list", "--json"]).ok().json();
    let version_in = |list: &serde_json::Value| {
        let list = list.as_array().unwrap();
        list.iter().find(|item| item["name"] == "changing").unwrap()["version"].as_str().unwrap().to_owned()
    };
    let (old, new) = (version_in(&before), version_in(&after));
    assert_ne!(old, new);
    let text = holders.to_string();
    assert!(text.contains(&old) && text.contains(&new), "{text}");

    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn a_private_secret_is_invisible_to_other_members() {
    let site = Site::unlocked();
    let (ann, bob) = (site.member("ann", "member"), site.member("bob", "member"));
    site.set_as(&ann, "api-key", b"anns", &[]).ok();
    site.set_as(&bob, "API_KEY", b"bobs", &[]).ok();
    site.set("api.key", "everybodys", &["--shared"]).ok();
    let boot = |member: &str| site.boot(&site.ticket(member, &[]), &[])["API_KEY"].clone();
    assert_eq!(boot("ann"), "anns");
    assert_eq!(boot("bob"), "bobs");
    assert_eq!(boot("admin"), "everybodys");
    let anns = site.cli_as(&ann, &["list", "--json"], b"").ok().json();
    assert!(anns.as_array().unwrap().iter().all(|item| item["owner"] != "bob"), "{anns}");
    assert!(!anns.to_string().contains("bobs"));
}

#[test]
fn a_second_signal_does_not_wait_for_requests() {
    use nix::sys::signal::Signal::SIGTERM;
    let mut site = Site::unlocked();
    let mut stuck = UnixStream::connect(site.data().join("dropsafe.sock")).unwrap();
    // The body never arrives completely. `100 Continue` shows that the server has read the headers.
    let headers = format!(
        "POST /v1/secrets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: 9\r\n\r\n",
        site.admin
    );
    stuck.write_all(headers.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stuck.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");

    let mut server = site.take_server();
    super::harness::signal(server.id(), SIGTERM);
    // It accepts no more connections, but it finishes the request that it has begun.
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", site.port)).is_ok() {
        assert!(Instant::now() < until, "it still accepts connections");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(server.try_wait().unwrap().is_none(), "it did not wait for the request");
    super::harness::signal(server.id(), SIGTERM);
    assert_eq!(server.wait().unwrap().code(), Some(1));
    assert!(site.log().contains("a second signal"), "{}", site.log());

    site.serve_unlocked();
    assert!(site.stop().success());
}
