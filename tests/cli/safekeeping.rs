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
    run(&["init", "--data", "d"], b"a").fails(1, &["too weak", "--allow-weak-passphrase"]);
    assert!(!folder.path().join("d").exists());
    let made =
        run(&["init", "--data", "d", "--listen", "127.0.0.1:1"], b"a phrase of five random words\n").ok();
    let words: Vec<_> = made.out.split_whitespace().collect();
    assert_eq!(words.iter().filter(|word| word.starts_with("dso_")).count(), 1);
    assert_eq!(words.iter().filter(|word| word.starts_with("dsm_")).count(), 1);
    assert!(made.out.contains("https://127.0.0.1:1#sha256/"), "{}", made.out);
    assert!(
        made.err.contains("record.key") && !made.err.contains("dso_") && !made.err.contains("random words")
    );
    run(&["init", "--data", "d"], b"a phrase of five random words\n").fails(78, &["not empty"]);
    run(&["init", "--data", "e", "--org", "Not Good"], b"a phrase of five random words\n")
        .fails(1, &["--org"]);
    run(&["init", "--data", "e", "--advertise", "a b"], b"a phrase of five random words\n")
        .fails(64, &["--advertise"]);
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
    site.as_operator(&["keyslot", "add"], b"password\n").fails(1, &["too weak"]);
    site.as_operator(&["keyslot", "add", "--allow-weak-passphrase", "--label", "weak"], b"password\n").ok();
    site.as_operator(&["keyslot", "add"], b"another passphrase of the tests\n").ok();
    let slots = site.as_operator(&["keyslot", "list", "--json"], b"").ok().json();
    assert_eq!(slots.as_array().unwrap().len(), 4);

    for open in [&["unlock", "--key-file", "unlock.key"][..], &["unlock"]] {
        site.as_operator(&["lock"], b"").ok();
        assert_eq!(site.as_operator(&["status", "--json"], b"").ok().json()["locked"], true);
        site.as_operator(open, b"another passphrase of the tests").ok();
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
    let written = std::fs::read(site.path("store.bak")).unwrap();
    site.as_operator(&["backup", "store.bak"], b"").fails(73, &["store.bak exists", "another name"]);
    assert_eq!(std::fs::read(site.path("store.bak")).unwrap(), written);
    site.set("too late", &["lost"]).ok();
    site.stop();

    site.saved(&["restore", "--data", "again", "store.bak"], b"").fails(78, &["--record-key"]);
    let whole = std::fs::read(site.path("store.bak")).unwrap();
    std::fs::write(site.path("cut.bak"), &whole[..whole.len() / 2]).unwrap();
    let key = ["--record-key", "data/record.key"];
    site.saved(&["restore", "--data", "again", key[0], key[1], "cut.bak"], b"").fails(1, &["damaged"]);
    assert!(!site.path("again").exists());
    let restored = site.saved(&["restore", "--data", "again", key[0], key[1], "store.bak"], b"").ok();
    let epoch = restored.out.split("epoch ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(restored.err.contains(&format!("--accept-restore {epoch}")), "{}", restored.err);
    assert!(
        restored
            .out
            .contains("limited tickets revoked: 0; enrolment links expired: 0; sessions signed out: 0"),
        "{}",
        restored.out
    );
    site.saved(&["restore", "--data", "again", key[0], key[1], "store.bak"], b"").fails(78, &["not empty"]);

    // Another server of the store, which has seen more than the backup has.
    let other = ["serve", "--data", "data", "--store", "sqlite:../again/store.db"];
    site.saved(&other, b"").fails(78, &[epoch.as_str(), "--accept-restore"]);
    site.saved(&[&other[..], &["--accept-restore", "aaaaaaaa"]].concat(), b"").fails(78, &[epoch.as_str()]);
    site.saved(&[&other[..], &["--accept-restore", "A1"]].concat(), b"").fails(64, &["8 characters"]);

    site.serve("again", &[]);
    site.url = format!("unix:{}", site.path("again/dropsafe.sock").display());
    assert_eq!(site.run(&["list", "--json"]).ok().json().as_array().unwrap().len(), 1);
    site.as_operator(&["unlock"], PASSPHRASE.as_bytes()).ok();
    assert!(site.run(&["audit", "verify"]).ok().out.contains("audit log verified"));
}

#[test]
fn the_audit_log_names_each_action_and_actor() {
    let site = Site::unlocked();
    site.set("hunter2-hunter2", &["some-name"]).ok();
    site.run(&["backup", "x"]).fails(77, &[]);
    let entries = site.run(&["audit", "--json"]).ok().json();
    let created =
        entries.as_array().unwrap().iter().find(|entry| entry["action"] == "secret.create").unwrap();
    assert_eq!((&created["actor"], &created["target"]), (&"admin".into(), &"some-name".into()));
    let ticket = site.run(&["ticket", "new"]).ok();
    assert!(ticket.out.contains("dst_"), "{}", ticket.out);
    let history = site.run(&["audit", "--secret", "SOME_NAME", "--json"]).ok().json();
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert!(site.run(&["audit", "--secret", "OTHER", "--json"]).ok().json().as_array().unwrap().is_empty());
    let rows = site.run(&["audit", "--action", "secret"]).ok();
    assert!(rows.rows().iter().all(|row| row.contains(&"some-name")), "{}", rows.out);
    assert_eq!(site.run(&["audit", "--limit", "1", "--json"]).ok().json().as_array().unwrap().len(), 1);
    let verified = site.run(&["audit", "verify", "--json"]).ok().json();
    assert_eq!(verified["ok"], true);
}
