//! Tickets: exact uses, time, source, revocation.

use std::process::Stdio;

use super::harness::{Ran, Site};

#[test]
fn of_a_thousand_parallel_boots_on_one_use_exactly_one_wins() {
    let site = Site::unlocked();
    site.set("key", "the value", &[]).ok();
    let ticket = site.ticket("admin", &["--uses", "1"]);
    let children: Vec<_> = (0..1000)
        .map(|_| {
            site.agent_command(
                &ticket,
                &["exec", "--deadline", "300s", "--", "printenv", "KEY"],
                &[("DROPSAFE_LOG", "off")],
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
        })
        .collect();
    let ran: Vec<_> = children.into_iter().map(|child| Ran::of(child.wait_with_output().unwrap())).collect();
    let won: Vec<_> = ran.iter().filter(|one| one.status.success()).collect();
    assert_eq!(won.len(), 1, "{} won", won.len());
    assert_eq!(won[0].out, "the value\n");
    for lost in ran.iter().filter(|one| !one.status.success()) {
        assert_eq!(lost.status.code(), Some(77), "{}", lost.err);
        assert_eq!(lost.out, "");
    }
    let boots = site.cli(&["boots", "--json"]).ok().json();
    assert_eq!(boots.as_array().unwrap().len(), 1);
}

#[test]
fn a_revoked_ticket_is_denied_at_once() {
    let site = Site::unlocked();
    let ticket = site.ticket("admin", &[]);
    site.boot(&ticket, &[]);
    let list = site.cli(&["ticket", "list", "--json"]).ok().json();
    let id = list[0]["id"].as_str().unwrap().to_owned();
    site.cli(&["ticket", "revoke", &id]).ok();
    site.agent(&ticket, &["exec", "--", "true"], &[]).fails(77, &["revoked"]);
}

#[test]
fn a_ticket_is_bound_to_time_and_network() {
    let site = Site::unlocked();
    let brief = site.ticket("admin", &["--ttl", "1s"]);
    let elsewhere = site.ticket("admin", &["--source", "192.0.2.0/24"]);
    let here = site.ticket("admin", &["--source", "127.0.0.0/8"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    site.agent(&brief, &["exec", "--", "true"], &[]).fails(77, &["expired"]);
    site.agent(&elsewhere, &["exec", "--", "true"], &[]).fails(77, &["address"]);
    site.agent(&here, &["exec", "--", "true"], &[]).ok();
}

#[test]
fn a_tickets_plugins_decide_what_tied_secrets_it_gets() {
    let site = Site::unlocked();
    site.set("free", "1", &[]).ok();
    site.set("mail-key", "2", &["--plugin", "mail"]).ok();
    site.set("chat-key", "3", &["--plugin", "chat"]).ok();
    let mail = site.boot(&site.ticket("admin", &["--plugin", "mail"]), &[]);
    assert!(
        mail.contains_key("FREE") && mail.contains_key("MAIL_KEY") && !mail.contains_key("CHAT_KEY"),
        "{mail:?}"
    );
    let all = site.boot(&site.ticket("admin", &[]), &[]);
    assert!(all.contains_key("MAIL_KEY") && all.contains_key("CHAT_KEY"), "{all:?}");
    // A workload may narrow what its ticket allows, and never widen it.
    let widened = site.boot(&site.ticket("admin", &["--plugin", "mail"]), &["--plugin", "chat"]);
    assert!(!widened.contains_key("CHAT_KEY"), "{widened:?}");
}

#[test]
fn explaining_spends_no_use() {
    let site = Site::unlocked();
    site.set("key", "v", &[]).ok();
    site.set("off", "v", &["--no-install"]).ok();
    let ticket = site.ticket("admin", &["--uses", "1"]);
    for _ in 0..3 {
        let told = site.agent(&ticket, &["explain", "--json"], &[]).ok();
        assert!(told.out.contains("\"KEY\"") && told.out.contains("\"OFF\""), "{}", told.out);
        serde_json::from_str::<serde_json::Value>(&told.out).unwrap();
    }
    site.agent(&ticket, &["check"], &[]).ok();
    site.boot(&ticket, &[]);
    site.agent(&ticket, &["exec", "--", "true"], &[]).fails(77, &[]);
}

#[test]
fn a_mistyped_command_spends_no_use() {
    let site = Site::unlocked();
    let ticket = site.ticket("admin", &["--uses", "1"]);
    site.agent(&ticket, &["exec", "--", "no-such-program"], &[]).fails(127, &["no-such-program"]);
    site.agent(&ticket, &["exec", "--", "/etc/passwd"], &[]).fails(126, &["/etc/passwd"]);
    site.agent(&ticket, &["exec", "--", "true"], &[]).ok();
}
