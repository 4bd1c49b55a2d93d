//! Stores and backups that earlier versions wrote (`tests/vectors/store-N/`): this version opens, unlocks, boots, lists, verifies
//! and restores copies of them, and finishes the re-encryption that was interrupted in them.
//!
//! A store of a new format is written once, by the version that introduces it, with
//! `DROPSAFE_GOLDEN=tests/vectors/store-N cargo test --all-features --test e2e -- --ignored write_a_golden_store`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dropsafe::crypto::record::RecordKey;
use dropsafe::domain::credential::Credential;
use dropsafe::domain::ticket::BootTicket;
use dropsafe::kv::sqlite::Sqlite;
use dropsafe::kv::{
    BoxFuture, CommitError, Kv, KvHealth, KvLookup, KvPage, KvReadError, KvSnapshot, Limits, Outage,
    Precondition, Revision, Write,
};
use dropsafe::store::{Caller, KernelEntropy, Store, SystemClock, UnlockSecret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::harness::{PASSPHRASE, Site};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
/// The format that this version writes.
const NEWEST_FORMAT: u16 = 6;
const SECRETS: usize = 60;
/// Holds a long value, which has a record of its own.
const LONG: usize = 5000;

/// What a golden store contains, for the test to compare: `expected.json`.
#[derive(Serialize, Deserialize)]
struct Expected {
    url: String,
    passphrase: String,
    operator: String,
    admin: String,
    alice: String,
    /// The environment that each ticket boots with, apart from files.
    boots: BTreeMap<String, BTreeMap<String, String>>,
    /// Tickets that boot no more.
    denied: Vec<String>,
    /// The code of an enrolment that nobody has redeemed. Stores of the formats before 4 have none.
    #[serde(default)]
    enrolment: Option<String>,
    /// What commands print: of alice for her private secrets, else of the first administrator.
    lists: BTreeMap<String, Value>,
}

const LISTS: [&str; 10] = [
    "list --shared",
    "list --private",
    "member list",
    "ticket list",
    "token list",
    "plugin list",
    "category list",
    "boots",
    "launcher list",
    "org show",
];

#[test]
fn every_golden_store_still_works() {
    let stores = golden_stores();
    assert!(!stores.is_empty());
    for store in stores {
        let (mut site, expected) = copy_of(&store);
        serve(&mut site);
        check_lists(&store, &site, &expected);
        // Boots wait for somebody to unlock, and a wrong passphrase does not.
        site.cli_as(&site.operator, &["unlock"], b"another passphrase").fails(77, &[]);
        site.cli_as(&site.operator, &["unlock"], expected.passphrase.as_bytes()).ok();
        check_boots(&store, &site, &expected);
        finish_reencryption(&store, &site);
        check_boots(&store, &site, &expected);
        redeem(&site, &expected);
        site.operator(&["audit", "verify", "--state"]).ok();
        // What this version writes lies beside what the old one wrote, which an older program must not read any more.
        site.set("later", "added by this version", &["--shared"]).ok();
        site.cli(&["edit", "stripe-key", "--description", "set by this version"]).ok();
        let found = list(&site, "list this_version --shared", &expected.alice);
        assert!(found.as_array().unwrap().is_empty());
        let found = list(&site, "list version --shared", &expected.alice);
        assert_eq!(found[0]["name"], "stripe-key");
        site.operator(&["lock"]).ok();
        assert!(site.stop().success());
        assert_eq!(header_format(&site), NEWEST_FORMAT, "{}", store.display());
        serve(&mut site);
        site.cli_as(&site.operator, &["unlock"], expected.passphrase.as_bytes()).ok();
        let ticket = current(&site, expected.boots.keys().next().unwrap());
        assert_eq!(site.boot(&ticket, &[])["LATER"], "added by this version", "{}", store.display());
        site.operator(&["audit", "verify", "--state"]).ok();
        // One rotation of the TLS key ends tickets with one pin, and a second one all others.
        let data = site.data();
        let rotate = ["tls", "rotate", "--data", data.to_str().unwrap()];
        site.cli(&rotate).ok();
        site.cli(&[&rotate[..], &["--again"]].concat()).ok();
        assert!(site.stop().success());
        serve(&mut site);
        site.agent(&ticket, &["exec", "--", "true"], &[])
            .fails(77, &["is not the expected store", "create a new ticket"]);
    }
}

#[test]
fn every_golden_backup_is_still_restored() {
    for store in golden_stores() {
        let (mut site, mut expected) = copy_of(&store);
        let data = site.data();
        let backup = site.folder.path().join("backup");
        fs::copy(store.join("backup"), &backup).unwrap();
        fs::remove_file(data.join("store.db")).unwrap();
        let listen = format!("127.0.0.1:{}", site.port);
        let (data, backup) = (data.to_str().unwrap(), backup.to_str().unwrap());
        site.cli(&["restore", backup, "--data", data, "--listen", &listen]).ok();
        serve(&mut site);
        // The restore has revoked the tickets with limited uses, and ended the enrolment that was not redeemed.
        expected.lists.retain(|command, _| !["ticket list", "member list"].contains(&command.as_str()));
        check_lists(&store, &site, &expected);
        site.cli_as(&site.operator, &["unlock"], expected.passphrase.as_bytes()).ok();
        finish_reencryption(&store, &site);
        let boots = std::mem::take(&mut expected.boots).into_iter();
        let (unlimited, limited): (BTreeMap<_, _>, BTreeMap<_, _>) = boots.partition(|(ticket, _)| {
            site.agent(&current(&site, ticket), &["exec", "--", "true"], &[]).status.success()
        });
        assert_eq!((limited.len(), unlimited.is_empty()), (1, false), "{}", store.display());
        expected.boots = unlimited;
        expected.denied.extend(limited.into_keys());
        check_boots(&store, &site, &expected);
        site.operator(&["audit", "verify", "--state"]).ok();
    }
}

/// The format in the header of a store that nobody serves.
fn header_format(site: &Site) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sqlite = Sqlite::open(&site.data().join("store.db")).unwrap();
    let (mut found, _) = runtime.block_on(sqlite.get(&[b"\0dropsafe".to_vec()])).unwrap();
    let header = found.pop().unwrap().unwrap().value;
    u16::from_be_bytes([header[16], header[17]])
}

fn golden_stores() -> Vec<PathBuf> {
    let entries = fs::read_dir(VECTORS).unwrap().map(|entry| entry.unwrap().path());
    let mut stores: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("store-")).collect();
    stores.sort();
    stores
}

/// A copy, private to this user as the program wants it, and a port of its own.
fn copy_of(store: &Path) -> (Site, Expected) {
    let expected: Expected = serde_json::from_slice(&fs::read(store.join("expected.json")).unwrap()).unwrap();
    let site = Site::of_tokens(&expected.url, &expected.operator, &expected.admin);
    copy_folder(&store.join("data"), &site.data());
    (site, expected)
}

fn copy_folder(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        let name = from.file_name().unwrap();
        if from.is_dir() {
            copy_folder(&from, &to);
        } else if name != "lock" && name != "dropsafe.sock" {
            fs::write(&to, fs::read(&from).unwrap()).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn serve(site: &mut Site) {
    let listen = format!("127.0.0.1:{}", site.port);
    site.serve(&["--listen", &listen]);
}

/// A golden ticket, with the address that the copy is served at.
fn current(site: &Site, ticket: &str) -> String {
    let ticket = BootTicket::parse(ticket).unwrap();
    let url = format!("https://127.0.0.1:{}", site.port);
    let credential = Credential::parse(&ticket.credential().to_text()).unwrap();
    BootTicket::new(vec![url], ticket.pins(), credential).unwrap().to_text().to_string()
}

fn check_boots(store: &Path, site: &Site, expected: &Expected) {
    for (ticket, environment) in &expected.boots {
        let booted = site.boot(&current(site, ticket), &[]);
        for (name, value) in environment {
            assert_eq!(booted.get(name), Some(value), "{}: {name}", store.display());
        }
    }
    for ticket in &expected.denied {
        let refused = site.agent(&current(site, ticket), &["exec", "--", "true"], &[]);
        assert_eq!(refused.status.code(), Some(77), "{}: {refused:?}", store.display());
    }
}

/// The pending enrolment becomes a member, once.
fn redeem(site: &Site, expected: &Expected) {
    let Some(code) = &expected.enrolment else { return };
    let token = site.cli_as("", &["enroll", "--print"], code.as_bytes()).ok().out;
    site.set_as(token.trim(), "own", b"of the new member", &[]).ok();
    site.cli_as("", &["enroll", "--print"], code.as_bytes()).fails(1, &["redeemed"]);
}

/// Everything that the lists once showed is still there. They may show more.
fn check_lists(store: &Path, site: &Site, expected: &Expected) {
    for (command, before) in &expected.lists {
        let now = list(site, command, &expected.alice);
        assert_contains(&now, before, &format!("{}: dropsafe {command}", store.display()));
    }
}

fn assert_contains(now: &Value, before: &Value, place: &str) {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            for (field, before) in before {
                let now = now.get(field).unwrap_or_else(|| panic!("{place}: no {field}"));
                assert_contains(now, before, &format!("{place}: {field}"));
            }
        }
        (Value::Array(now), Value::Array(before)) => {
            assert_eq!(now.len(), before.len(), "{place}");
            now.iter().zip(before).for_each(|(now, before)| assert_contains(now, before, place));
        }
        _ => assert_eq!(now, before, "{place}"),
    }
}

fn list(site: &Site, command: &str, alice: &str) -> Value {
    let token = if command.contains("--private") { alice } else { &site.admin };
    let mut arguments: Vec<&str> = command.split(' ').collect();
    arguments.push("--json");
    site.cli_as(token, &arguments, b"").ok().json()
}

fn finish_reencryption(store: &Path, site: &Site) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let status = site.operator(&["status", "--json"]).ok().json();
        if status["reencrypt"]["running"] != true {
            assert!(status["reencrypt"]["generation"].as_u64() >= Some(2), "{status}");
            return;
        }
        assert!(Instant::now() < until, "{}: {status}", store.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

// === writing a store ===

#[test]
#[ignore = "writes the golden store of a new format"]
fn write_a_golden_store() {
    let Some(target) = std::env::var_os("DROPSAFE_GOLDEN").map(PathBuf::from) else {
        panic!("DROPSAFE_GOLDEN names the folder to write");
    };
    let mut site = Site::unlocked();
    let mut expected = fill(&mut site);
    assert!(site.stop().success());
    interrupt_a_reencryption(&site);

    serve(&mut site);
    let status = site.operator(&["status", "--json"]).ok().json();
    assert_eq!(status["reencrypt"]["running"], true, "{status}");
    for command in LISTS {
        let listed = list(&site, command, &expected.alice);
        expected.lists.insert(command.to_owned(), listed);
    }
    let backup = site.folder.path().join("backup");
    site.operator(&["backup", backup.to_str().unwrap()]).ok();
    assert!(site.stop().success());

    fs::create_dir(&target).expect("a golden store is written once");
    copy_folder(&site.data(), &target.join("data"));
    fs::copy(backup, target.join("backup")).unwrap();
    let text = serde_json::to_string_pretty(&expected).unwrap();
    fs::write(target.join("expected.json"), text + "\n").unwrap();
}

/// A service with its manager, and a launcher that alice accepted. Each boots for the member that it acts for, and one boot of
/// each has ended. Returns the tickets.
fn add_principals(site: &Site, alice: &str) -> [String; 2] {
    let ticket = |token: &str, member: &str, flags: &[&str]| {
        let arguments = ["ticket", "new", "--for", member, "--ttl", "none", "--uses", "unlimited"];
        let created = site.cli_as(token, &[&arguments[..], flags].concat(), b"").ok();
        created.out.trim_end().to_owned()
    };
    site.cli(&["member", "add", "prod-api", "--service", "--manager", "alice"]).ok();
    site.set_as(alice, "stripe-key", b"of the service", &["--for", "prod-api"]).ok();
    let of_service = ticket(alice, "prod-api", &["--lifetime", "30d"]);

    let code = site.cli(&["launcher", "add", "devboxes"]).ok().out;
    let launcher = site.cli_as("", &["enroll", "--print"], code.as_bytes()).ok().out.trim().to_owned();
    site.cli_as(alice, &["launcher", "accept", "devboxes", "--yes"], b"").ok();
    let of_launcher = ticket(&launcher, "alice", &[]);

    for (token, ticket) in [(alice, &of_service), (&launcher, &of_launcher)] {
        site.boot(ticket, &[]);
        let boots = site.cli_as(token, &["boots", "--live", "--json"], b"").ok().json();
        site.cli_as(token, &["boots", "--end", boots[0]["id"].as_str().unwrap()], b"").ok();
    }
    [of_service, of_launcher]
}

/// Secrets of every attribute, members, services, launchers, enrolments, tokens, tickets, boots that run and that have ended,
/// plugins, categories, sessions, and slots.
fn fill(site: &mut Site) -> Expected {
    site.cli(&["plugin", "set", "stripe", "--title", "Stripe", "--required", "stripe-key"]).ok();
    site.cli(&["plugin", "set", "off", "--optional", "mail-key"]).ok();
    site.cli(&["plugin", "disable", "off"]).ok();
    let category = ["category", "set", "payments", "--title", "Payments", "--colour", "green"];
    site.cli(&[&category[..], &["--description", "What takes money"]].concat()).ok();
    let alice = site.member("alice", "member");
    site.member("auditor", "auditor");
    let former = site.member("former", "member");
    site.set_as(&former, "own", b"removed with its member", &[]).ok();
    site.cli(&["member", "remove", "former"]).ok();

    site.set("openai-key", "sk-abcdefghijklmnopqrstuvwxyz", &["--shared"]).ok();
    site.set_as(&alice, "OPENAI_KEY", b"private overrides shared", &[]).ok();
    let described = ["--description", "Live key of the shop"];
    let stripe = [&["--shared", "--plugin", "stripe", "--category", "payments"][..], &described].concat();
    site.set("stripe-key", "first version", &stripe).ok();
    site.set("stripe-key", "second version", &stripe).ok();
    site.set("mail-key", "of a disabled plugin", &["--shared", "--plugin", "off"]).ok();
    site.set("region", "eu-west-1", &["--shared", "--plain"]).ok();
    site.set("dormant", "only on request", &["--shared", "--no-install"]).ok();
    site.set("mixed", "as is", &["--shared", "--as", "camelCase"]).ok();
    site.set("ld-preload", "/lib/allowed.so", &["--shared", "--allow-refused", "--no-install"]).ok();
    site.set("long", &"x".repeat(LONG), &["--shared"]).ok();
    site.set("file", "in a file", &["--shared", "--as-file", "--no-install"]).ok();
    site.set("deleted", "gone", &["--shared"]).ok();
    site.cli(&["delete", "deleted", "--shared"]).ok();
    for number in 0..SECRETS {
        site.set(&format!("bulk-{number}"), &format!("value {number}"), &["--shared"]).ok();
    }

    let key = site.folder.path().join("unlock.key");
    let key = key.to_str().unwrap();
    site.operator(&["keyslot", "add", "--new-key-file", key, "--label", "spare"]).ok();
    site.operator(&["keyslot", "add", "--key-file", key, "--credential"]).ok();

    site.cli(&["org", "set", "--keep-boots", "3650", "--member-share", "20", "--shared-changes", "everyone"])
        .ok();
    let [of_service, of_launcher] = add_principals(site, &alice);
    let enrolment = site.cli(&["member", "add", "pending", "--ttl", "36500d"]).ok().out.trim().to_owned();
    let tickets = [
        site.ticket("admin", &["--label", "unlimited"]),
        site.ticket("alice", &["--uses", "1000", "--plugin", "stripe", "--source", "127.0.0.0/8"]),
        of_service,
        of_launcher,
    ];
    let used_up = site.ticket("alice", &["--uses", "1"]);
    let revoked = site.ticket("alice", &["--label", "revoked"]);
    site.cli_as(&alice, &["token", "new", "--ttl", "1h", "--label", "short"], b"").ok();
    for ticket in tickets.iter().chain([&used_up, &revoked]) {
        site.boot(ticket, &[]);
    }
    let tickets_now = list(site, "ticket list", &alice);
    let revoke = tickets_now.as_array().unwrap().iter().find(|ticket| ticket["label"] == "revoked").unwrap();
    site.cli(&["ticket", "revoke", revoke["id"].as_str().unwrap()]).ok();

    let boots = tickets.iter().map(|ticket| {
        let mut environment = site.boot(ticket, &[]);
        environment.retain(|name, _| !["PATH", "HOME", "XDG_CONFIG_HOME"].contains(&name.as_str()));
        (ticket.clone(), environment)
    });
    let boots = boots.collect();
    Expected {
        url: site.url.clone(),
        passphrase: PASSPHRASE.to_owned(),
        operator: site.operator.clone(),
        admin: site.admin.clone(),
        alice,
        boots,
        denied: vec![used_up, revoked],
        enrolment: Some(enrolment),
        lists: BTreeMap::new(),
    }
}

/// Starts a re-encryption in a process that "crashes" after a few commits, each of few secrets.
fn interrupt_a_reencryption(site: &Site) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sqlite = Sqlite::open(&site.data().join("store.db")).unwrap();
        let kv = Arc::new(Dying { sqlite, commits: AtomicU32::new(9) });
        let key = fs::read_to_string(site.data().join("record.key")).unwrap();
        let record_key = RecordKey::from_text(key.trim()).unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(KernelEntropy));
        let store = Store::open(kv.clone(), record_key, clock, random).await.unwrap();
        let passphrase = UnlockSecret::Passphrase(Zeroizing::new(PASSPHRASE.to_owned()));
        store.unlock(&Caller::this_process(), passphrase).await.unwrap();
        let operator = Credential::parse(&site.operator).unwrap();
        // A session of the console, and one commit for it.
        let (operator, _) = store.log_in(&operator, None, "golden").await.unwrap();
        store.reencrypt_all(&operator).await.unwrap();
        while kv.commits.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        kv.sqlite.close().await;
    });
}

/// A byte store that fails from some commit on. Few writes fit into one of its commits.
struct Dying {
    sqlite: Sqlite,
    commits: AtomicU32,
}

impl Kv for Dying {
    fn get<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<KvLookup, KvReadError>> {
        self.sqlite.get(keys)
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>> {
        self.sqlite.scan(prefix, after, limit)
    }

    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        let left = self.commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.sqlite.commit(preconditions, writes),
            Err(_) => Box::pin(async { Err(CommitError::Unavailable(Outage::Io)) }),
        }
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn KvSnapshot>, KvReadError>> {
        self.sqlite.snapshot()
    }

    fn limits(&self) -> Limits {
        Limits { max_writes_per_commit: 40, ..self.sqlite.limits() }
    }

    fn health(&self) -> BoxFuture<'_, KvHealth> {
        self.sqlite.health()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.sqlite.close()
    }

    fn name(&self) -> &'static str {
        "dying"
    }
}
