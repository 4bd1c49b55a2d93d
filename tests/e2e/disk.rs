//! The disk: full, damaged, or another server's.

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
fn a_damaged_database_is_an_error_and_not_a_wrong_value() {
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

    // One bit in each of many places: every boot either gives exactly the right values or fails.
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
    let mut refused = 0;
    for step in 1..24 {
        let mut bytes = sound.clone();
        let at = bytes.len() * step / 24 + 37;
        bytes[at] ^= 0x10;
        fs::write(&file, &bytes).unwrap();
        let _ = fs::remove_file(site.data().join("store.db-wal"));
        let _ = fs::remove_file(site.data().join("store.db-shm"));
        if !site.try_serve(&["--unlock-passphrase-file", passphrase.to_str().unwrap()]) {
            refused += 1;
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
            assert_eq!(named(&seen), named(&right), "a damaged byte at {at} changed what a workload got");
        } else {
            refused += 1;
        }
        site.kill();
    }
    assert!(refused > 0, "no damage was noticed");
    fs::write(&file, &sound).unwrap();
}

#[test]
fn a_full_disk_refuses_the_deposit_and_loses_nothing() {
    let mut site = Site::new();
    // A small file system of its own, in a place that only this test uses.
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

    let mut kept = Vec::new();
    let mut refused = None;
    for at in 0..400 {
        let name = format!("fill-{at}-x");
        let ran = site.set(&name, &"x".repeat(8_000), &[]);
        if ran.status.success() {
            kept.push(name);
        } else {
            refused = Some(ran);
            break;
        }
    }
    let refused = refused.expect("the disk never filled up");
    assert!(refused.err.contains("full"), "{}", refused.err);
    assert!(kept.len() > 10, "only {} fitted", kept.len());

    // Still readable; and, killed here, it opens again with all that was acknowledged.
    let stored = site.cli(&["list", "--json"]).ok().json();
    assert_eq!(stored.as_array().unwrap().len(), kept.len());
    site.kill();
    // Room again.
    let status = Command::new("mount").args(["-o", "remount,size=16m"]).arg(&small).status().unwrap();
    assert!(status.success());
    site.serve_unlocked();
    let stored = site.cli(&["list", "--json"]).ok().json();
    assert!(stored.as_array().unwrap().len() >= kept.len());
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
