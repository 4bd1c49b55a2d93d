//! Signing in at a terminal with a code that is entered elsewhere, with a provider on loopback, and where its secrets are not.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;
use tokio::runtime::Runtime;

use super::site::{PASSPHRASE, Site};
use super::terminal::AtTerminal;
use super::test_provider::{CLIENT_SECRET, Entered, TestProvider};

/// What a provider and this store exchange, as far as nobody else may see it.
const SECRETS: [&str; 5] = [CLIENT_SECRET, "canary-device", "canary-access-token", "eyJ", "dsm_"];

/// A store whose people sign in with a provider, and the runtime that the provider is on.
fn with_provider() -> (Site, TestProvider, Runtime) {
    let runtime = Runtime::new().unwrap();
    let there = runtime.block_on(TestProvider::start());
    there.person(json!({ "sub": "s-ada", "preferred_username": "ada", "groups": ["staff"] }));
    let mut site = Site::new();
    let secret = site.path("data/corp.secret");
    fs::write(&secret, CLIENT_SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let file = site.path("data/server.yaml");
    // Everything that the server can say, so that a search of its log means something.
    let section = format!(
        "log:\n  level: debug\nsign_in:\n  providers:\n    - name: corp\n      issuer: {}\n      client_id: dropsafe\n      \
         client_secret_file: corp.secret\n      device_flow: true\n      groups: [{{group: staff, organization: default}}]\n",
        there.issuer
    );
    let before = fs::read_to_string(&file).unwrap_or_default();
    fs::write(&file, format!("{before}\n{section}")).unwrap();
    site.serve("data", &[]);
    site.as_operator(&["unlock"], PASSPHRASE.as_bytes()).ok();
    site.run(&["org", "set", "--create-at-sign-in", "true"]).ok();
    (site, there, runtime)
}

fn start(site: &Site) -> AtTerminal {
    let environment = [("DROPSAFE_URL", site.url.as_str())];
    AtTerminal::start(&["login", "--oidc"], &environment, site.folder.path())
}

/// Waits for the code that the terminal displays.
fn displayed_code(terminal: &mut AtTerminal) -> String {
    terminal.wait_for("enter it only because you started this command");
    let (_, rest) = terminal.seen.split_once("enter the code ").unwrap();
    rest.split(',').next().unwrap().to_owned()
}

/// All files below a folder, but the one in which the operator keeps the client's secret.
fn read_all(folder: &Path, found: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            read_all(&entry.path(), found);
        } else if kind.is_file() && entry.file_name() != "corp.secret" {
            fs::File::open(entry.path()).unwrap().read_to_end(found).unwrap();
        }
    }
}

#[test]
fn a_code_is_displayed_at_a_terminal_and_no_secret_is_anywhere() {
    let (site, there, _runtime) = with_provider();
    let mut terminal = start(&site);
    let code = displayed_code(&mut terminal);
    there.enter(&code, Entered::Approved);
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0), "{seen}");
    assert!(seen.contains("as ada (member of default)") && seen.contains("the token expires at"), "{seen}");
    assert!(site.saved(&["status"], b"").ok().out.contains("ada"));

    let log = fs::read_to_string(site.path("server.log")).unwrap();
    let audit =
        site.as_operator(&["audit", "--json"], b"").ok().out + &site.run(&["audit", "--json"]).ok().out;
    assert!(log.contains("/v1/sign-in/proof") && audit.contains("s-ada"), "nothing was searched");
    let process = |name: &str| fs::read(format!("/proc/{}/{name}", site.server_id())).unwrap();
    let process = [process("cmdline"), process("environ")].concat();
    for text in [seen, log, audit, String::from_utf8_lossy(&process).into_owned()] {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in:\n{text}");
        }
    }
    // Nor in the data folder, but for the file that the operator made.
    let mut files = Vec::new();
    read_all(&site.path("data"), &mut files);
    assert!(files.len() > 10_000, "nothing was searched");
    for secret in SECRETS.map(str::as_bytes) {
        let found = files.windows(secret.len()).any(|window| window == secret);
        assert!(!found || secret == b"eyJ", "{} is in the data folder", String::from_utf8_lossy(secret));
    }
}

#[test]
fn a_code_that_is_denied_or_interrupted_saves_nothing() {
    let (site, there, _runtime) = with_provider();
    let mut terminal = start(&site);
    let code = displayed_code(&mut terminal);
    there.enter(&code, Entered::Denied);
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(77), "{seen}");
    assert!(seen.contains("the provider denied the sign-in"), "{seen}");
    // ^C while the command waits.
    let mut terminal = start(&site);
    displayed_code(&mut terminal);
    terminal.types("\x03");
    let (status, seen) = terminal.end();
    assert_ne!(status, Some(0), "{seen}");
    assert!(!site.path(".config/dropsafe/login.json").exists());
    site.saved(&["status"], b"").fails(78, &["no store is configured"]);
}
