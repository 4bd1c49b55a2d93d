//! Keys, re-encryption, backups and the audit log.

use std::os::unix::fs::PermissionsExt;

use super::site::{PASSPHRASE, Site};

#[test]
fn init_prints_its_tokens_once_and_never_makes_a_store_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = super::site::bare(&folder);
        command.args(arguments);
        super::site::Ran::of(super::site::feed(command, input))
    };
    run(&["init", "--data", "d"], b"").fails(1, &["the passphrase is empty"]);
    assert!(!folder.path().join("d").exists());
    let made = run(&["init", "--data", "d", "--listen", "127.0.0.1:1"], b"phrase\n").ok();
    let words: Vec<_> = made.out.split_whitespace().collect();
    assert_eq!(words.iter().filter(|word| word.starts_with("dso_")).count(), 1);
    assert_eq!(words.iter().filter(|word| word.starts_with("dsm_")).count(), 1);
    assert!(made.out.contains("https://127.0.0.1:1#sha256/"), "{}", made.out);
    assert!(made.err.contains("record.key") && !made.err.contains("dso_") && !made.err.contains("phrase\n"));
    run(&["init", "--data", "d"], b"phrase\n").fails(78, &["not empty"]);
    run(&["init", "--data", "e", "--org", "Not Good"], b"phrase\n").fails(1, &["--org"]);
    run(&["init", "--data", "e", "--advertise", "a b"], b"phrase\n").fails(64, &["--advertise"]);
}

#[test]
fn key_slots_unlock_and_the_last_one_stays() {
    let mut site = Site::unlocked();
    site.run(&["keyslot", "list"]).fails(77, &["operator"]);
    let added =
        site.as_operator(&["keyslot", "add", "--new-key-file", "unlock.key", "--label", "spare"], b"").ok();
    assert!(added.out.contains("key_file"), "{}", added.out);
    let mode = site.path("unlock.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    site.as_operator(&["keyslot", "add", "--new-key-file", "unlock.key"], b"").fails(73, &["exists"]);
    site.as_operator(&["keyslot", "add"], b"another passphrase\n").ok();
    let slots = site.as_operator(&["keyslot", "list", "--json"], b"").ok().json();
    assert_eq!(slots.as_array().unwrap().len(), 3);

    for open in [&["unlock", "--key-file", "unlock.key"][..], &["unlock"]] {
        site.as_operator(&["lock"], b"").ok();
        assert_eq!(site.as_operator(&["status", "--json"], b"").ok().json()["locked"], true);
        site.as_operator(open, b"another passphrase").ok();
    }
    site.stop();
    site.serve("data", &["--unlock-key-file", "unlock.key"]);
    assert_eq!(site.as_operator(&["status", "--json"], b"").ok().json()["locked"], false);

    for slot in slots.as_array().unwrap().iter().skip(1) {
        let removed = site.as_operator(&["keyslot", "remove", slot["id"].as_str().unwrap()], b"").ok();
        assert!(removed.err.contains("re-encrypt --all"), "{}", removed.err);
    }
    site.as_operator(&["keyslot", "remove", slots[0]["id"].as_str().unwrap()], b"").fails(1, &["last"]);
    site.as_operator(&["lock"], b"").ok();
    site.as_operator(&["unlock", "--key-file", "unlock.key"], b"").fails(77, &[]);
    site.as_operator(&["unlock"], PASSPHRASE.as_bytes()).ok();
}

#[test]
fn re_encryption_keeps_values_and_versions() {
    let site = Site::unlocked();
    site.set("the value", &["one"]).ok();
    let before = site.run(&["show", "one", "--json"]).ok().json();
    site.run(&["re-encrypt", "one"]).ok();
    let said = site.as_operator(&["re-encrypt", "--all"], b"").ok();
    assert!(said.out.contains("everything is encrypted under generation 2"), "{}", said.out);
    site.set("another", &["two"]).ok();
    assert_eq!(site.run(&["show", "one", "--json"]).ok().json()["version"], before["version"]);
    assert_eq!(site.booted("ONE").out, "the value\n");
}

#[test]
fn a_backup_restores_the_store_with_its_record_key() {
    let mut site = Site::unlocked();
    site.set("the value", &["kept"]).ok();
    site.run(&["backup", "denied.bak"]).fails(77, &["operator"]);
    assert!(!site.path("denied.bak").exists());
    let said = site.as_operator(&["backup", "store.bak"], b"").ok();
    assert!(said.err.contains("does not contain the record key"), "{}", said.err);
    assert_eq!(site.path("store.bak").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    site.set("too late", &["lost"]).ok();
    site.stop();

    site.saved(&["restore", "--data", "again", "store.bak"], b"").fails(78, &["--record-key"]);
    let whole = std::fs::read(site.path("store.bak")).unwrap();
    std::fs::write(site.path("cut.bak"), &whole[..whole.len() / 2]).unwrap();
    let key = ["--record-key", "data/record.key"];
    site.saved(&["restore", "--data", "again", key[0], key[1], "cut.bak"], b"").fails(1, &["damaged"]);
    assert!(!site.path("again").exists());
    site.saved(&["restore", "--data", "again", key[0], key[1], "store.bak"], b"").ok();
    site.saved(&["restore", "--data", "again", key[0], key[1], "store.bak"], b"").fails(78, &["not empty"]);

    site.serve("again", &[]);
    site.url = format!("unix:{}", site.path("again/dropsafe.sock").display());
    assert_eq!(site.run(&["list", "--json"]).ok().json().as_array().unwrap().len(), 1);
    site.as_operator(&["unlock"], PASSPHRASE.as_bytes()).ok();
    assert!(site.run(&["audit", "verify"]).ok().out.contains("audit log verified"));
}

#[test]
fn the_audit_log_says_what_was_done_and_by_whom() {
    let site = Site::unlocked();
    site.set("hunter2-hunter2", &["some-name"]).ok();
    site.run(&["backup", "x"]).fails(77, &[]);
    let entries = site.run(&["audit", "--json"]).ok().json();
    let created =
        entries.as_array().unwrap().iter().find(|entry| entry["action"] == "secret.create").unwrap();
    assert_eq!((&created["actor"], &created["target"]), (&"admin".into(), &"some-name".into()));
    let rows = site.run(&["audit", "--action", "secret"]).ok();
    assert!(rows.rows().iter().all(|row| row.contains(&"some-name")), "{}", rows.out);
    assert_eq!(site.run(&["audit", "--limit", "1", "--json"]).ok().json().as_array().unwrap().len(), 1);
    let verified = site.run(&["audit", "verify", "--json"]).ok().json();
    assert_eq!(verified["ok"], true);
}
