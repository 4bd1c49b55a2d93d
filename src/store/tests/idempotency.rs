//! Repeated creations.

use super::*;
use crate::store::tables::answers::answers;

#[tokio::test]
async fn a_repeated_creation_is_answered_and_not_done_again() {
    let world = World::new().await;
    let new = || new_secret("one", ScopeKind::Shared, "1");
    let key = Some("key-1");
    let first = world.store.create_secret(&world.admin, new(), key).await.unwrap();
    let second = world.store.create_secret(&world.admin, new(), key).await.unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.secret.meta, second.secret.meta);

    let others = [
        new_secret("one", ScopeKind::Shared, "2"),
        new_secret("two", ScopeKind::Shared, "1"),
        NewSecret { attributes: Attributes { auto_install: false, ..Attributes::default() }, ..new() },
    ];
    for other in others {
        let error = world.store.create_secret(&world.admin, other, key).await.unwrap_err();
        assert_eq!(error.code(), Code::IdempotencyMismatch);
    }
    // Another caller's key is another key.
    let bob = world.member("bob", Role::Member).await;
    let error = world.store.create_secret(&bob, new(), key).await.unwrap_err();
    assert_eq!(error.code(), Code::NameTaken);
    for bad in ["", "two words", &"x".repeat(201)] {
        let error = world.store.create_secret(&world.admin, new(), Some(bad)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidRequest);
    }
    world.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(
        world.store.create_secret(&world.admin, new(), key).await.unwrap_err().code(),
        Code::NameTaken
    );
}

#[tokio::test]
async fn another_process_answers_repetitions_and_refuses_another_value() {
    let world = World::new().await;
    let new = |text| new_secret("one", ScopeKind::Shared, text);
    world.store.create_secret(&world.admin, new("1"), Some("key")).await.unwrap();
    let other = world.another().await;
    assert!(other.create_secret(&world.admin, new("1"), Some("key")).await.unwrap().replayed);
    let error = other.create_secret(&world.admin, new("2"), Some("key")).await.unwrap_err();
    assert_eq!(error.code(), Code::IdempotencyMismatch);
}

/// Otherwise, who reads the record key could try values until one has the stored digest.
#[tokio::test]
async fn a_digest_depends_on_the_idempotency_key_which_is_stored_nowhere() {
    let world = World::new().await;
    for key in ["one-random-key", "another-random-key"] {
        world.store.create_token(&world.admin, NewToken::default(), Some(key)).await.unwrap();
    }
    let records = world.store.records();
    let (found, _) = records.scan_all(&answers()).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_ne!(found[0].record.request, found[1].record.request, "the same request under two keys");
    let rows = world.kv.scan(answers().bytes(), None, 10).await.unwrap().entries;
    for row in rows {
        let plain = records.unseal(&row.key, &row.value).unwrap();
        for stored in [row.key.as_slice(), plain.as_slice()] {
            assert!(!stored.windows(6).any(|bytes| bytes == b"random"));
        }
    }
}

#[tokio::test]
async fn an_enrolment_with_another_lifetime_is_another_request() {
    let world = World::new().await;
    let bob = NewMember::person(member("bob"), Role::Member);
    world.store.create_member(&world.admin, bob, None).await.unwrap();
    let day = Some(Duration::from_secs(24 * 3600));
    world.store.replace_enrolment(&world.admin, &member("bob"), day, Some("key")).await.unwrap();
    let longer = world.store.replace_enrolment(&world.admin, &member("bob"), None, Some("key")).await;
    assert_eq!(longer.unwrap_err().code(), Code::IdempotencyMismatch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repetitions_at_the_same_time_are_one() {
    let world = World::new().await;
    let racers: Vec<_> = (0..50)
        .map(|_| {
            let (store, admin) = (world.store.clone(), world.admin.clone());
            tokio::spawn(async move {
                store.create_secret(&admin, new_secret("one", ScopeKind::Shared, "1"), Some("key")).await
            })
        })
        .collect();
    let mut ids = Vec::new();
    let mut made = 0;
    for racer in racers {
        let written = racer.await.unwrap().unwrap();
        made += usize::from(!written.replayed);
        ids.push(written.secret.meta.id);
    }
    ids.dedup();
    assert_eq!((made, ids.len()), (1, 1));
}

#[tokio::test]
async fn a_credential_is_not_shown_twice() {
    let world = World::new().await;
    let key = Some("key");
    world.store.create_token(&world.admin, NewToken::default(), key).await.unwrap();
    let again = world.store.create_token(&world.admin, NewToken::default(), key).await;
    assert_eq!(again.unwrap_err().code(), Code::Conflict);
    world.store.create_ticket(&world.admin, NewTicket::default(), key).await.unwrap();
    let again = world.store.create_ticket(&world.admin, NewTicket::default(), key).await;
    assert_eq!(again.unwrap_err().code(), Code::Conflict);
    let other = NewTicket { uses: Some(2), ..NewTicket::default() };
    let error = world.store.create_ticket(&world.admin, other, key).await.unwrap_err();
    assert_eq!(error.code(), Code::IdempotencyMismatch);
    let bob = || NewMember::person(member("bob"), Role::Member);
    world.store.create_member(&world.admin, bob(), key).await.unwrap();
    // The code of the enrolment cannot be shown again.
    let again = world.store.create_member(&world.admin, bob(), key).await;
    assert_eq!(again.unwrap_err().code(), Code::Conflict);
}
