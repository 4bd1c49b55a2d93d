//! Servers of different roles over one store.

use super::server::Cluster;
use super::site::{PASSPHRASE, Site, output, skipped, text, variables};

fn fails(ran: &std::process::Output, code: i32, says: &str) {
    let error = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(code), "{error}");
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_server_for_deposits_holds_no_release_key_and_one_for_boots_answers_nothing_else() {
    if skipped() {
        return;
    }
    let etcd = Cluster::start(1, &[]);
    let mut site = Site::new(&format!("etcd://{}/roles", etcd.addresses()), 2);
    site.start(0, false, &["--role", "deposit"]);
    site.start(1, true, &["--role", "release"]);

    text(&site.admin_at(0, &["set", "api-key"], "the value"));
    let ticket = text(&site.ticket_at(0, &[]));
    // Of the ticket's addresses the first cannot release anything.
    assert_eq!(variables(&output(site.agent(&ticket, "20s")))["API_KEY"], "the value");

    let passphrase = site.folder().join("passphrase");
    let unlock = ["unlock", "--passphrase-file", passphrase.to_str().unwrap()];
    fails(&site.operator_at(0, &unlock, ""), 77, "takes deposits only");
    text(&site.operator_at(1, &["lock"], ""));
    text(&site.operator_at(1, &unlock, ""));
    fails(&site.admin_at(1, &["set", "other"], "value"), 1, "answers boots only");
    fails(&site.admin_at(1, &["list"], ""), 1, "answers boots only");
    text(&site.operator_at(0, &["audit", "verify"], ""));
    assert!(!site.logs().contains(PASSPHRASE) && !site.logs().contains("the value"));
}
