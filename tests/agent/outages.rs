//! The deadline, the three policies, and the cache.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use dropsafe::domain::id::StoreId;
use dropsafe::wire::Code;

use super::store::{Store, nowhere, private, problem, release, response, ticket};
use super::{agent, run};

#[test]
fn an_unreachable_store_is_69_by_the_deadline() {
    let before = Instant::now();
    let ran = run(
        agent(["exec", "--deadline", "700ms", "--", "echo", "started"]).env("DROPSAFE_TICKET", nowhere())
    );
    assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""));
    assert!(ran.err.starts_with("dropsafe-agent: gave up after 0.7 s"), "{}", ran.err);
    assert!(before.elapsed() < Duration::from_secs(3));
}

/// Reads a request, and returns its idempotency key.
fn read_attempt(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some(("idempotency-key", value)) => value.clone_into(&mut key),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    key
}

#[test]
fn a_store_that_never_answers_the_first_try_is_asked_again_within_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = std::thread::spawn(move || {
        let (silent, _) = listener.accept().unwrap();
        let first = read_attempt(&silent);
        let (mut stream, _) = listener.accept().unwrap();
        let second = read_attempt(&stream);
        let (_, body) = release(&[private("A", "1")]);
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        (first, second)
    });
    let began = Instant::now();
    let line = ["exec", "--deadline", "6s", "--", "sh", "-c", "echo $A"];
    let ran = run(agent(line).env("DROPSAFE_TICKET", ticket(&url)));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "1\n"), "{}", ran.err);
    assert!(began.elapsed() < Duration::from_secs(6));
    // One boot for the store, which spends one use.
    let (first, second) = store.join().unwrap();
    assert!(!first.is_empty() && first == second, "{first} {second}");
}

#[test]
fn a_locked_store_is_waited_for() {
    let store = Store::new(|path, before| match (path, before) {
        ("/v1/boot", 0..3) => problem(Code::Locked),
        ("/v1/boot", _) => release(&[private("A", "1")]),
        _ => (204, String::new()),
    });
    let ran = run(agent(["exec", "--", "sh", "-c", "echo $A"]).env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "1\n"), "{}", ran.err);

    let store = Store::new(|_, _| problem(Code::Locked));
    let ran = run(agent(["exec", "--deadline", "500ms", "--", "true"]).env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("the store is locked"), "{}", ran.err);
}

#[test]
fn start_without_starts_with_the_local_variables() {
    let line = ["exec", "--deadline", "200ms", "--on-outage", "start-without", "--"];
    let ran =
        run(agent(line).args(["sh", "-c", "echo $OWN"]).env("OWN", "x").env("DROPSAFE_TICKET", nowhere()));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "x\n"));
    assert!(ran.err.starts_with("dropsafe-agent: warning: gave up after 0.2 s"), "{}", ran.err);
    // What is required is required all the same.
    let ran = run(agent(line).args(["true"]).env("DROPSAFE_REQUIRE", "A").env("DROPSAFE_TICKET", nowhere()));
    assert_eq!(ran.code, Some(78), "{}", ran.err);
}

/// A store that can be made to answer otherwise from one run to the next.
struct Fickle {
    store: Store,
    state: Arc<AtomicU16>,
    folder: tempfile::TempDir,
}

const WELL: u16 = 0;
const DOWN: u16 = 1;
const DENIED: u16 = 2;

impl Fickle {
    fn new() -> Self {
        let state = Arc::new(AtomicU16::new(WELL));
        let seen = Arc::clone(&state);
        let store = Store::new(move |_, _| match seen.load(Ordering::SeqCst) {
            WELL => release(&[private("A", "canary-value")]),
            DOWN => problem(Code::Unavailable),
            _ => problem(Code::Revoked),
        });
        Self { store, state, folder: tempfile::tempdir().unwrap() }
    }

    fn boot(&self, state: u16, more: &[&str]) -> super::Ran {
        self.state.store(state, Ordering::SeqCst);
        let mut command = agent(["exec", "--deadline", "300ms", "--on-outage", "cache"]);
        command.env("DROPSAFE_CACHE_DIR", self.folder.path()).env("DROPSAFE_TICKET", &self.store.ticket);
        run(command.args(more).args(["--", "sh", "-c", "echo $A"]))
    }

    fn files(&self) -> Vec<Vec<u8>> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
    }
}

#[test]
fn the_last_release_starts_the_workload_when_the_store_is_down() {
    let fickle = Fickle::new();
    let ran = fickle.boot(DOWN, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""));
    assert!(ran.err.contains("the cache has no release for this ticket"), "{}", ran.err);

    assert_eq!(fickle.boot(WELL, &[]).out, "canary-value\n");
    let ran = fickle.boot(DOWN, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "canary-value\n"), "{}", ran.err);
    assert!(ran.err.contains("starting with the release of "), "{}", ran.err);
    assert!(!fickle.files()[0].windows(6).any(|window| window == b"canary"));

    std::thread::sleep(Duration::from_millis(20));
    let ran = fickle.boot(DOWN, &["--cache-max-age", "10ms"]);
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("is older than"), "{}", ran.err);
    let ran = fickle.boot(DOWN, &["--include", "more"]);
    assert_eq!(ran.code, Some(69), "another request has another cache");
}

#[test]
fn a_denial_destroys_the_cache() {
    let fickle = Fickle::new();
    fickle.boot(WELL, &[]);
    assert_eq!(fickle.files().len(), 1);
    assert_eq!(fickle.boot(DENIED, &[]).code, Some(77));
    assert_eq!(fickle.files().len(), 0);
    assert_eq!(fickle.boot(DOWN, &[]).code, Some(69));
}

#[test]
fn nothing_is_cached_by_default() {
    let fickle = Fickle::new();
    let ran = run(agent(["exec", "--", "true"])
        .env("DROPSAFE_CACHE_DIR", fickle.folder.path())
        .env("DROPSAFE_TICKET", &fickle.store.ticket));
    assert_eq!(ran.code, Some(0));
    // This store does not say which one it is, so that its revision is not remembered either.
    assert_eq!(fickle.files().len(), 0);
}

/// A store that is at the revision `state`, and one that is down at 0.
fn at_revision() -> Fickle {
    let state = Arc::new(AtomicU16::new(0));
    let seen = Arc::clone(&state);
    let store = Store::new(move |path, _| match (path, seen.load(Ordering::SeqCst)) {
        (_, 0) => problem(Code::Unavailable),
        ("/v1/boot", revision) => {
            let mut answer = response(&[private("A", &format!("canary-{revision}"))]);
            answer.store = Some(StoreId::from_bytes([1; 16]));
            answer.receipt.revision = u64::from(revision);
            answer.digest = answer.receipt.digest();
            (200, serde_json::to_string(&answer).unwrap())
        }
        _ => (204, String::new()),
    });
    Fickle { store, state, folder: tempfile::tempdir().unwrap() }
}

#[test]
fn a_store_that_has_gone_back_is_reported_at_each_boot_and_boots() {
    let fickle = at_revision();
    let boot = |revision: u16, more: &[&str]| {
        fickle.state.store(revision, Ordering::SeqCst);
        let mut command = agent(["exec", "--deadline", "300ms"]);
        command.env("DROPSAFE_CACHE_DIR", fickle.folder.path()).env("DROPSAFE_TICKET", &fickle.store.ticket);
        run(command.args(more).args(["--", "sh", "-c", "echo $A"]))
    };
    let warning = "the store has gone back: it is at revision 8, and this machine has seen 9";
    for revision in [7, 9] {
        assert_eq!(boot(revision, &[]).err, "");
    }
    for _ in 0..2 {
        let ran = boot(8, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "canary-8\n"));
        assert!(ran.err.contains(warning) && ran.err.contains("revisions"), "{}", ran.err);
        assert!(!ran.err.contains("canary"), "{}", ran.err);
    }
    assert_eq!(boot(9, &[]).err, "");
    // The cache keeps the release of the newer store.
    assert_eq!(boot(10, &["--on-outage", "cache"]).err, "");
    let ran = boot(8, &["--on-outage", "cache"]);
    assert!(ran.err.contains("has seen 10"), "{}", ran.err);
    assert_eq!(boot(0, &["--on-outage", "cache"]).out, "canary-10\n");
    // As the message says, after an intended restore.
    std::fs::remove_file(fickle.folder.path().join("revisions")).unwrap();
    assert_eq!(boot(8, &["--on-outage", "cache"]).err, "");
    assert_eq!(boot(0, &["--on-outage", "cache"]).out, "canary-8\n");
    assert!(fickle.files().iter().all(|file| !file.windows(6).any(|window| window == b"canary")));
}

#[test]
fn without_a_folder_nothing_is_remembered_and_nothing_is_said() {
    let fickle = at_revision();
    fickle.state.store(7, Ordering::SeqCst);
    let none = fickle.folder.path().join("none");
    let boot = |level: &str, folder: &std::path::Path| {
        let mut command = agent(["exec", "--", "true"]);
        command.env("DROPSAFE_CACHE_DIR", folder).env("DROPSAFE_TICKET", &fickle.store.ticket);
        run(command.env("DROPSAFE_LOG", level))
    };
    let ran = boot("warn", &none);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(boot("debug", &none).err.contains("the store's revision is not remembered"));
    assert!(!none.exists());
    // No folder at all.
    let ran = boot("warn", std::path::Path::new("/proc/self/status"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}
