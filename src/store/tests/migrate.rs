//! Moving a store between byte stores.

use super::*;

async fn moved(from: &Arc<dyn Kv>, to: &Arc<dyn Kv>) -> Result<Migrated, MigrateError> {
    migrate(from, to, &record_key(), &mut |_| {}).await
}

async fn opens(kv: &Arc<dyn Kv>, clock: &Arc<TestClock>) -> bool {
    let opened = Store::open(Arc::clone(kv), record_key(), clock.clone(), Arc::new(KernelEntropy)).await;
    match opened {
        Ok(store) => {
            store.close_journal_only().await;
            true
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_move_cut_short_after_any_commit_goes_on_and_no_moment_has_two_stores() {
    let limits = Limits { max_writes_per_commit: 40, ..Limits::EMBEDDED };
    let mut cut_short = 0;
    for commits in 0.. {
        let source: Arc<dyn Kv> = Arc::new(Memory::new());
        let world = World::on(Arc::clone(&source)).await;
        for i in 0..12 {
            world.shared(&format!("secret-{i}"), &"x".repeat(i * 400)).await;
        }
        let ticket = world.ticket_for(&world.admin, NewTicket::default()).await;
        let revision = world.store.status(&world.admin).await.unwrap().revision;
        world.store.close_journal_only().await;

        let memory = Arc::new(Memory::with_limits(limits));
        let dying: Arc<dyn Kv> = Faulty::after(&memory, commits, Fault::Crash);
        let target: Arc<dyn Kv> = memory;
        let first = moved(&source, &dying).await;
        let places = [opens(&source, &world.clock).await, opens(&target, &world.clock).await];
        assert_ne!(places, [true, true], "{commits}");
        assert_eq!(first.is_ok(), places == [false, true], "{commits}");
        if first.is_err() {
            cut_short += 1;
            moved(&source, &target).await.unwrap();
        }
        assert!(!opens(&source, &world.clock).await);
        let store = open(Arc::clone(&target), world.clock.clone()).await;
        unlock(&store).await;
        let ticket = store.authenticate(&ticket, None).await.unwrap();
        let released = store.boot(&ticket, BootAsk::default()).await.unwrap();
        assert!(released.receipt.count() == 12 && released.receipt.revision > revision);
        assert!(store.verify_audit(&world.operator, true).await.unwrap().ok);
        store.close_journal_only().await;
        if first.is_ok() {
            // And back, to where its old records are.
            assert!(matches!(moved(&source, &target).await, Err(MigrateError::Moved)));
            moved(&target, &source).await.unwrap();
            assert!(opens(&source, &world.clock).await && !opens(&target, &world.clock).await);
            break;
        }
    }
    assert!(cut_short >= 4, "{cut_short}");
}

#[tokio::test]
async fn nothing_is_mixed_in_and_what_is_not_a_store_is_not_moved() {
    let world = World::new().await;
    world.store.close_journal_only().await;
    let other = World::new().await;
    let empty: Arc<dyn Kv> = Arc::new(Memory::new());
    assert!(matches!(moved(&empty, &world.kv).await, Err(MigrateError::NoSource)));
    assert!(matches!(moved(&world.kv, &other.kv).await, Err(MigrateError::NotEmpty)));
    let strange: Arc<dyn Kv> = Arc::new(Memory::new());
    strange.commit(vec![], vec![Write::Put(vec![b'x'], vec![1])]).await.unwrap();
    assert!(matches!(moved(&world.kv, &strange).await, Err(MigrateError::NotEmpty)));
    let key = RecordKey::new(&Key32::copy_of(&[9; 32]));
    let refused = migrate(&world.kv, &empty, &key, &mut |_| {}).await;
    assert!(matches!(refused, Err(MigrateError::WrongRecordKey)));
    assert!(opens(&world.kv, &world.clock).await);
}
