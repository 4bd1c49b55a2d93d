//! What a boot is to receive and what not, in a store of its own: the same three secrets wherever the agent stands.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::harness::Site;

/// High entropy, so that a match cannot be by chance. No character that a shell, a kernel or grep(1) would take for itself.
pub const PRIVATE: &str = "uV3kR8pXw1QmZt6YbNc4HsJ9dLfGa2eO5iTyKqWxEzCvBnMrPlSdFgHj";
pub const SHARED: &str = "Ww7TnB2yLx9KcMvRq4ZpJf6HsDg1AaXe3UoIiEtYkQbNzVlPmCrSwFhG";
pub const OFF: &str = "Pq5ZrXe8JmVw2CtLy7BnKf3HsGd9AoUi4TxEyQzWkRbNcMvDlSpFgJhT";

/// Shared and private under one exported name, and one that is switched off.
pub fn deposit(site: &Site) {
    site.set("openai-api-key", SHARED, &["--shared"]).ok();
    site.set("OPENAI_API_KEY", PRIVATE, &[]).ok();
    site.set("switched.off", OFF, &["--no-install"]).ok();
}

/// A ticket that was made and revoked.
pub fn revoked(site: &Site) -> String {
    let ticket = site.ticket("admin", &["--label", "revoked"]);
    let listed = site.cli(&["ticket", "list", "--json"]).ok().json();
    let listed = listed.as_array().unwrap().iter().rfind(|ticket| ticket["label"] == "revoked").unwrap();
    site.cli(&["ticket", "revoke", listed["id"].as_str().unwrap()]).ok();
    ticket
}

/// What a program printed of its environment, one variable a line.
pub fn variables(printed: &str) -> BTreeMap<&str, &str> {
    printed.lines().filter_map(|line| line.trim_end_matches('\r').split_once('=')).collect()
}

/// Private before shared, nothing that is switched off, and nothing of the agent's own.
#[track_caller]
pub fn is_what_a_boot_receives(seen: &BTreeMap<&str, &str>, place: &str) {
    assert_eq!(seen.get("OPENAI_API_KEY"), Some(&PRIVATE), "{place}: private goes before shared");
    assert!(!seen.contains_key("SWITCHED_OFF"), "{place}");
    assert!(!seen.keys().any(|name| name.starts_with("DROPSAFE_")), "{place}: {:?}", seen.keys());
}

/// Whether any window of 16 bytes of `secret` is in `text`.
pub fn holds(text: &[u8], secret: &str) -> bool {
    super::supervise::holds(text, secret.as_bytes())
}

/// The files below a folder in which grep(1) finds any window of 16 bytes: images are large, and it is fast.
pub fn files_with(folder: &Path, secrets: &[&str]) -> String {
    let mut windows = tempfile::NamedTempFile::new().unwrap();
    for window in secrets.iter().flat_map(|secret| secret.as_bytes().windows(16)) {
        windows.write_all(&[window, b"\n"].concat()).unwrap();
    }
    let mut grep = Command::new("grep");
    grep.args([
        "--recursive",
        "--files-with-matches",
        "--binary-files=text",
        "--fixed-strings",
        "--devices=skip",
        "--file",
    ]);
    let found = grep.arg(windows.path()).arg(folder).env("LC_ALL", "C").output().unwrap();
    String::from_utf8_lossy(&found.stdout).into_owned()
}
