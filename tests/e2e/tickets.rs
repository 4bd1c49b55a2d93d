//! Tickets: uses, lifetime, source networks, revocation.

use std::process::Stdio;

use super::harness::{Ran, Site};

#[test]
fn exactly_one_of_a_thousand_parallel_boots_gets_a_single_use_ticket() {
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
fn a_ticket_is_limited_to_a_lifetime_and_networks() {
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
fn a_tickets_plugins_decide_which_plugin_secrets_it_receives() {
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
    // A workload may request less than its ticket allows, and never more.
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
        let explained = site.agent(&ticket, &["explain", "--json"], &[]).ok();
        assert!(explained.out.contains("\"KEY\"") && explained.out.contains("\"OFF\""), "{}", explained.out);
        serde_json::from_str::<serde_json::Value>(&explained.out).unwrap();
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

#[test]
fn a_local_fault_spends_no_use() {
    let site = Site::unlocked();
    site.set("key", "v", &[]).ok();
    site.set("tls-key", "v", &["--as-file"]).ok();
    let ticket = site.ticket("admin", &["--uses", "1"]);
    // No tmpfs for a secret that is a file. `exec` would not need one.
    let disk = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
    let on_disk = [("DROPSAFE_FILES_DIR", disk)];
    site.agent(&ticket, &["boot"], &on_disk).fails(78, &["tmpfs"]);
    let checked = site.agent(&ticket, &["check"], &on_disk).ok();
    assert!(checked.out.contains("files: 1 as memfds"), "{}", checked.out);
    // A required name that nobody has deposited.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let in_memory = [("DROPSAFE_FILES_DIR", memory.path().to_str().unwrap())];
    site.agent(&ticket, &["exec", "--require", "absent", "--", "true"], &in_memory)
        .fails(78, &["absent is required and missing"]);
    // A user that does not exist.
    site.agent(&ticket, &["exec", "--user", "no-such-user", "--", "true"], &in_memory)
        .fails(78, &["no-such-user"]);

    site.set("absent", "v", &[]).ok();
    site.agent(&ticket, &["exec", "--require", "absent", "--", "sh", "-c", "cat $TLS_KEY_FILE"], &in_memory)
        .ok();
    site.agent(&ticket, &["exec", "--", "true"], &in_memory).fails(77, &[]);
}
