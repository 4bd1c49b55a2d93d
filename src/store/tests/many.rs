//! Ten thousand secrets in one organization: what is asked of the byte store is what is shown. And several at once.

use super::*;
use crate::domain::import::{ExistingPolicy, ImportOutcome};

const SECRETS: usize = 10_000;

/// Counts the records that are read.
#[derive(Default)]
pub(crate) struct Counting {
    kv: Memory,
    read: AtomicU64,
    calls: AtomicU64,
    scans: AtomicU64,
}

impl Counting {
    /// Scans of the secrets of one scope since the last time: the background work of a store scans other things.
    pub(crate) fn scans(&self) -> u64 {
        self.scans.swap(0, Ordering::SeqCst)
    }

    /// Records read, and calls made, since the last time.
    pub(crate) fn taken(&self) -> (u64, u64) {
        (self.read.swap(0, Ordering::SeqCst), self.calls.swap(0, Ordering::SeqCst))
    }
}

impl Kv for Counting {
    fn get<'a>(
        &'a self,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<(Vec<Option<KvEntry>>, Revision), KvReadError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.read.fetch_add(keys.len() as u64, Ordering::SeqCst);
        self.kv.get(keys)
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>> {
        let of_a_scope = prefix.starts_with(b"s") && prefix.len() == 17;
        self.scans.fetch_add(u64::from(of_a_scope), Ordering::SeqCst);
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let page = self.kv.scan(prefix, after, limit).await?;
            self.read.fetch_add(page.entries.len() as u64, Ordering::SeqCst);
            Ok(page)
        })
    }

    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.kv.commit(preconditions, writes)
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn KvSnapshot>, KvReadError>> {
        self.kv.snapshot()
    }

    fn limits(&self) -> Limits {
        self.kv.limits()
    }

    fn health(&self) -> BoxFuture<'_, KvHealth> {
        self.kv.health()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.kv.close()
    }

    fn name(&self) -> &'static str {
        "counting"
    }
}

pub(crate) fn file(text: &str, scope: ScopeKind) -> ImportAsk {
    ImportAsk {
        source: ImportSource::Text(SecretValue::new(text.as_bytes().to_vec())),
        scope,
        owner: None,
        existing: ExistingPolicy::Replace,
        kind: Kind::Plain,
        attributes: Attributes::default(),
    }
}

/// What `run` returns, and the fewest records and calls of three runs: the store's work by the minute may fall into one.
async fn fewest<T>(kv: &Counting, run: impl AsyncFn() -> T) -> (T, u64, u64) {
    let (mut read, mut calls) = (u64::MAX, u64::MAX);
    for _ in 0..2 {
        kv.taken();
        run().await;
        let taken = kv.taken();
        (read, calls) = (read.min(taken.0), calls.min(taken.1));
    }
    let last = run().await;
    let taken = kv.taken();
    (last, read.min(taken.0), calls.min(taken.1))
}

#[tokio::test]
async fn a_page_reads_what_it_shows_and_a_search_reads_each_secret_once() {
    let kv = Arc::new(Counting::default());
    let world = World::on(Arc::clone(&kv) as _).await;
    world.lock().await;
    let bob = world.member("bob", Role::Member).await;
    let lines: Vec<String> = (0..SECRETS).map(|i| format!("NAME_{i:05}=v\n")).collect();
    for lines in lines.chunks(250) {
        let report = world.store.import(&world.admin, file(&lines.concat(), ScopeKind::Shared), false).await;
        assert!(report.unwrap().stored);
    }
    world.private(&bob, "mine", "v").await;
    let any = SecretFilter::default();
    let ask = |cursor: Option<Cursor>, limit| PageAsk { cursor, limit: Some(limit) };
    // The background tasks of the start read too, in turns with this one, until they have nothing left to do.
    loop {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        if kv.taken() == (0, 0) {
            break;
        }
    }
    // A member's page: as many of each of its two scopes, and the members who are named.
    let list = async |caller: &Caller, filter: &SecretFilter, cursor: Option<Cursor>| {
        fewest(&kv, async || world.store.list_secrets(caller, filter, ask(cursor.clone(), 50)).await.unwrap())
            .await
    };
    let (first, read, calls) = list(&bob, &any, None).await;
    assert_eq!(first.items.len(), 50);
    assert!(read <= 50 + 1 + 2 && calls <= 4, "{read} records, {calls} calls");
    let (later, read, _) = list(&bob, &any, first.next).await;
    assert!(later.items.len() == 50 && read <= 53, "{read} records for the second page");
    // An admin's: the list of all ids beside.
    let (listed, read, calls) = list(&world.admin, &any, None).await;
    assert_eq!(listed.items.len(), 50);
    // One of the calls is the commit of the entry that these plain values were read.
    assert!(read <= 2 * 50 + 2 && calls <= 5, "{read} records, {calls} calls");

    let sought = SecretFilter { q: Some("name_09999".into()), ..any.clone() };
    let (found, read, calls) = list(&bob, &sought, None).await;
    assert_eq!((found.items.len(), found.next), (1, None), "in one page");
    let whole = SECRETS as u64 + 1;
    // The last of the calls is the commit of the entry that the plain value was read.
    assert!(read <= whole + 51 * 2 && calls <= whole / 200 * 2 + 4, "{read} records, {calls} calls");

    // An exact name is looked up, and nothing is scanned: two index keys of each scope, the secret and its people.
    let named = |name: &str| SecretFilter { name: Some(name.to_owned()), ..any.clone() };
    for (caller, most) in [(&bob, 10), (&world.admin, 14)] {
        let (found, read, calls) = list(caller, &named("NAME_09999"), None).await;
        assert_eq!((found.items.len(), found.next), (1, None));
        // The last of the calls is the commit of the entry that the plain value was read.
        assert!(read <= most && calls <= 6, "{read} records, {calls} calls");
    }
    let found = world.store.list_secrets(&world.admin, &named("mine"), ask(None, 50)).await.unwrap();
    assert_eq!(found.items[0].owner.as_ref().map(MemberName::as_str), Some("bob"));
    assert!(world.store.list_secrets(&bob, &named("NAME 0"), ask(None, 50)).await.unwrap().items.is_empty());

    let (counted, read, calls) = fewest(&kv, async || world.store.statistics(&bob).await.unwrap()).await;
    assert_eq!((counted.total, counted.shared), (whole, whole - 1));
    assert!(read == whole && calls <= whole / 1000 + 2, "{read} records, {calls} calls");
    let (_, read, _) = fewest(&kv, async || world.store.plugins(&bob).await.unwrap()).await;
    assert!(read <= whole, "{read} records");

    let every = async || {
        let mut cursor = None;
        let mut names = std::collections::BTreeSet::new();
        loop {
            let page = world.store.list_secrets(&bob, &any, ask(cursor, 500)).await.unwrap();
            names.extend(page.items.into_iter().map(|secret| secret.meta.name.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                return names;
            }
        }
    };
    let (names, read, _) = fewest(&kv, every).await;
    assert_eq!(names.len() as u64, whole, "each once");
    assert!(read <= whole + 21 * 4, "{read} records for all pages");
}

#[tokio::test]
async fn a_file_is_one_commit_and_its_audit_log_verifies() {
    let world = World::new().await;
    world.lock().await;
    let revision = async || world.store.status(&world.operator).await.unwrap().revision;
    let before = revision().await;
    let preview =
        world.store.import(&world.admin, file("A=1\nB=2\n", ScopeKind::Private), true).await.unwrap();
    assert_eq!((preview.stored, preview.lines.len(), revision().await), (false, 2, before));
    assert!(preview.lines.iter().all(|line| line.fate == ImportOutcome::Create && line.secret.is_none()));
    let done = world.store.import(&world.admin, file("A=1\nB=2\n", ScopeKind::Private), false).await.unwrap();
    assert!(done.stored && done.lines.iter().all(|line| line.secret.is_some()));
    assert_eq!(revision().await, before + 1);
    let taken = world
        .store
        .import(&world.admin, file("A=3\nLD_PRELOAD=x\n", ScopeKind::Private), false)
        .await
        .unwrap();
    assert_eq!(
        (taken.stored, taken.lines[0].fate, taken.lines[1].fate),
        (false, ImportOutcome::Replace, ImportOutcome::Refused)
    );
    assert_eq!(revision().await, before + 1);
    assert!(world.verification().await.ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_files_with_the_same_names_each_is_complete() {
    let world = World::new().await;
    let text = |i: usize| format!("A={i}\nB={i}\nC={i}\n");
    let racers = (0..20).map(|i| {
        let (store, admin) = (world.store.clone(), world.admin.clone());
        let ask = file(&text(i), ScopeKind::Private);
        tokio::spawn(async move { store.import(&admin, ask, false).await })
    });
    let mut stored = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(report) => stored += usize::from(report.stored),
            Err(error) => assert_eq!(error.code(), Code::Conflict),
        }
    }
    assert!(stored > 0);
    let boot = world.boot(&world.admin).await;
    assert!(boot.len() == 3 && boot.iter().all(|(_, value)| *value == boot[0].1), "{boot:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_do_not_fit_one_commit_together_are_all_taken() {
    let world = World::new().await;
    let mut importing = Vec::new();
    for number in 0..12 {
        let owner = world.member(&format!("member-{number}"), Role::Member).await;
        let store = world.store.clone();
        importing.push(tokio::spawn(async move {
            let lines: String = (0..250).map(|i| format!("SECRET_{i}={i}\n")).collect();
            store.import(&owner, file(&lines, ScopeKind::Private), false).await.unwrap().stored
        }));
    }
    for one in importing {
        assert!(one.await.unwrap());
    }
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn sealing_all_again_moves_nothing_and_leaves_out_what_is_not_the_callers() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.shared("a", "1").await;
    world.private(&bob, "b", "2").await;
    world.private(&world.admin, "c", &"3".repeat(10_000)).await;
    let before = world.boot(&world.admin).await;
    assert_eq!(world.store.reencrypt_own_org(&bob).await.unwrap().done, 2);
    assert_eq!(world.store.reencrypt_own_org(&world.admin).await.unwrap().done, 3);
    assert_eq!(world.boot(&world.admin).await, before);
    world
        .store
        .set_policy(&world.admin, PolicyChange { shared_by_members: Some(false), ..PolicyChange::default() })
        .await
        .unwrap();
    let auditor = world.member("eve", Role::Auditor).await;
    assert_eq!(world.store.reencrypt_own_org(&auditor).await.unwrap_err().code(), Code::Forbidden);
    assert_eq!(world.store.reencrypt_own_org(&world.operator).await.unwrap_err().code(), Code::Forbidden);
    world.lock().await;
    assert_eq!(world.store.reencrypt_own_org(&world.admin).await.unwrap_err().code(), Code::Locked);
}
