//! Re-encryption: the same values, whatever happens in between.

use super::secrets::seal;
use super::unusable::deposit_unusable;
use super::*;
use crate::domain::audit::Outcome;
use crate::store::tables;

pub(super) async fn finished(store: &Store, caller: &Caller) {
    eventually(|| async { !store.reencrypt_progress(caller).await.unwrap().running }).await;
}

async fn generations(store: &Store) -> Vec<u32> {
    let (found, _) = store.records().scan_all(&tables::secrets::all_secrets()).await.unwrap();
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
    let old_key = world.store.deposit_info(&world.admin, None).await.unwrap();
    world.store.reencrypt_all(&world.operator).await.unwrap();
    finished(&world.store, &world.admin).await;
    assert!(generations(&world.store).await.iter().all(|generation| *generation == 2));
    assert_eq!(world.boot(&world.admin).await, before);
    let new_key = world.store.deposit_info(&world.admin, None).await.unwrap();
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
        let verification = store.verify_audit(&world.operator, true).await.unwrap();
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
    let info = world.store.deposit_info(&world.admin, None).await.unwrap();
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

/// It may open with that key once somebody finds out what is wrong. The run must neither hide it nor report that all is done.
#[tokio::test]
async fn a_value_that_does_not_open_stays_under_its_generation_whose_key_is_kept() {
    let world = World::new().await;
    fill(&world, 5).await;
    let before = world.boot(&world.admin).await;
    let id = deposit_unusable(&world, &world.admin, "DEFECTIVE", ScopeKind::Shared).await;
    let org = world.admin.org().unwrap().0;
    let key = world.store.records().secret(org, crate::domain::secret::Scope::Shared, id);
    let left = world.store.records().get(&key).await.unwrap();
    let kept = async || {
        let keys = world.store.keys_record().await.unwrap();
        keys.ring.generations().collect::<Vec<_>>()
    };
    for generation in [2, 3] {
        world.store.reencrypt_all(&world.operator).await.unwrap();
        finished(&world.store, &world.admin).await;
        assert!(world.store.records().get(&key).await.unwrap() == left);
        assert_eq!(kept().await, [1, generation]);
        let progress = world.store.reencrypt_progress(&world.admin).await.unwrap();
        assert_eq!((progress.left, progress.damaged, progress.kept), (1, 0, vec![1]));
        // The names are for those who may see them.
        let status = world.store.status(&world.admin).await.unwrap();
        assert_eq!(status.unusable.secrets[0].name.as_str(), "DEFECTIVE");
    }
    assert_eq!(world.boot(&world.admin).await, before);
    let filter = AuditFilter { action: Some("secret.re_encrypt".to_owned()), ..AuditFilter::default() };
    let log = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap();
    let named =
        |item: &AuditItem| item.event.target.as_ref().unwrap().name.as_ref().unwrap().as_str() == "DEFECTIVE";
    assert!(log.items.iter().filter(|item| item.event.outcome == Outcome::Failed).all(named));
    let filter = AuditFilter { action: Some("re_encrypt.finish".to_owned()), ..AuditFilter::default() };
    let log = world.store.audit(&world.operator, &filter, PageAsk::default()).await.unwrap();
    assert!(log.items.len() == 2 && log.items.iter().all(|item| item.event.outcome == Outcome::Failed));
    // Neither does a re-encryption of one secret or of an organization relabel it.
    let error = world.store.reencrypt_secret(&world.admin, id).await.unwrap_err();
    assert_eq!(error.code(), Code::SecretUnusable);
    world.store.reencrypt_own_org(&world.admin).await.unwrap();
    assert!(world.store.records().get(&key).await.unwrap() == left);
    // The key that is kept does not bring its generation back for deposits.
    let (other, version) = (SecretId::from_bytes([9; 16]), crate::domain::id::VersionId::from_bytes([9; 16]));
    let mut sealed = seal(&world, other, version, "LATE", b"late").await;
    sealed.value.generation = 1;
    let new = NewSecret { deposit: Deposit::Sealed(sealed), ..new_secret("late", ScopeKind::Private, "") };
    assert_eq!(
        world.store.create_secret(&world.admin, new, None).await.unwrap_err().code(),
        Code::StaleGeneration
    );
    // Once nothing needs the key any more, it is dropped.
    world.store.delete_secret(&world.admin, id, None).await.unwrap();
    world.shared("later", "1").await;
    eventually(|| async { kept().await == [3] }).await;
    assert!(world.verification().await.ok);
}

/// Which generation a record is of cannot be known if it does not open, so that no key is dropped.
#[tokio::test]
async fn a_damaged_record_neither_stops_a_run_nor_costs_a_key() {
    let world = World::new().await;
    fill(&world, 5).await;
    let (found, _) = world.store.records().scan_all(&tables::secrets::all_secrets()).await.unwrap();
    let key = found.iter().find(|found| found.record.value.generation().is_some()).unwrap().key.clone();
    world.kv.commit(Vec::new(), vec![Write::Put(key.clone(), vec![1; 60])]).await.unwrap();
    world.store.reencrypt_all(&world.operator).await.unwrap();
    finished(&world.store, &world.admin).await;
    let progress = world.store.reencrypt_progress(&world.admin).await.unwrap();
    assert_eq!((progress.left, progress.damaged, progress.kept), (0, 1, vec![1]));
    let keys = world.store.keys_record().await.unwrap();
    assert_eq!(keys.ring.generations().collect::<Vec<_>>(), [1, 2]);
}

/// Clients follow the chain. What was known to somebody else must not sign.
#[tokio::test]
async fn each_generation_signs_the_next_unless_it_is_compromised() {
    use crate::crypto::generation::leads_from;

    let world = World::new().await;
    let info = async || world.store.deposit_info(&world.admin, None).await.unwrap();
    let first = info().await;
    assert_eq!(first.chain.len(), 1);
    for _ in 0..2 {
        let progress = world.store.reencrypt_all(&world.operator).await.unwrap();
        assert!(progress.endorsed);
        finished(&world.store, &world.admin).await;
    }
    let third = info().await;
    assert_eq!(third.generation, 3);
    assert!(leads_from(&third.chain, third.store.as_bytes(), &first.fingerprint));
    assert_eq!(world.store.status(&world.admin).await.unwrap().fingerprint, third.fingerprint);
    // A run that is under way was begun with a signature.
    world.store.reencrypt_all(&world.operator).await.unwrap();
    if world.store.reencrypt_progress(&world.admin).await.unwrap().running {
        let error = world.store.reencrypt_compromised(&world.operator).await.unwrap_err();
        assert_eq!(error.code(), Code::Conflict);
    }
    finished(&world.store, &world.admin).await;
    assert!(!world.store.reencrypt_compromised(&world.operator).await.unwrap().endorsed);
    finished(&world.store, &world.admin).await;
    let fifth = info().await;
    assert_eq!((fifth.generation, fifth.chain.len()), (5, 1));
    assert!(!leads_from(&fifth.chain, fifth.store.as_bytes(), &third.fingerprint));
    // The next one follows it.
    world.store.reencrypt_all(&world.operator).await.unwrap();
    let sixth = info().await;
    assert!(leads_from(&sixth.chain, sixth.store.as_bytes(), &fifth.fingerprint));
}

/// As a program that has the record key writes it: the log names it.
pub(super) async fn put_keys(world: &World, keys: tables::store::KeysRecord) {
    let key = tables::store::keys();
    let put = world.store.journal().run(vec![key.to_vec()], move |tx| {
        tx.put(&key, &keys)?;
        Ok::<_, crate::store::engine::journal::Stop<Failure>>(())
    });
    put.await.unwrap();
}

/// The chain is not sealed with the ring: a writer of records could put another signing key there for clients to pin.
#[tokio::test]
async fn a_false_signing_key_does_not_survive_an_unlock() {
    let world = World::new().await;
    let mut keys = world.store.keys_record().await.unwrap();
    keys.chain[0].signing[0] ^= 1;
    put_keys(&world, keys).await;
    let secret = UnlockSecret::Passphrase(Zeroizing::new(PASSPHRASE.to_owned()));
    let error = world.another().await.unlock(&Caller::this_process(), secret).await.unwrap_err();
    assert_eq!(error.code(), Code::Corrupt);
}

/// A store of an older format: its generation has no signing key until the next one.
#[tokio::test]
async fn an_older_store_has_a_signing_key_from_its_next_generation_on() {
    let world = World::new().await;
    let keys = tables::store::KeysRecord { chain: Vec::new(), ..world.store.keys_record().await.unwrap() };
    let plain = keys.ring.deposit_key().fingerprint();
    put_keys(&world, keys).await;
    assert_eq!(world.store.deposit_info(&world.admin, None).await.unwrap().fingerprint, plain);
    for (endorsed, length) in [(false, 1), (true, 2)] {
        assert_eq!(world.store.reencrypt_all(&world.operator).await.unwrap().endorsed, endorsed);
        finished(&world.store, &world.admin).await;
        assert_eq!(world.store.deposit_info(&world.admin, None).await.unwrap().chain.len(), length);
    }
}
