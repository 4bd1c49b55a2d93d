//! A full disk, a damaged database, and a second server on the same data.

use std::fs;
use std::process::Command;

use super::harness::{Site, skip};

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let mut site = Site::unlocked();
    let first = site.server_pid().to_string();
    let output = site
        .serve_command(&["--listen", "127.0.0.1:0"])
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&first) || said.contains("in use") || said.contains("another"), "{said}");
    site.set("still", "works", &[]).ok();
    assert!(site.stop().success());
}

#[test]
fn a_store_that_was_rolled_back_is_not_served() {
    let mut site = Site::unlocked();
    site.set("openai-api-key", "the old key", &[]).ok();
    assert!(site.stop().success());
    let file = site.data().join("store.db");
    let older = fs::read(&file).unwrap();
    site.serve_unlocked();
    site.set("openai-api-key", "the new key", &[]).ok();
    assert!(site.stop().success());

    fs::write(&file, &older).unwrap();
    let output = site.serve_command(&[]).stderr(std::process::Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("rolled back") && said.contains("dropsafe restore"), "{said}");
}

#[test]
fn a_machine_notices_that_the_store_was_rolled_back() {
    let mut site = Site::unlocked();
    site.set("openai-api-key", "canary-of-the-old-key", &[]).ok();
    let ticket = site.ticket("admin", &[]);
    let cache = tempfile::tempdir().unwrap();
    let boot = |site: &Site, more: &[&str]| {
        let folder = ["--cache-dir", cache.path().to_str().unwrap()];
        let arguments = [&["exec"], &folder[..], more, &["--", "printenv", "OPENAI_API_KEY"]].concat();
        site.agent(&ticket, &arguments, &[("DROPSAFE_LOG", "warn")]).ok()
    };
    assert_eq!(boot(&site, &[]).err, "");
    assert!(site.stop().success());
    let file = site.data().join("store.db");
    let older = fs::read(&file).unwrap();
    site.serve_unlocked();
    // More changes than a server makes by itself when it starts.
    for name in 0..20 {
        site.set(&format!("name-{name}"), "value", &[]).ok();
    }
    site.set("openai-api-key", "canary-of-the-new-key", &[]).ok();
    assert_eq!(boot(&site, &["--on-outage", "cache"]).out, "canary-of-the-new-key\n");
    assert!(site.stop().success());

    fs::write(&file, &older).unwrap();
    fs::remove_file(site.data().join("log-heads")).unwrap();
    site.serve_unlocked();
    for more in [&[][..], &["--on-outage", "cache"]] {
        let ran = boot(&site, more);
        assert_eq!(ran.out, "canary-of-the-old-key\n");
        assert!(ran.err.contains("the store has gone back"), "{}", ran.err);
        assert!(!ran.err.contains("canary"), "{}", ran.err);
    }
    // Without the server, the machine starts with the newer release.
    assert!(site.stop().success());
    let ran = boot(&site, &["--on-outage", "cache", "--deadline", "300ms"]);
    assert_eq!(ran.out, "canary-of-the-new-key\n");
    for entry in fs::read_dir(cache.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
}

#[test]
fn a_damaged_database_is_an_error_and_never_a_wrong_value() {
    let mut site = Site::unlocked();
    for at in 0..50 {
        site.set(&format!("name-{at}-x"), "some value", &[]).ok();
    }
    let ticket = site.ticket("admin", &[]);
    assert!(site.stop().success());
    let file = site.data().join("store.db");
    let sound = fs::read(&file).unwrap();

    // Not a database at all.
    fs::write(&file, b"these are not the bytes of a database, by any means at all").unwrap();
    let output = site.serve_command(&[]).stderr(std::process::Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("store.db") && said.contains("restore"), "{said}");

    // Flips one bit at each of many offsets: every boot either returns exactly the right values or fails.
    let right = {
        fs::write(&file, &sound).unwrap();
        site.serve_unlocked();
        let right = site.boot(&ticket, &[]);
        assert!(site.stop().success());
        right
    };
    assert_eq!(right.iter().filter(|(name, _)| name.starts_with("NAME_")).count(), 50);
    let sound = fs::read(&file).unwrap();
    let passphrase = site.folder.path().join("passphrase");
    let mut noticed = 0;
    for step in 1..24 {
        let mut bytes = sound.clone();
        let at = bytes.len() * step / 24 + 37;
        bytes[at] ^= 0x10;
        fs::write(&file, &bytes).unwrap();
        let _ = fs::remove_file(site.data().join("store.db-wal"));
        let _ = fs::remove_file(site.data().join("store.db-shm"));
        // Each copy is older than what the server of the one before has written.
        let _ = fs::remove_file(site.data().join("log-heads"));
        if !site.try_serve(&["--unlock-passphrase-file", passphrase.to_str().unwrap()]) {
            noticed += 1;
            continue;
        }
        let ran = site.agent(&ticket, &["exec", "--deadline", "2s", "--", "env", "-0"], &[]);
        if ran.status.success() {
            let seen = super::harness::environment(&ran.out);
            let named = |all: &std::collections::BTreeMap<String, String>| {
                all.iter()
                    .filter(|(name, _)| name.starts_with("NAME_"))
                    .map(|(n, v)| (n.clone(), v.clone()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(named(&seen), named(&right), "a damaged byte at {at} changed a value of the workload");
            // Most bytes are those of the audit log, which a boot does not read.
            noticed += u32::from(!site.operator(&["audit", "verify", "--state"]).status.success());
        } else {
            noticed += 1;
        }
        site.kill();
    }
    assert!(noticed > 5, "{noticed} of 23 were noticed");
    fs::write(&file, &sound).unwrap();
}

#[test]
fn a_full_disk_refuses_the_deposit_and_loses_nothing() {
    let mut site = Site::new();
    // A small file system, mounted in this test's own folder.
    let small = site.folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1536k,mode=700", "none"])
        .arg(&small)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return skip("a small file system (needs the right to mount)");
    }
    let unmount = Unmount(small.clone());
    for entry in fs::read_dir(site.data()).unwrap() {
        let entry = entry.unwrap();
        let status = Command::new("cp").arg("-a").arg(entry.path()).arg(&small).status().unwrap();
        assert!(status.success());
    }
    fs::remove_dir_all(site.data()).unwrap();
    std::os::unix::fs::symlink(&small, site.data()).unwrap();
    site.serve_unlocked();

    let mut stored_names = Vec::new();
    let mut refused = None;
    for at in 0..400 {
        let name = format!("fill-{at}-x");
        let ran = site.set(&name, &"x".repeat(8_000), &[]);
        if ran.status.success() {
            stored_names.push(name);
        } else {
            refused = Some(ran);
            break;
        }
    }
    let refused = refused.expect("the disk never filled up");
    assert!(refused.err.contains("full"), "{}", refused.err);
    assert!(stored_names.len() > 10, "only {} deposits fitted", stored_names.len());

    // It is still readable. After a kill here, it opens again with every acknowledged deposit.
    let stored = site.cli(&["list", "--json"]).ok().json();
    assert_eq!(stored.as_array().unwrap().len(), stored_names.len());
    site.kill();
    // Makes room again.
    let status = Command::new("mount").args(["-o", "remount,size=16m"]).arg(&small).status().unwrap();
    assert!(status.success());
    site.serve_unlocked();
    let stored = site.cli(&["list", "--json"]).ok().json();
    assert!(stored.as_array().unwrap().len() >= stored_names.len());
    site.set("room-again", "v", &[]).ok();
    site.operator(&["audit", "verify"]).ok();
    assert!(site.stop().success());
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
