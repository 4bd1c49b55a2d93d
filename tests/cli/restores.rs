//! Restores that fail, are interrupted, or find something in their folder. None of them loses or forgets anything.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use super::site::{Ran, Site};

/// Restores into the data folder of the site.
fn restore(site: &Site, flags: &[&str], file: &str) -> Ran {
    site.saved(&[&["restore", "--data", "data"], flags, &[file]].concat(), b"")
}

fn serve(site: &Site) -> Ran {
    site.saved(&["serve", "--data", "data"], b"")
}

/// A stopped store with a backup, an older copy of its byte store, and no byte store.
fn stopped() -> Site {
    let mut site = Site::unlocked();
    site.set("1", &["one"]).ok();
    site.as_operator(&["backup", "good.bak"], b"").ok();
    site.stop();
    fs::copy(site.path("data/store.db"), site.path("older.db")).unwrap();
    site.serve("data", &[]);
    site.set("2", &["two"]).ok();
    site.stop();
    let good = fs::read(site.path("good.bak")).unwrap();
    fs::write(site.path("cut.bak"), &good[..good.len() / 2]).unwrap();
    fs::write(site.path("longer.bak"), [&good[..], b"P"].concat()).unwrap();
    site
}

#[test]
fn a_restore_that_fails_forgets_nothing() {
    let site = stopped();
    let heads = fs::read(site.path("data/log-heads")).unwrap();
    fs::rename(site.path("data/store.db"), site.path("newest.db")).unwrap();
    restore(&site, &[], "cut.bak").fails(1, &["damaged"]);
    restore(&site, &[], "longer.bak").fails(1, &["damaged"]);
    let other = Site::unlocked();
    let key = other.path("data/record.key");
    restore(&site, &["--record-key", key.to_str().unwrap()], "good.bak")
        .fails(78, &["is another record key"]);
    assert_eq!(fs::read(site.path("data/log-heads")).unwrap(), heads);
    assert!(!site.path("data/store.db").exists());
    // So that a rollback which was refused before is still refused.
    fs::copy(site.path("older.db"), site.path("data/store.db")).unwrap();
    serve(&site).fails(78, &["rolled back"]);
    // A byte store that was put back is never replaced.
    fs::copy(site.path("newest.db"), site.path("data/store.db")).unwrap();
    for file in ["good.bak", "cut.bak"] {
        restore(&site, &[], file).fails(78, &["not empty", "store.db"]);
    }
    assert_eq!(fs::read(site.path("newest.db")).unwrap(), fs::read(site.path("data/store.db")).unwrap());
}

#[test]
fn each_restore_in_one_folder_is_accepted_once() {
    let mut site = stopped();
    let restored = |site: &Site| {
        fs::remove_file(site.path("data/store.db")).unwrap();
        let ran = restore(site, &[], "good.bak").ok();
        assert!(ran.out.contains(" records up to 20"), "{}", ran.out);
        ran.out.split("epoch ").nth(1).unwrap().lines().next().unwrap().to_owned()
    };
    let first = restored(&site);
    fs::copy(site.path("data/store.db"), site.path("first.db")).unwrap();
    site.serve("data", &[]);
    site.stop();
    fs::rename(site.path("data/store.db"), site.path("x.db")).unwrap();
    restore(&site, &[], "cut.bak").fails(1, &["damaged"]);
    fs::rename(site.path("x.db"), site.path("data/store.db")).unwrap();
    restored(&site);
    // The flag of the first restore is still in a unit.
    fs::copy(site.path("first.db"), site.path("data/store.db")).unwrap();
    site.saved(&["serve", "--data", "data", "--accept-restore", &first], b"").fails(78, &["rolled back"]);
}

#[test]
fn an_interrupted_restore_is_repeated_and_nothing_else_makes_a_store() {
    let mut site = stopped();
    fs::rename(site.path("data/store.db"), site.path("newest.db")).unwrap();
    let kept = ["data/record.key", "data/server.yaml", "data/tls/key.pem", "data/log-heads"];
    let content = |site: &Site| kept.map(|name| fs::read(site.path(name)).unwrap());
    let before = content(&site);
    let pipe = site.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = site.client(&site.operator, &["restore", "--data", "data", "pipe"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let good = fs::read(site.path("good.bak")).unwrap();
    let mut writer = fs::File::options().write(true).open(&pipe).unwrap();
    writer.write_all(&good[..good.len() / 2]).unwrap();
    while !site.path("data/store.db").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    // While it works, a rotation of the key does not take it for a server.
    site.saved(&["tls", "rotate", "--data", "data"], b"").fails(78, &["`dropsafe restore` uses"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(content(&site) == before);

    serve(&site).fails(1, &["restored into the byte store", "run `dropsafe restore` again"]);
    site.saved(&["init", "--data", "data"], b"a phrase of five random words\n").fails(78, &["not empty"]);
    assert!(content(&site) == before);
    restore(&site, &[], "good.bak").ok();
    site.serve("data", &[]);
    assert_eq!(site.run(&["list", "--json"]).ok().json().as_array().unwrap().len(), 1);
}

#[test]
fn the_records_go_where_the_configuration_of_the_folder_says() {
    let mut site = stopped();
    fs::remove_file(site.path("data/store.db")).unwrap();
    let yaml = fs::read_to_string(site.path("data/server.yaml")).unwrap();
    fs::write(site.path("data/server.yaml"), format!("{yaml}\nstore: sqlite:records.db\n")).unwrap();
    restore(&site, &["--store", "sqlite:store.db"], "good.bak").fails(78, &["another place than --store"]);
    restore(&site, &[], "good.bak").ok();
    assert!(site.path("data/records.db").exists() && !site.path("data/store.db").exists());
    site.serve("data", &[]);
    assert_eq!(site.run(&["list", "--json"]).ok().json().as_array().unwrap().len(), 1);
}

#[test]
fn certificates_without_a_configuration_get_one() {
    let site = stopped();
    fs::create_dir(site.path("new")).unwrap();
    fs::copy(site.path("data/record.key"), site.path("new/record.key")).unwrap();
    fs::create_dir(site.path("new/tls")).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem", "next.pem"] {
        fs::copy(site.path("data/tls").join(name), site.path("new/tls").join(name)).unwrap();
    }
    site.saved(&["restore", "--data", "new", "good.bak"], b"").ok();
    assert!(site.path("new/server.yaml").exists());
    let key = |folder: &str| fs::read(site.path(folder).join("tls/key.pem")).unwrap();
    assert_eq!(key("new"), key("data"));
}
