//! The saved login, what stands before it, and the deposit key that is remembered.

use std::os::unix::fs::PermissionsExt;

use super::site::{PASSPHRASE, Site};

#[test]
fn a_login_is_checked_saved_for_its_owner_and_forgotten() {
    let site = Site::unlocked();
    site.saved(&["list"], b"").fails(78, &["no store is configured", "dropsafe login"]);
    site.saved(&["login", &site.url], b"not a token").fails(78, &["the token"]);
    site.saved(&["login", "http://store.example"], b"x").fails(78, &["plain http"]);
    assert!(!site.path(".config/dropsafe/login.json").exists());

    let said = site.saved(&["login", &site.url], site.admin.as_bytes()).ok();
    assert!(said.out.contains("as admin (admin of default)"), "{}", said.out);
    assert!(!format!("{said:?}").contains(&site.admin));
    let mode = site.path(".config/dropsafe/login.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    site.saved(&["set", "name"], b"value").ok();
    assert_eq!(site.saved(&["list", "--json"], b"").ok().json().as_array().unwrap().len(), 1);

    // A token from the environment goes to the saved address; a saved token goes to no other.
    let mut command = super::site::bare(&site.folder);
    command.args(["status"]).env("DROPSAFE_TOKEN", &site.operator);
    assert!(super::site::Ran::of(super::site::feed(command, b"")).ok().out.contains("operator"));
    let mut command = super::site::bare(&site.folder);
    command.args(["status"]).env("DROPSAFE_URL", "https://elsewhere.example");
    super::site::Ran::of(super::site::feed(command, b"")).fails(78, &["but DROPSAFE_TOKEN is not"]);

    site.saved(&["logout"], b"").ok();
    site.saved(&["list"], b"").fails(78, &[]);
}

/// Re-encrypts everything as the operator, on another machine.
fn re_encrypt_elsewhere(site: &Site, arguments: &[&str]) -> super::site::Ran {
    let mut elsewhere = site.client(&site.operator, &[&["re-encrypt", "--all"], arguments].concat());
    let home = tempfile::tempdir().unwrap();
    elsewhere.env("HOME", home.path());
    super::site::Ran::of(super::site::feed(elsewhere, b"")).ok()
}

#[test]
fn a_new_generation_that_the_pinned_one_signed_is_followed() {
    let site = Site::unlocked();
    site.saved(&["login", &site.url], site.admin.as_bytes()).ok();
    site.saved(&["set", "name"], b"value").ok();
    let known = || std::fs::read_to_string(site.path(".config/dropsafe/known.json")).unwrap();
    let before = known();
    // Twice, so that the one in between was never seen.
    for _ in 0..2 {
        let said = re_encrypt_elsewhere(&site, &[]);
        assert!(!said.err.contains("must accept"), "{}", said.err);
    }
    site.saved(&["set", "name"], b"value").ok();
    assert_ne!(known(), before, "the new key is pinned");
    // A new login follows too.
    re_encrypt_elsewhere(&site, &[]);
    site.saved(&["login", &site.url], site.admin.as_bytes()).ok();
}

#[test]
fn a_saved_login_follows_the_rotation_of_the_tls_key() {
    let mut site = Site::unlocked();
    site.saved(&["login", &site.url], site.admin.as_bytes()).ok();
    site.saved(&["set", "name"], b"value").ok();
    let read =
        |site: &Site, name: &str| std::fs::read_to_string(site.path(".config/dropsafe").join(name)).unwrap();
    let pinned = |site: &Site| {
        let login: serde_json::Value = serde_json::from_str(&read(site, "login.json")).unwrap();
        login["pin"].as_str().unwrap().to_owned()
    };
    let rotate = |site: &mut Site, flags: &[&str]| {
        site.run(&[&["tls", "rotate", "--data", "data"], flags].concat()).ok();
        site.stop();
        site.serve("data", &[]);
    };
    let first = pinned(&site);
    rotate(&mut site, &[]);
    // Nothing but a command that asks for the state learns the next pin: one is enough, before the next rotation.
    site.saved(&["list"], b"").ok();
    assert_eq!(pinned(&site), first);
    site.saved(&["set", "name"], b"another").ok();
    assert_eq!(pinned(&site).split_once(',').unwrap().0, first.split_once(',').unwrap().1);
    rotate(&mut site, &["--again"]);
    site.saved(&["status"], b"").ok();
    rotate(&mut site, &["--again"]);
    site.saved(&["set", "name"], b"a third").ok();
    // The deposit key stays pinned: it is not accepted anew with each TLS key.
    let known: serde_json::Value = serde_json::from_str(&read(&site, "known.json")).unwrap();
    let (address, _) = known.as_object().unwrap().iter().next().unwrap();
    assert!(address.ends_with(pinned(&site).split_once(',').unwrap().0), "{known}");
    assert_eq!(known.as_object().unwrap().len(), 1);

    rotate(&mut site, &["--again"]);
    rotate(&mut site, &["--again"]);
    site.saved(&["list"], b"").fails(77, &["is not the expected store", "log in again"]);
}

#[test]
fn a_changed_deposit_key_gets_nothing_until_it_is_accepted() {
    let site = Site::unlocked();
    site.saved(&["login", &site.url], site.admin.as_bytes()).ok();
    site.saved(&["set", "name"], b"value").ok();

    let said = re_encrypt_elsewhere(&site, &["--compromised"]);
    assert!(said.err.contains("must accept"), "{}", said.err);
    let key = said.out.lines().find_map(|line| line.strip_prefix("new deposit key: ")).unwrap().to_owned();

    let refused =
        site.saved(&["set", "name"], b"value").fails(77, &["deposit key has changed", "--deposit-key"]);
    assert!(refused.err.contains(&key), "{}", refused.err);
    site.saved(&["login", &site.url], site.admin.as_bytes()).fails(77, &["deposit key has changed"]);
    site.saved(&["login", "--deposit-key", "sha256/other"], b"").fails(77, &["another fingerprint"]);
    site.saved(&["set", "name"], b"value").fails(77, &[]);
    site.saved(&["login", "--deposit-key", &key], b"").ok();
    site.saved(&["set", "name"], b"value").ok();

    let mut expecting = site.client(&site.admin, &["set", "name"]);
    expecting.env("DROPSAFE_DEPOSIT_KEY", "sha256/other");
    super::site::Ran::of(super::site::feed(expecting, b"v")).fails(77, &["deposit key has changed"]);
}

#[test]
fn an_absent_a_locked_and_a_wrong_store_have_different_errors() {
    let mut site = Site::new();
    site.run(&["status"]).fails(69, &["cannot be reached", "check that the store runs"]);
    site.serve("data", &[]);
    site.as_operator(&["unlock"], b"wrong").fails(77, &["no key slot opens with this"]);
    site.run(&["re-encrypt", "nothing"]).fails(1, &["no secret of that name"]);
    site.as_operator(&["re-encrypt", "--all"], b"").fails(75, &["locked"]);
    site.as_operator(&["unlock"], PASSPHRASE.as_bytes()).ok();
    let wrong = site.url.split_once('#').unwrap().0.to_owned()
        + "#sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let mut command = site.client(&site.admin, &["status"]);
    command.env("DROPSAFE_URL", wrong);
    super::site::Ran::of(super::site::feed(command, b"")).fails(77, &["is not the expected store"]);
    // The private authority instead of the pin.
    let mut command = site.client(&site.admin, &["status"]);
    command.env("DROPSAFE_URL", site.url.split_once('#').unwrap().0).env("DROPSAFE_CA", "data/tls/ca.pem");
    super::site::Ran::of(super::site::feed(command, b"")).ok();
    let mut command = site.client(&site.admin, &["status"]);
    command.env("DROPSAFE_URL", format!("unix:{}", site.path("data/dropsafe.sock").display()));
    super::site::Ran::of(super::site::feed(command, b"")).ok();
}
