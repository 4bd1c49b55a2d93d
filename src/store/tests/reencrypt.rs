//! Re-encryption: the same values, whatever happens in between.

use super::*;
use crate::store::tables::secrets;

async fn finished(store: &Store, caller: &Caller) {
    eventually(|| async { !store.reencrypt_progress(caller).await.unwrap().running }).await;
}

async fn generations(store: &Store) -> Vec<u32> {
    let (found, _) = store.records().scan_all(&secrets::all_secrets()).await.unwrap();
    found.iter().filter_map(|found| found.record.value.generation()).collect()
}

async fn fill(world: &World, count: usize) {
    for i in 0..count {
        let text = if i % 7 == 0 { "x".repeat(3000 + i) } else { format!("value-{i}") };
        world.shared(&format!("secret-{i}"), &text).await;
    }
    let plain = NewSecret { kind: Kind::Plain, ..new_secret("plain", ScopeKind::Shared, "plain") };
    world.deposit(&world.admin, plain).await;
}

#[tokio::test]
async fn everything_moves_to_a_new_generation_and_the_old_one_is_dropped() {
    let world = World::new().await;
    fill(&world, 250).await;
    let before = world.boot(&world.admin).await;
    let old_key = world.store.deposit_info(&world.admin).await.unwrap();
    world.store.reencrypt_all(&world.operator).await.unwrap();
    finished(&world.store, &world.admin).await;
    assert!(generations(&world.store).await.iter().all(|generation| *generation == 2));
    assert_eq!(world.boot(&world.admin).await, before);
    let new_key = world.store.deposit_info(&world.admin).await.unwrap();
    assert_eq!(new_key.generation, 2);
    assert_ne!(new_key.fingerprint, old_key.fingerprint);
    let keys = world.store.keys_record().await.unwrap();
    assert_eq!(keys.ring.generations().collect::<Vec<_>>(), [2]);

    // The slots open it.
    world.lock().await;
    world.unlock().await;
    assert_eq!(world.boot(&world.admin).await, before);
    // And again.
    world.store.reencrypt_all(&world.operator).await.unwrap();
    finished(&world.store, &world.admin).await;
    assert_eq!(world.boot(&world.admin).await, before);
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn a_crash_after_any_commit_loses_nothing() {
    // With room for few records in a commit, so that there are many of them.
    let mut limits = Limits::EMBEDDED;
    limits.max_writes_per_commit = 40;
    let mut crashed = 0;
    for commits in 0.. {
        let memory = Arc::new(Memory::with_limits(limits));
        let world = World::on(memory.clone()).await;
        fill(&world, 30).await;
        let before = world.boot(&world.admin).await;
        world.store.close_journal_only().await;

        let faulty = Faulty::after(&memory, commits + 1, Fault::Crash);
        let dying = open(faulty.clone(), world.clock.clone()).await;
        let secret = UnlockSecret::Passphrase(Zeroizing::new(PASSPHRASE.to_owned()));
        let mut begun = dying.unlock(&Caller::this_process(), secret).await.is_ok();
        begun = begun && dying.reencrypt_all(&world.operator).await.is_ok();
        let survived = if begun {
            eventually(|| async {
                let done = dying.reencrypt_progress(&world.admin).await;
                faulty.dead() || done.is_ok_and(|progress| !progress.running)
            })
            .await;
            !faulty.dead()
        } else {
            false
        };
        drop(dying);

        // The lease of the dead process must not be waited for in a test.
        world.clock.advance(Duration::from_secs(31));
        let store = open(memory, world.clock.clone()).await;
        unlock(&store).await;
        finished(&store, &world.admin).await;
        let credential =
            store.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap().credential;
        let ticket = store.authenticate(&credential, None).await.unwrap();
        assert_eq!(variables(store.boot(&ticket, BootAsk::default()).await.unwrap()), before, "{commits}");
        let generations = generations(&store).await;
        assert_eq!(generations.len(), 30);
        assert!(generations.windows(2).all(|pair| pair[0] == pair[1]), "{commits}");
        let verification = store.verify_audit(&world.operator).await.unwrap();
        assert!(verification.ok, "{commits}: {verification:?}");
        if survived {
            break;
        }
        crashed += 1;
    }
    assert!(crashed > 8, "only {crashed} places to crash at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deposits_boots_and_changes_go_on_meanwhile() {
    let world = World::new().await;
    fill(&world, 150).await;
    let (store, admin) = (world.store.clone(), world.admin.clone());
    let writer = tokio::spawn(async move {
        for i in 0..40 {
            let new = new_secret(&format!("during-{i}"), ScopeKind::Shared, &i.to_string());
            let id = store.create_secret(&admin, new, None).await.unwrap().secret.meta.id;
            store.replace_secret(&admin, id, None, replacement(&format!("again-{i}"))).await.unwrap();
            let off = AttributesPatch { category: FieldPatch::Clear, ..AttributesPatch::default() };
            store.change_secret(&admin, id, None, off).await.unwrap();
            if i % 4 == 0 {
                store.delete_secret(&admin, id, None).await.unwrap();
            }
        }
    });
    let ticket = world.ticket(&world.admin).await;
    let store = world.store.clone();
    let booter = tokio::spawn(async move {
        for _ in 0..10 {
            let released = store.boot(&ticket, BootAsk::default()).await.unwrap();
            assert!(released.receipt.count() >= 150);
        }
    });
    world.store.reencrypt_all(&world.operator).await.unwrap();
    writer.await.unwrap();
    booter.await.unwrap();
    finished(&world.store, &world.admin).await;
    assert!(generations(&world.store).await.iter().all(|generation| *generation == 2));
    let boot = world.boot(&world.admin).await;
    assert_eq!(boot.iter().filter(|(name, _)| name.starts_with("DURING")).count(), 30);
    assert!(boot.contains(&("DURING_39".into(), "again-39".into())));
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn a_deposit_to_the_old_generation_is_found_by_the_run_or_refused() {
    use crate::crypto::deposit::DepositKey;
    use crate::crypto::random::Kernel;
    use crate::crypto::value::{self, ValueContext};
    use crate::domain::id::VersionId;

    let world = World::new().await;
    fill(&world, 20).await;
    let info = world.store.deposit_info(&world.admin).await.unwrap();
    let sealed = |byte: u8, name: &str| {
        let (id, version) = (SecretId::from_bytes([byte; 16]), VersionId::from_bytes([byte; 16]));
        let context = ValueContext {
            store: info.store.as_bytes(),
            org: info.org.as_bytes(),
            scope: 0,
            owner: None,
            secret: id.as_bytes(),
            env: name,
            version: version.as_bytes(),
        };
        let key = DepositKey::from_parts(info.generation, info.public_key);
        let value = value::seal(&key, &context, b"late", &mut Kernel).unwrap();
        let deposit = Deposit::Sealed(SealedDeposit { id, version, value, hint: None });
        NewSecret { deposit, ..new_secret(name, ScopeKind::Shared, "") }
    };
    // The run is begun and stands still: the store is locked right after.
    world.store.reencrypt_all(&world.operator).await.unwrap();
    world.lock().await;
    let mut late = 0;
    for byte in [0x01, 0x80, 0xff] {
        match world.store.create_secret(&world.admin, sealed(byte, &format!("LATE_{byte}")), None).await {
            Ok(_) => late += 1,
            Err(error) => assert_eq!(error.code(), Code::StaleGeneration),
        }
    }
    world.unlock().await;
    finished(&world.store, &world.admin).await;
    let boot = world.boot(&world.admin).await;
    assert_eq!(boot.iter().filter(|(_, value)| value == "late").count(), late);
    let error = world.store.create_secret(&world.admin, sealed(7, "TOO_LATE"), None).await.unwrap_err();
    assert_eq!(error.code(), Code::StaleGeneration);
    assert!(generations(&world.store).await.iter().all(|generation| *generation == 2));
}

#[tokio::test]
async fn one_secret_is_sealed_again_in_place() {
    let world = World::new().await;
    for text in ["short".to_owned(), "x".repeat(5000)] {
        let id = world.shared(&format!("one-{}", text.len()), &text).await;
        let find = async || {
            let scope = world
                .store
                .records()
                .secrets(world.admin.org().unwrap().0, crate::domain::secret::Scope::Shared);
            let (found, _) = world.store.records().scan_all(&scope).await.unwrap();
            found.into_iter().map(|found| found.record).find(|record| record.meta.id == id).unwrap()
        };
        let before = find().await;
        world.store.reencrypt_secret(&world.admin, id).await.unwrap();
        let after = find().await;
        assert!(before.meta == after.meta && before.value != after.value);
        assert!(world.boot(&world.admin).await.iter().any(|(_, value)| *value == text));
    }
    let bob = world.member("bob", Role::Member).await;
    let id = world.private(&world.admin, "mine", "1").await;
    assert_eq!(world.store.reencrypt_secret(&bob, id).await.unwrap_err().code(), Code::NotFound);
}
