//! A byte store that fails: the operation fails with it, and nothing leaves.

use super::*;

#[tokio::test]
async fn when_the_entry_cannot_be_stored_nothing_is_done_or_released() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let id = world.shared("one", "1").await;
    let new = NewTicket { uses: Some(1), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let faulty = Faulty::after(&memory, 1, Fault::Full);
    let full = open(faulty, world.clock.clone()).await;
    unlock(&full).await;
    let ticket = full.authenticate(&credential, None).await.unwrap();
    assert_eq!(full.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::StoreFull);
    let error =
        full.create_secret(&world.admin, new_secret("two", ScopeKind::Shared, "2"), None).await.unwrap_err();
    assert_eq!(error.code(), Code::StoreFull);
    assert_eq!(full.delete_secret(&world.admin, id, None).await.unwrap_err().code(), Code::StoreFull);
    assert_eq!(full.explain(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::StoreFull);
    // Locking is done whatever the disk says.
    assert_eq!(full.lock(&world.operator).await.unwrap_err().code(), Code::StoreFull);
    assert!(full.is_locked());

    // The use was not spent, and the chains are complete.
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert_eq!(variables(released), pairs(&[("ONE", "1")]));
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn more_work_than_may_wait_is_refused_at_once() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let slow = Faulty::after(&memory, 0, Fault::Hang);
    let store = open(slow.clone(), world.clock.clone()).await;
    let attempts: Vec<_> = (0..crate::store::engine::journal::QUEUE + 1000)
        .map(|_| {
            let (store, caller) = (store.clone(), world.admin.clone());
            tokio::spawn(async move { store.explain(&caller, BootAsk::default()).await })
        })
        .collect();
    eventually(|| async { attempts.iter().any(|attempt| attempt.is_finished()) }).await;
    slow.left.store(1_000_000, Ordering::SeqCst);
    let mut refused = 0;
    for attempt in attempts {
        if let Err(error) = attempt.await.unwrap() {
            assert_eq!(error.code(), Code::Overloaded);
            assert!(error.retry_after().is_some());
            refused += 1;
        }
    }
    // One batch is being committed while the queue is full.
    assert!((700..=1000).contains(&refused), "{refused}");
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn long_values_that_wait_are_bounded_by_their_bytes() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let slow = Faulty::after(&memory, 0, Fault::Hang);
    let store = open(slow.clone(), world.clock.clone()).await;
    let mut members = Vec::new();
    for i in 0..5 {
        // A scope each, so that the budgets of files do not refuse them.
        members.push(world.member(&format!("member-{i}"), Role::Member).await);
    }
    let attempts: Vec<_> = (0..70)
        .map(|i| {
            let (store, member) = (store.clone(), members[i % 5].clone());
            tokio::spawn(async move {
                let file = SecretValue::new(vec![b'x'; 1 << 20]);
                let new = NewSecret {
                    delivery: Delivery::File,
                    deposit: Deposit::Value(file),
                    ..new_secret(&format!("file-{i}"), ScopeKind::Private, "")
                };
                store.create_secret(&member, new, None).await
            })
        })
        .collect();
    eventually(|| async { attempts.iter().filter(|attempt| attempt.is_finished()).count() >= 7 }).await;
    slow.left.store(1_000_000, Ordering::SeqCst);
    let mut stored = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => assert_eq!(error.code(), Code::Overloaded),
        }
    }
    assert_eq!(stored, 63, "of 64 MiB, with 16 bytes more for each");
}

#[tokio::test]
async fn a_lost_response_leaves_the_chain_complete() {
    for lost in 1..6 {
        let memory = Arc::new(Memory::new());
        let world = World::on(memory.clone()).await;
        let faulty = Faulty::after(&memory, lost, Fault::AnswerLost);
        let store = open(faulty, world.clock.clone()).await;
        let mut failed = 0;
        for i in 0..8 {
            let new = new_secret(&format!("secret-{i}"), ScopeKind::Shared, "1");
            if let Err(error) = store.create_secret(&world.admin, new, None).await {
                assert_eq!(error.code(), Code::Unavailable);
                failed += 1;
            }
        }
        assert_eq!(failed, 1);
        // Whether it was done was not known; it was.
        assert_eq!(world.boot(&world.admin).await.len(), 8);
        let verification = world.verification().await;
        assert!(verification.ok, "{lost}: {verification:?}");
        assert_eq!(verification.chains.len(), 2, "the chain was gone on with");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_all_or_nothing() {
    let world = World::new().await;
    for i in 0..200 {
        let new = new_secret(&format!("secret-{i}"), ScopeKind::Shared, &format!("value-{i}"));
        let creation = world.store.create_secret(&world.admin, new, None);
        // Dropped at some point of its work.
        let _ = tokio::time::timeout(Duration::from_micros(i * 10), creation).await;
    }
    world.shared("last", "last").await;
    for (name, value) in world.boot(&world.admin).await {
        assert_eq!(name.to_lowercase().replace("secret_", "value-"), value);
    }
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn one_damaged_record_fails_what_needs_it_and_nothing_else() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let bob = world.member("bob", Role::Member).await;
    world.shared("fine", "1").await;
    let id = world.private(&bob, "damaged", "1").await;
    let scope = crate::domain::secret::Scope::Private(bob.member().unwrap().0);
    let key = world.store.records().secret(bob.org().unwrap().0, scope, id).to_vec();
    let (mut found, _) = memory.get(std::slice::from_ref(&key)).await.unwrap();
    let mut bytes = found.pop().unwrap().unwrap().value;
    bytes[40] ^= 1;
    memory.commit(Vec::new(), vec![Write::Put(key, bytes)]).await.unwrap();
    let ticket = world.ticket(&bob).await;
    assert_eq!(world.store.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Corrupt);
    assert_eq!(world.store.secret(&bob, id).await.unwrap_err().code(), Code::Corrupt);
    assert_eq!(world.boot(&world.admin).await, pairs(&[("FINE", "1")]));
}
