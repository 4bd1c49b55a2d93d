//! The rotation of the TLS key: which tickets survive it, and what a process that is killed during it leaves.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dropsafe::domain::credential::Credential;
use dropsafe::domain::pin::Pin;
use dropsafe::domain::ticket::BootTicket;
use nix::sys::signal::Signal;

use super::harness::{Ran, Site, signal};

/// The ticket in the form of a server that has no next key.
fn with_one_pin(ticket: &str) -> String {
    let ticket = BootTicket::parse(ticket).unwrap();
    let credential = Credential::parse(&ticket.credential().to_text()).unwrap();
    let pin = ticket.pins().unwrap().current().into();
    let mut one = BootTicket::new(ticket.urls().to_vec(), Some(pin), credential).unwrap();
    if let Some(key) = ticket.location().answer_key() {
        one = one.with_answer_key(key);
    }
    one.to_text().to_string()
}

fn pins_of(ticket: &str) -> Vec<Pin> {
    BootTicket::parse(ticket).unwrap().pins().unwrap().list().to_vec()
}

fn rotate(site: &Site, flags: &[&str]) -> Ran {
    let data = site.data();
    site.cli(&[&["tls", "rotate", "--data", data.to_str().unwrap()], flags].concat())
}

/// Makes the server read its certificate again. Clients use the new pins from then on.
fn reload(site: &mut Site) {
    let count = |site: &Site| site.log().matches("the certificate was read again").count();
    let before = count(site);
    signal(site.server_pid(), Signal::SIGHUP);
    let until = Instant::now() + Duration::from_secs(30);
    while count(site) == before {
        assert!(Instant::now() < until, "the server did not read its certificate again");
        std::thread::sleep(Duration::from_millis(10));
    }
    use_current_pin(site);
}

fn use_current_pin(site: &mut Site) {
    site.url = site.url.split_once('#').unwrap().0.to_owned();
    let mut status = super::harness::bare(super::harness::DROPSAFE, site.folder.path());
    let socket = format!("unix:{}", site.data().join("dropsafe.sock").display());
    status.args(["status", "--json"]).env("DROPSAFE_URL", socket).env("DROPSAFE_TOKEN", &site.admin);
    let status = Ran::of(status.output().unwrap()).ok().json();
    site.url = format!("{}#{}", site.url, status["pins"][0].as_str().unwrap());
}

#[test]
fn a_ticket_with_two_pins_survives_one_rotation_and_one_with_one_pin_survives_none() {
    let mut site = Site::unlocked();
    site.set("key", "the value", &[]).ok();
    let first = site.ticket("admin", &[]);
    let one = with_one_pin(&first);
    assert_eq!(pins_of(&first).len(), 2);
    let boots = |site: &Site, ticket: &str| site.boot(ticket, &[])["KEY"] == "the value";
    assert!(boots(&site, &first) && boots(&site, &one));

    let said = rotate(&site, &[]).ok();
    let server = format!("kill -HUP {}", site.server_pid());
    assert!(said.out.contains(&pins_of(&first)[1].to_string()), "{}", said.out);
    for words in [&server, "ca.pem", "Tickets with one pin", "until the next rotation"] {
        assert!(said.err.contains(words), "does not say {words:?}: {}", said.err);
    }
    assert!(!said.err.contains("no longer work\n") || !said.err.contains("warning"), "{}", said.err);
    // The server goes on with the old key until it is told.
    assert!(boots(&site, &first) && boots(&site, &one));
    let old_url = site.url.clone();
    reload(&mut site);
    assert!(boots(&site, &first));
    let refusal = ["is not the expected store", "create a new ticket or log in again"];
    site.agent(&one, &["exec", "--", "true"], &[]).fails(77, &refusal);
    site.agent(&one, &["explain"], &[]).fails(77, &refusal);
    assert!(site.agent(&one, &["check"], &[]).fails(77, &[]).out.contains(refusal[0]));
    site.agent(&first, &["check"], &[]).ok();
    site.agent(&first, &["explain"], &[]).ok();
    let new_url = std::mem::replace(&mut site.url, old_url);
    site.cli(&["list"]).fails(77, &refusal);
    // An address can have both pins too.
    let both = pins_of(&first);
    site.url = format!("{}#{},{}", site.url.split_once('#').unwrap().0, both[0], both[1]);
    site.cli(&["list"]).ok();
    site.url = new_url;
    let second = site.ticket("admin", &[]);
    assert_eq!(pins_of(&second)[0], pins_of(&first)[1]);

    // By mistake, or because the one before was interrupted.
    rotate(&site, &[]).fails(1, &["already rotated", "--again"]);
    let said = rotate(&site, &["--again"]).ok();
    assert!(said.err.contains("tickets created before"), "{}", said.err);
    // A start reads the new certificate too.
    site.kill();
    site.serve_unlocked();
    use_current_pin(&mut site);
    site.agent(&first, &["exec", "--", "true"], &[]).fails(77, &refusal);
    assert!(boots(&site, &second));
}

#[test]
fn a_rotation_that_is_killed_at_any_moment_is_completed_once() {
    let mut site = Site::unlocked();
    let ticket = site.ticket("admin", &[]);
    assert!(site.stop().success());
    let (tls, saved) = (site.data().join("tls"), site.folder.path().join("saved"));
    fs::rename(&tls, &saved).unwrap();
    let pin_after = pins_of(&ticket)[1].to_string();
    for step in 0..40_u64 {
        let _ = fs::remove_dir_all(&tls);
        fs::create_dir(&tls).unwrap();
        for entry in fs::read_dir(&saved).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), tls.join(entry.file_name())).unwrap();
        }
        let mut command = super::harness::bare(super::harness::DROPSAFE, site.folder.path());
        command.args(["tls", "rotate", "--data", site.data().to_str().unwrap()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(step * 500));
        child.kill().unwrap();
        child.wait().unwrap();
        // Either it is done, or a repetition does it.
        let again = rotate(&site, &["--json"]);
        match again.status.code() {
            Some(0) => assert_eq!(again.json()["pins"][0], pin_after.as_str()),
            _ => drop(again.fails(1, &["already rotated"])),
        }
    }
    site.serve_unlocked();
    site.boot(&ticket, &[]);
}

#[test]
fn a_server_with_the_operators_certificate_creates_tickets_with_one_pin() {
    let mut site = Site::new();
    let data = site.data();
    for name in ["cert.pem", "key.pem"] {
        fs::copy(data.join("tls").join(name), data.join(name)).unwrap();
    }
    let yaml = fs::read_to_string(data.join("server.yaml")).unwrap();
    fs::write(data.join("server.yaml"), yaml + "tls: {cert: cert.pem, key: key.pem}\n").unwrap();
    site.serve_unlocked();
    let ticket = site.ticket("admin", &[]);
    assert_eq!(with_one_pin(&ticket), ticket);
    site.boot(&ticket, &[]);
    rotate(&site, &[]).fails(78, &["was not created by dropsafe", "SIGHUP"]);
}
