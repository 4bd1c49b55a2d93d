//! The deadline, the three policies, and the cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use dropsafe::wire::Code;

use super::store::{Store, nowhere, private, problem, release};
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
fn start_without_starts_with_what_the_machine_has() {
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
    assert_eq!(fickle.files().len(), 0);
}
