//! A store moves from SQLite to etcd and back, and its backup from one to the other.

use std::process::Output;

use super::server::Cluster;
use super::site::{Site, dropsafe, output, skipped, text, variables};

fn migrate(site: &Site, from: Option<&str>, to: &str) -> Output {
    let mut command = dropsafe(site.folder());
    command.args(["migrate", "--json", "--data"]).arg(site.servers[0].folder()).args(["--to", to]);
    command.args(from.map(|from| ["--from", from]).into_iter().flatten());
    command.output().unwrap()
}

fn fails(ran: &Output, says: &str) {
    let error = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && error.contains(says), "{error}");
}

#[test]
fn a_store_moves_to_etcd_and_back_with_all_that_it_holds() {
    if skipped() {
        return;
    }
    let etcd = Cluster::start(1, &[]);
    let there = format!("etcd://{}/moved", etcd.addresses());
    let mut site = Site::new("sqlite:store.db", 1);
    site.start(0, true, &[]);
    for number in 0..40 {
        text(&site.admin_at(0, &["set", &format!("KEY_{number}")], &format!("value {number}")));
    }
    text(&site.admin_at(0, &["set", "LONG"], &"x".repeat(60_000)));
    let ticket = text(&site.ticket_at(0, &[]));
    let before = variables(&output(site.agent(&ticket, "20s")));
    fails(&migrate(&site, None, &there), "another server uses the data");
    site.servers[0].stop();

    let moved: serde_json::Value = serde_json::from_slice(&migrate(&site, None, &there).stdout).unwrap();
    assert!(moved["records"].as_u64().unwrap() > 80, "{moved}");
    fails(&migrate(&site, None, &there), "already moved");
    let mut old = dropsafe(site.folder());
    old.args(["serve", "--data"]).arg(site.servers[0].folder());
    fails(&old.output().unwrap(), "was moved");

    site.start(0, true, &["--store", &there]);
    assert_eq!(variables(&output(site.agent(&ticket, "20s"))), before);
    text(&site.admin_at(0, &["delete", "KEY_7", "--yes"], ""));
    text(&site.admin_at(0, &["set", "KEY_8"], "new"));
    // The largest there is, which etcd's bound on requests must leave room for.
    text(&site.admin_at(0, &["set", "LARGEST", "--as-file", "--no-install"], &"x".repeat(1 << 20)));
    text(&site.operator_at(0, &["audit", "verify"], ""));
    let backup = site.folder().join("backup");
    text(&site.operator_at(0, &["backup", backup.to_str().unwrap()], ""));
    let after = variables(&output(site.agent(&ticket, "20s")));
    assert!(after["KEY_8"] == "new" && !after.contains_key("KEY_7"));
    site.servers[0].stop();

    // Back to where it was, whose old records give way.
    text(&migrate(&site, Some(&there), "sqlite:store.db"));
    site.start(0, true, &[]);
    assert_eq!(variables(&output(site.agent(&ticket, "20s"))), after);
    text(&site.operator_at(0, &["audit", "verify"], ""));
    site.servers[0].stop();

    // And what was backed up on etcd is restored there, beside it, and in a file.
    let file = format!("sqlite:{}", site.folder().join("restored-in-a-file/store.db").display());
    for (name, restored) in
        [("restored", format!("etcd://{}/restored", etcd.addresses())), ("restored-in-a-file", file)]
    {
        let mut restore = dropsafe(site.folder());
        let folder = site.folder().join(name);
        restore.args(["restore", "--store", &restored, "--data"]).arg(&folder).arg("--record-key");
        restore.arg(site.servers[0].folder().join("record.key")).arg(&backup);
        restore.arg("--json");
        let printed: serde_json::Value = serde_json::from_str(&text(&output(restore))).unwrap();
        let epoch = printed["epoch"].as_str().unwrap();
        // The backup is older than what this server has seen, which it takes for a rollback unless the operator says otherwise.
        let serve = ["--store", &restored, "--accept-restore", epoch];
        site.start(0, true, &serve);
        assert_eq!(variables(&output(site.agent(&ticket, "20s"))), after);
        text(&site.operator_at(0, &["audit", "verify"], ""));
        site.servers[0].stop();
    }
}
