//! Importing more than one commit takes, and lines that a client has sealed.

use super::many::{Counting, file};
use super::secrets::seal;
use super::*;
use crate::domain::id::VersionId;
use crate::domain::import::{ExistingPolicy, ImportOutcome, LineOptions};

const LINES: usize = 1000;

fn lines(value: &str) -> String {
    (0..LINES).map(|i| format!("NAME_{i:05}={value}\n")).collect()
}

fn item(name: &str, deposit: Option<Deposit>) -> ImportItem {
    let (options, name) = (LineOptions::default(), secret_name(name));
    ImportItem { name, deposit, value_len: None, options, if_version: None }
}

fn items(items: Vec<ImportItem>) -> ImportAsk {
    ImportAsk { source: ImportSource::Items(items), kind: Kind::Encrypted, ..file("", ScopeKind::Private) }
}

async fn revision(world: &World) -> u64 {
    world.store.status(&world.operator).await.unwrap().revision
}

fn count(report: &ImportReport, fate: ImportOutcome) -> usize {
    report.lines.iter().filter(|line| line.fate == fate).count()
}

#[tokio::test]
async fn a_long_file_takes_few_commits_each_with_its_entry() {
    let world = World::new().await;
    world.lock().await;
    let before = revision(&world).await;
    let report = world.store.import(&world.admin, file(&lines("v"), ScopeKind::Shared), false).await.unwrap();
    assert!(report.stored && count(&report, ImportOutcome::Create) == LINES);
    // Seven writes for each line, of the 3072 that the audit chain leaves.
    assert_eq!(revision(&world).await, before + 3);
    let page = PageAsk { limit: Some(500), ..PageAsk::default() };
    let filter = AuditFilter { action: Some("secret.import".into()), ..AuditFilter::default() };
    let entries = world.store.audit(&world.admin, &filter, page).await.unwrap();
    assert_eq!(entries.items.len(), 3);
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn a_small_byte_store_gets_small_commits() {
    for (writes, bytes) in [(40, 8 << 20), (4096, 1 << 18)] {
        let limits = Limits { max_writes_per_commit: writes, max_commit: bytes, ..Limits::EMBEDDED };
        let world = World::on(Arc::new(Memory::with_limits(limits))).await;
        let text = (0..50).map(|i| format!("NAME_{i}={}\n", "x".repeat(i * 200))).collect::<String>();
        for _ in 0..2 {
            let ask = ImportAsk { kind: Kind::Encrypted, ..file(&text, ScopeKind::Private) };
            assert!(world.store.import(&world.admin, ask, false).await.unwrap().stored);
        }
        assert_eq!(world.boot(&world.admin).await.len(), 50);
        assert!(world.verification().await.ok);
    }
}

#[tokio::test]
async fn a_refused_last_line_stores_nothing_of_any_commit() {
    let world = World::new().await;
    world.lock().await;
    let before = revision(&world).await;
    let text = lines("canary") + "LD_PRELOAD=canary\n";
    let report = world.store.import(&world.admin, file(&text, ScopeKind::Shared), false).await.unwrap();
    assert_eq!((report.stored, count(&report, ImportOutcome::Refused)), (false, 1));
    assert!(report.lines.iter().all(|line| line.secret.is_none()));
    assert!(!format!("{report:?}").contains("canary"));
    assert_eq!(revision(&world).await, before);
}

#[tokio::test]
async fn a_repetition_stores_the_rest_of_what_was_interrupted() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    world.lock().await;
    let full = open(Faulty::after(&memory, 1, Fault::Full), world.clock.clone()).await;
    let error = full.import(&world.admin, file(&lines("v"), ScopeKind::Private), false).await.unwrap_err();
    assert_eq!(error.code(), Code::StoreFull);
    let stored = world.store.statistics(&world.admin).await.unwrap().total;
    assert!(stored > 0 && stored < LINES as u64, "{stored}");

    let again = world.store.import(&world.admin, file(&lines("v"), ScopeKind::Private), false).await.unwrap();
    assert!(again.stored);
    assert_eq!(count(&again, ImportOutcome::Keep) as u64, stored, "what was stored keeps its version");
    assert_eq!(count(&again, ImportOutcome::Create) as u64, LINES as u64 - stored);
    world.unlock().await;
    assert_eq!(world.boot(&world.admin).await.len(), LINES);
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn exact_names_are_read_from_the_index_whatever_the_store_holds() {
    let kv = Arc::new(Counting::default());
    let world = World::on(Arc::clone(&kv) as _).await;
    world.lock().await;
    for scope in [ScopeKind::Shared, ScopeKind::Private] {
        world.store.import(&world.admin, file(&lines("v"), scope), false).await.unwrap();
    }
    kv.taken();
    kv.scans();
    let ten: String = (995..1005).map(|i| format!("NAME_{i:05}=w\n")).collect();
    let preview = world.store.import(&world.admin, file(&ten, ScopeKind::Private), true).await.unwrap();
    let (read, calls) = kv.taken();
    assert_eq!(count(&preview, ImportOutcome::Replace), 5);
    // Two index entries for each line, the five secrets, the keys, and the counts of the scope and of the organization.
    assert!(read <= 2 * 10 + 5 + 1 + 2 && calls <= 4, "{read} records, {calls} calls");
    let stored = world.store.import(&world.admin, file(&ten, ScopeKind::Private), false).await.unwrap();
    let (_, calls) = kv.taken();
    // Three of them read the counts of the scope and of the organization.
    assert!(stored.stored && calls <= 9, "{calls} calls");
    assert_eq!(kv.scans(), 0);
}

#[tokio::test]
async fn sealed_lines_are_planned_without_values_and_kept_when_sent_again() {
    let world = World::new().await;
    let odd = NewSecret { env: Some(env("ODD")), ..new_secret("odd-name", ScopeKind::Private, "old") };
    let odd = world.deposit(&world.admin, odd).await;
    world.lock().await;
    let names = || vec![item("odd-name", None), item("new", None)];
    let preview = world.store.import(&world.admin, items(names()), true).await.unwrap();
    let first = &preview.lines[0];
    let secret = first.secret.as_ref().unwrap();
    assert_eq!((first.fate, secret.id, &secret.env), (ImportOutcome::Replace, odd, &env("ODD")));
    assert!(first.same_settings && preview.lines[1].fate == ImportOutcome::Create);
    let error = world.store.import(&world.admin, items(names()), false).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidRequest);

    let (id, version) = (SecretId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]));
    let sealed = async || {
        let odd = seal(&world, odd, version, "ODD", b"one").await;
        let new = seal(&world, id, version, "NEW", b"two").await;
        items(vec![item("odd-name", Some(Deposit::Sealed(odd))), item("new", Some(Deposit::Sealed(new)))])
    };
    assert!(world.store.import(&world.admin, sealed().await, false).await.unwrap().stored);
    let before = world.store.secret(&world.admin, id).await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    let again = world.store.import(&world.admin, sealed().await, false).await.unwrap();
    assert_eq!(count(&again, ImportOutcome::Keep), 2);
    let after = world.store.secret(&world.admin, id).await.unwrap();
    assert_eq!((after.meta.updated_at, after.meta.version), (before.meta.updated_at, version));
    world.unlock().await;
    assert_eq!(world.boot(&world.admin).await, pairs(&[("NEW", "two"), ("ODD", "one")]));
}

#[tokio::test]
async fn sealed_lines_for_another_secret_or_a_taken_name_are_refused() {
    let world = World::new().await;
    let known = world.private(&world.admin, "known-name", "v").await;
    let (id, version) = (SecretId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]));
    let wrong = Deposit::Sealed(seal(&world, id, version, "KNOWN_NAME", b"x").await);
    let taken = Deposit::Sealed(seal(&world, id, version, "KNOWN_NAME", b"x").await);
    let refused = async |name: &str, deposit| {
        let report = world.store.import(&world.admin, items(vec![item(name, Some(deposit))]), false).await;
        let report = report.unwrap();
        assert!(!report.stored);
        report.lines[0].why.clone().unwrap()
    };
    assert!(refused("known-name", wrong).await.contains("sealed for another secret"));
    // Exported alike, under another name: a text would replace it, and sealed lines mean exact names.
    assert!(refused("known.name", taken).await.contains("already exported as KNOWN_NAME"));
    let twice = vec![item("a-b", None), item("a.b", None)];
    let preview = world.store.import(&world.admin, items(twice), true).await.unwrap();
    assert_eq!(count(&preview, ImportOutcome::Refused), 1);
    let rest = ImportAsk { existing: ExistingPolicy::Keep, ..items(vec![item("known-name", None)]) };
    let kept = world.store.import(&world.admin, rest, true).await.unwrap();
    assert_eq!(kept.lines[0].secret.as_ref().map(|secret| secret.id), Some(known));
}

#[tokio::test]
async fn a_line_with_a_version_is_refused_once_somebody_has_changed_the_secret() {
    let world = World::new().await;
    let id = world.private(&world.admin, "name", "first").await;
    let planned = world.store.secret(&world.admin, id).await.unwrap().meta.version;
    let line =
        |name: &str, text: &str| ImportItem { if_version: Some(planned), ..item(name, Some(value(text))) };
    let import = async |line| world.store.import(&world.admin, items(vec![line]), false).await.unwrap();
    let changed = world.store.replace_secret(&world.admin, id, None, replacement("second")).await.unwrap();
    let report = import(line("name", "third")).await;
    assert!(
        !report.stored && report.lines[0].why.as_ref().unwrap().contains("another version"),
        "{report:?}"
    );
    // Also a secret that was deleted meanwhile is not created again.
    assert!(!import(line("absent", "third")).await.stored);
    assert_eq!(world.boot(&world.admin).await, pairs(&[("NAME", "second")]));
    let current = changed.secret.meta.version;
    let line = ImportItem { if_version: Some(current), ..item("name", Some(value("third"))) };
    assert!(import(line).await.stored);
    assert_eq!(world.boot(&world.admin).await, pairs(&[("NAME", "third")]));
}

/// The plan finds them, because the commits before theirs would be stored already.
#[tokio::test]
async fn a_last_line_with_a_used_id_or_an_unknown_generation_stores_nothing_of_any_commit() {
    let world = World::new().await;
    let used = world.private(&world.admin, "used", "v").await;
    let before = revision(&world).await;
    let many = || (0..LINES).map(|i| item(&format!("name-{i}"), Some(value("v")))).collect::<Vec<_>>();
    let (id, version) = (SecretId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]));
    let sealed = async |id, name: &str| Some(Deposit::Sealed(seal(&world, id, version, name, b"x").await));

    let mut ask = many();
    ask.push(item("last", sealed(used, "LAST").await));
    let report = world.store.import(&world.admin, items(ask), false).await.unwrap();
    assert!(!report.stored && report.lines[LINES].why.as_ref().unwrap().contains("id is in use"));
    let mut ask = many();
    ask.push(item("one", sealed(id, "ONE").await));
    ask.push(item("two", sealed(id, "TWO").await));
    let report = world.store.import(&world.admin, items(ask), false).await.unwrap();
    assert!(!report.stored && report.lines[LINES + 1].fate == ImportOutcome::Refused);
    let mut stale = seal(&world, id, version, "LAST", b"x").await;
    stale.value.generation = 9;
    let mut ask = many();
    ask.push(item("last", Some(Deposit::Sealed(stale))));
    let error = world.store.import(&world.admin, items(ask), false).await.unwrap_err();
    assert_eq!(error.code(), Code::StaleGeneration);
    assert_eq!(revision(&world).await, before);
}

#[tokio::test]
async fn lines_with_faults_count_too() {
    let world = World::new().await;
    for text in ["x\n".repeat(10_001), "# dropsafe: x\n".repeat(10_001), "\n".repeat(300_000)] {
        let error =
            world.store.import(&world.admin, file(&text, ScopeKind::Private), true).await.unwrap_err();
        assert!(error.to_string().contains("more than 10000 lines"), "{error}");
    }
}

#[tokio::test]
async fn a_stale_sealed_line_is_for_its_client_to_seal_again() {
    let world = World::new().await;
    let (id, version) = (SecretId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]));
    let mut sealed = seal(&world, id, version, "NEW", b"x").await;
    sealed.value.generation = 9;
    let ask = items(vec![item("new", Some(Deposit::Sealed(sealed)))]);
    let error = world.store.import(&world.admin, ask, false).await.unwrap_err();
    assert_eq!(error.code(), Code::StaleGeneration);
}

#[tokio::test]
async fn variables_that_do_not_fit_one_commit_are_refused() {
    let world = World::new().await;
    let set = |count: usize| {
        let assignment = |i| VariableAssignment {
            env: env(&format!("NAME_{i}")),
            value: Some(SecretValue::new(b"v".to_vec())),
        };
        world.store.set_variables(&world.admin, (0..count).map(assignment).collect())
    };
    assert_eq!(set(LINES).await.unwrap_err().code(), Code::InvalidRequest);
    assert_eq!(world.store.statistics(&world.admin).await.unwrap().total, 0);
    assert!(set(400).await.unwrap().stored);
}
