//! Several processes on one byte store.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_ticket_is_exact_across_processes() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let others = [world.store.clone(), world.another().await, world.another().await];
    for store in &others[1..] {
        unlock(store).await;
    }
    for uses in [1, 50] {
        let new = NewTicket { uses: Some(uses), ..NewTicket::default() };
        let credential = world.ticket_for(&world.admin, new).await;
        let ticket = world.store.authenticate(&credential, None).await.unwrap();
        let racers: Vec<_> = (0..300)
            .map(|i| {
                let (store, ticket) = (others[i % 3].clone(), ticket.clone());
                tokio::spawn(async move { store.boot(&ticket, BootAsk::default()).await })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert_eq!(error.code(), Code::TicketSpent),
            }
        }
        assert_eq!(won, uses);
    }
    let verification = world.verification().await;
    assert!(verification.ok, "{verification:?}");
    assert_eq!(verification.chains.len(), 3);
}

#[tokio::test]
async fn what_one_acknowledged_all_others_serve() {
    let world = World::new().await;
    let other = world.another().await;
    unlock(&other).await;
    let credential = world.ticket_for(&world.admin, NewTicket::default()).await;
    let ticket = other.authenticate(&credential, None).await.unwrap();
    for i in 0..20 {
        let text = i.to_string();
        let id = world.shared(&format!("secret-{i}"), &text).await;
        let released = other.boot(&ticket, BootAsk::default()).await.unwrap();
        assert!(variables(released).contains(&(format!("SECRET_{i}"), text)));
        if i % 2 == 0 {
            world.store.delete_secret(&world.admin, id, None).await.unwrap();
            let released = other.boot(&ticket, BootAsk::default()).await.unwrap();
            assert!(released.receipt.entries.iter().all(|entry| entry.id != id));
        }
    }
    world.store.revoke_ticket(&world.admin, ticket.ticket().unwrap()).await.unwrap();
    assert_eq!(other.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Revoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn names_stay_unique_across_processes() {
    let world = World::new().await;
    let other = world.another().await;
    let racers: Vec<_> = (0..60)
        .map(|i| {
            let store = if i % 2 == 0 { world.store.clone() } else { other.clone() };
            let admin = world.admin.clone();
            tokio::spawn(async move {
                let name = format!("name-{}", i / 4);
                store.create_secret(&admin, new_secret(&name, ScopeKind::Shared, "1"), None).await
            })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        won += usize::from(racer.await.unwrap().is_ok());
    }
    assert_eq!(won, 15);
    assert_eq!(world.boot(&world.admin).await.len(), 15);
}

#[tokio::test]
async fn a_new_generation_of_one_process_comes_into_use_in_the_others() {
    let world = World::new().await;
    for i in 0..20 {
        world.shared(&format!("secret-{i}"), "1").await;
    }
    let (one, other) = (world.another().await, world.another().await);
    unlock(&one).await;
    unlock(&other).await;
    let credential = world.ticket_for(&world.admin, NewTicket::default()).await;
    // Each in turn, and each needs what the one before made.
    for (runner, follower) in [(&one, &other), (&other, &one), (&one, &other)] {
        runner.reencrypt_all(&world.operator).await.unwrap();
        eventually(|| async { !runner.reencrypt_progress(&world.admin).await.unwrap().running }).await;
        let ticket = follower.authenticate(&credential, None).await.unwrap();
        assert_eq!(follower.boot(&ticket, BootAsk::default()).await.unwrap().receipt.count(), 20);
    }
    assert_eq!(world.store.deposit_info(&world.admin, None).await.unwrap().generation, 4);
}

#[tokio::test]
async fn a_run_whose_process_died_is_taken_over() {
    let world = World::new().await;
    for i in 0..120 {
        world.shared(&format!("secret-{i}"), "1").await;
    }
    let other = world.another().await;
    unlock(&other).await;
    // Begun, and not gone on with: its journal takes nothing more.
    world.store.reencrypt_all(&world.operator).await.unwrap();
    world.store.close_journal_only().await;
    world.clock.advance(Duration::from_secs(60));
    other.inner.background.notify_one();
    eventually(|| async { !other.reencrypt_progress(&world.admin).await.unwrap().running }).await;
    let credential = other.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap().credential;
    let ticket = other.authenticate(&credential, None).await.unwrap();
    assert_eq!(other.boot(&ticket, BootAsk::default()).await.unwrap().receipt.count(), 120);
    let keys = other.keys_record().await.unwrap();
    assert_eq!(keys.ring.generations().collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_process_that_takes_deposits_only_is_never_unlocked() {
    let world = World::new().await;
    let kv = Arc::clone(&world.kv);
    let opened =
        Store::open_for_deposits(kv, record_key(), world.clock.clone(), Arc::new(KernelEntropy)).await;
    let depot = opened.unwrap();
    for secret in [PASSPHRASE, "wrong"] {
        let secret = UnlockSecret::Passphrase(Zeroizing::new(secret.to_owned()));
        let error = depot.unlock(&world.operator, secret).await.unwrap_err();
        assert!(matches!(error, UnlockError::DepositsOnly), "{error}");
    }
    let new = new_secret("one", ScopeKind::Shared, "1");
    depot.create_secret(&world.admin, new, None).await.unwrap();
    let ticket = world.ticket(&world.admin).await;
    assert_eq!(depot.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Locked);
    assert_eq!(
        variables(world.store.boot(&ticket, BootAsk::default()).await.unwrap()),
        pairs(&[("ONE", "1")])
    );
}

#[tokio::test]
async fn a_run_is_one_processs_at_a_time_and_another_locks_itself_when_it_is_left_behind() {
    let world = World::new().await;
    for i in 0..20 {
        world.shared(&format!("secret-{i}"), "1").await;
    }
    let other = world.another().await;
    let own = NewKeyslot { ..passphrase_slot("its own") };
    let slot = world.store.add_keyslot(&world.operator, own).await.unwrap();
    let secret = UnlockSecret::Passphrase(Zeroizing::new("its own".to_owned()));
    other.unlock(&Caller::this_process(), secret).await.unwrap();
    world.store.remove_keyslot(&world.operator, slot.id).await.unwrap();
    world.store.reencrypt_all(&world.operator).await.unwrap();
    eventually(|| async { !world.store.reencrypt_progress(&world.admin).await.unwrap().running }).await;
    let credential = world.ticket_for(&world.admin, NewTicket::default()).await;
    let ticket = other.authenticate(&credential, None).await.unwrap();
    assert_eq!(other.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Locked);
    assert!(other.is_locked());
    unlock(&other).await;
    assert_eq!(other.boot(&ticket, BootAsk::default()).await.unwrap().receipt.count(), 20);
}
