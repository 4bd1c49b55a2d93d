//! What boots keep from one to the next: it saves reading, and is never older than what was acknowledged.

use super::many::Counting;
use super::*;
use crate::store::tables::secrets;

#[tokio::test]
async fn a_boot_scans_only_the_scope_that_has_changed() {
    let counting = Arc::new(Counting::default());
    let world = World::on(counting.clone()).await;
    let shared = world.shared("shared", "1").await;
    world.private(&world.admin, "private", "1").await;
    let store = world.another().await;
    unlock(&store).await;
    let credential = world.ticket_for(&world.admin, NewTicket::default()).await;
    let ticket = store.authenticate(&credential, None).await.unwrap();
    // The background work of either changes secrets as well.
    let settled = async || {
        let left = secrets::all_unsettled();
        eventually(|| async { world.store.records().scan_all(&left).await.unwrap().0.is_empty() }).await;
    };
    settled().await;
    let boot = async || {
        counting.scans();
        let released = store.boot(&ticket, BootAsk::default()).await.unwrap();
        (variables(released), counting.scans())
    };

    let first = pairs(&[("PRIVATE", "1"), ("SHARED", "1")]);
    assert_eq!(boot().await.0, first);
    assert_eq!(boot().await, (first.clone(), 0));
    // By another process, each kind of change.
    world.store.replace_secret(&world.admin, shared, None, replacement("2")).await.unwrap();
    let second = pairs(&[("PRIVATE", "1"), ("SHARED", "2")]);
    assert_eq!(boot().await.0, second);
    let own = world.private(&world.admin, "own", "1").await;
    let third = pairs(&[("OWN", "1"), ("PRIVATE", "1"), ("SHARED", "2")]);
    assert_eq!(boot().await.0, third);
    settled().await;
    assert_eq!(boot().await.0, third);
    let off = AttributesPatch { auto_install: Some(false), ..AttributesPatch::default() };
    world.store.change_secret(&world.admin, own, None, off).await.unwrap();
    assert_eq!(boot().await, (second.clone(), 1));
    world.store.delete_secret(&world.admin, shared, None).await.unwrap();
    assert_eq!(boot().await, (pairs(&[("PRIVATE", "1")]), 1));
    assert_eq!(boot().await, (pairs(&[("PRIVATE", "1")]), 0));
}

#[tokio::test]
async fn what_was_opened_before_a_lock_is_of_no_use_after_it() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let ticket = world.ticket(&world.admin).await;
    let before = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let kept = world.store.release().unwrap();
    world.store.lock(&world.operator).await.unwrap();
    assert_eq!(world.store.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Locked);
    unlock(&world.store).await;
    let after = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert_eq!(variables(before), variables(after));
    assert!(!kept.cache_key.ct_eq(world.store.release().unwrap().cache_key.expose()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn boots_go_on_while_their_scope_keeps_changing() {
    let world = World::new().await;
    let id = world.shared("one", "0").await;
    let ticket = world.ticket(&world.admin).await;
    let others = [world.another().await, world.another().await];
    let changing = others.map(|other| {
        let admin = world.admin.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let replaced = other.replace_secret(&admin, id, None, replacement(&number.to_string())).await;
                assert!(replaced.is_ok() || replaced.unwrap_err().code() == Code::Conflict);
            }
        })
    });
    let boots: Vec<_> = (0..300)
        .map(|_| {
            let (store, ticket) = (world.store.clone(), ticket.clone());
            tokio::spawn(async move { store.boot(&ticket, BootAsk::default()).await })
        })
        .collect();
    for boot in boots {
        assert_eq!(boot.await.unwrap().unwrap().receipt.count(), 1);
    }
    for one in changing {
        assert!(!one.is_finished(), "nothing was changed meanwhile");
        one.abort();
    }
}

#[tokio::test]
async fn a_receipts_revision_never_goes_back_whoever_answers() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let other = world.another().await;
    unlock(&other).await;
    let ticket = world.ticket(&world.admin).await;
    let mut last = 0;
    for number in 0..20 {
        let store = if number % 2 == 0 { &world.store } else { &other };
        let released = store.boot(&ticket, BootAsk::default()).await.unwrap();
        assert!(released.receipt.revision > last, "{} after {last}", released.receipt.revision);
        last = released.receipt.revision;
        if number % 5 == 0 {
            world.private(&world.admin, &format!("more-{number}"), "1").await;
        }
    }
}
