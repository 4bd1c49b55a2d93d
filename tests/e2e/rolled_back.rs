//! A machine that has booted holds the proof that its store was rolled back.

use std::fs;

use super::harness::Site;

#[test]
fn what_a_machine_kept_proves_a_rollback_offline() {
    let mut site = Site::unlocked();
    let cache = tempfile::tempdir().unwrap();
    let (copy, newer) = (cache.path().join("copy.db"), cache.path().join("newer"));
    let newer = newer.to_str().unwrap();
    site.set("key", "one", &[]).ok();
    let ticket = site.ticket("admin", &[]);
    // What the operator knows of the log's key, from before.
    let vkey = site.operator(&["audit", "checkpoint"]).ok().out.lines().nth(1).unwrap()[5..].to_owned();
    assert!(site.stop().success());
    fs::copy(site.data().join("store.db"), &copy).unwrap();

    site.serve_unlocked();
    site.set("key", "two", &[]).ok();
    site.set("another", "three", &[]).ok();
    let folder = [("DROPSAFE_CACHE_DIR", cache.path().to_str().unwrap())];
    let exec = ["exec", "--", "sh", "-c", "echo $KEY"];
    assert_eq!(site.agent(&ticket, &exec, &folder).ok().out, "two\n");
    let kept = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept = kept.filter(|path| path.extension().is_some_and(|kind| kind == "checkpoint"));
    let kept: Vec<String> = kept.map(|path| path.to_str().unwrap().to_owned()).collect();
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    let before = fs::read_to_string(kept).unwrap();
    assert!(before.starts_with(&format!("dropsafe checkpoint v1\nvkey {vkey}\n")), "{before}");
    // While nothing was rolled back, the log continues it.
    let verify = ["audit", "verify", "--checkpoint", kept, "--with", newer, "--key", &vkey];
    fs::write(newer, site.operator(&["audit", "checkpoint", "--since", kept]).ok().out).unwrap();
    let verified = site.operator(&verify).ok().out;
    assert!(
        verified.contains("checkpoint verified") && verified.contains("nothing of the others"),
        "{verified}"
    );
    let swapped = ["audit", "verify", "--checkpoint", newer, "--with", kept, "--key", &vkey];
    site.operator(&swapped).fails(1, &["is a machine's checkpoint"]);
    assert!(site.stop().success());

    // The attacker restores the copy, and removes what the server would notice it by.
    fs::copy(&copy, site.data().join("store.db")).unwrap();
    fs::remove_file(site.data().join("log-heads")).unwrap();
    site.serve_unlocked();
    let ran = site.agent(&ticket, &exec, &folder).ok();
    assert_eq!(ran.out, "one\n");
    assert!(ran.err.contains("the store has gone back") && ran.err.contains(kept), "{}", ran.err);
    assert_eq!(fs::read_to_string(kept).unwrap(), before, "the evidence stays");
    fs::write(newer, site.operator(&["audit", "checkpoint"]).ok().out).unwrap();
    assert!(site.stop().success());
    site.operator(&verify).fails(1, &["the store was rolled back", "1 of 1 chains", "is missing"]);
}
