//! Backup and restore.

use super::*;

pub(super) async fn backup(world: &World) -> Vec<u8> {
    let mut backup = world.store.backup(&world.operator).await.unwrap();
    let mut file = Vec::new();
    while let Some(piece) = backup.next().await {
        file.extend_from_slice(&piece.unwrap());
    }
    assert!(backup.records() > 0);
    file
}

pub(super) async fn restored(kv: &Arc<Memory>, file: &[u8]) -> Result<Restored, RestoreError> {
    let kv: Arc<dyn Kv> = kv.clone();
    restore(kv, &record_key(), &mut &*file, &mut |_| {}).await
}

async fn filled() -> World {
    let world = World::new().await;
    world.shared("one", "1").await;
    world.shared("long", &"x".repeat(5000)).await;
    let bob = world.member("bob", Role::Member).await;
    world.private(&bob, "one", "2").await;
    world.boot(&bob).await;
    world
}

#[tokio::test]
async fn a_restored_store_is_the_one_that_was_backed_up() {
    let world = filled().await;
    let credential = world.ticket_for(&world.admin, NewTicket::default()).await;
    let before = world.boot(&world.admin).await;
    let revision = world.store.status(&world.operator).await.unwrap().revision;
    let file = backup(&world).await;

    let kv = Arc::new(Memory::new());
    let audit_action = restored(&kv, &file).await.unwrap();
    assert_eq!(audit_action.store, world.store.id());
    assert!(audit_action.revision > revision);
    let store = open(kv, world.clock.clone()).await;
    assert!(store.status(&world.operator).await.unwrap().revision > revision);
    unlock(&store).await;
    let ticket = store.authenticate(&credential, None).await.unwrap();
    assert_eq!(variables(store.boot(&ticket, BootAsk::default()).await.unwrap()), before);
    let verification = store.verify_audit(&world.operator, true).await.unwrap();
    assert!(verification.ok, "{verification:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_under_load_is_consistent() {
    let world = filled().await;
    for i in 0..1000 {
        // Fills several pages; plain, since it is the number that matters.
        let new = new_secret(&format!("filler-{i}"), ScopeKind::Shared, "1");
        world.deposit(&world.admin, NewSecret { kind: Kind::Plain, ..new }).await;
    }
    let (store, admin) = (world.store.clone(), world.admin.clone());
    let writer = tokio::spawn(async move {
        for i in 0..100 {
            let new = new_secret(&format!("during-{i}"), ScopeKind::Shared, "1");
            let id = store.create_secret(&admin, new, None).await.unwrap().secret.meta.id;
            if i % 2 == 0 {
                store.delete_secret(&admin, id, None).await.unwrap();
            }
        }
    });
    let file = backup(&world).await;
    writer.await.unwrap();
    let kv = Arc::new(Memory::new());
    restored(&kv, &file).await.unwrap();
    let store = open(kv, world.clock.clone()).await;
    unlock(&store).await;
    // The audit log is the sharpest witness: it breaks with any entry too many or too few.
    let verification = store.verify_audit(&world.operator, true).await.unwrap();
    assert!(verification.ok, "{verification:?}");
    let credential = store.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap().credential;
    let ticket = store.authenticate(&credential, None).await.unwrap();
    store.boot(&ticket, BootAsk::default()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_leaves_the_place_empty() {
    let world = filled().await;
    let file = backup(&world).await;
    let kv = Arc::new(Memory::new());
    for at in (0..file.len()).step_by(97).chain([file.len() - 1]) {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        assert!(restored(&kv, &damaged).await.is_err(), "byte {at}");
    }
    for len in (0..file.len()).step_by(331) {
        assert!(restored(&kv, &file[..len]).await.is_err(), "{len} bytes");
    }
    let error = Store::open(kv.clone(), record_key(), world.clock.clone(), Arc::new(KernelEntropy)).await;
    assert!(error.is_err());
    restored(&kv, &file).await.unwrap();
    let store = open(kv.clone(), world.clock.clone()).await;
    unlock(&store).await;
    // Never over another.
    assert!(matches!(restored(&kv, &file).await, Err(RestoreError::NotEmpty)));
}

#[tokio::test]
async fn a_restore_that_was_killed_is_begun_anew() {
    let world = filled().await;
    let file = backup(&world).await;
    let kv = Arc::new(Memory::new());
    let faulty: Arc<dyn Kv> = Faulty::after(&kv, 2, Fault::Crash);
    let outcome = restore(faulty, &record_key(), &mut file.as_slice(), &mut |_| {}).await;
    assert!(matches!(outcome, Err(RestoreError::Failure(Failure::Unavailable))));
    restored(&kv, &file).await.unwrap();
    open(kv, world.clock.clone()).await;
}

#[tokio::test]
async fn another_record_key_and_other_files_are_distinguished() {
    let world = filled().await;
    let file = backup(&world).await;
    let kv: Arc<dyn Kv> = Arc::new(Memory::new());
    let other = RecordKey::new(&Key32::copy_of(&[8; 32]));
    let outcome = restore(kv.clone(), &other, &mut file.as_slice(), &mut |_| {}).await;
    assert!(matches!(outcome, Err(RestoreError::WrongRecordKey)));
    let outcome = restore(kv.clone(), &record_key(), &mut &b"hello"[..], &mut |_| {}).await;
    assert!(matches!(outcome, Err(RestoreError::NotABackup)));
    let mut newer = file.clone();
    newer[17] = 7;
    let outcome = restore(kv.clone(), &record_key(), &mut newer.as_slice(), &mut |_| {}).await;
    assert!(matches!(outcome, Err(RestoreError::NewerFormat { found: 7, known: 6 })));
    newer[17] = 1;
    let outcome = restore(kv, &record_key(), &mut newer.as_slice(), &mut |_| {}).await;
    assert!(matches!(outcome, Err(RestoreError::OlderFormat { found: 1, oldest: 2 })));
    let error = world.store.backup(&world.admin).await.err().unwrap();
    assert_eq!(error.code(), Code::Forbidden);
}
