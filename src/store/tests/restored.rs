//! Restore epochs: what a restore ends, and which servers accept it.

use super::backup::{backup, restored};
use super::*;
use crate::domain::audit::{DetailKey, Outcome};

/// A member with a session, a pending enrolment, and tickets with and without a limit.
struct Credentials {
    session: SessionKey,
    enrolment: Credential,
    limited: Credential,
    unlimited: Credential,
}

async fn credentials(world: &World) -> Credentials {
    let created = |name: &str| NewMember::person(member(name), Role::Member);
    let mel = world.store.create_member(&world.admin, created("mel"), None).await.unwrap();
    let mel = world.redeem(&mel.enrolment.unwrap().credential).await;
    let session = world.store.log_in(&mel.credential, None, "r1").await.unwrap().1;
    let pending = world.store.create_member(&world.admin, created("new"), None).await.unwrap();
    let limited = NewTicket { uses: Some(3), ..NewTicket::default() };
    Credentials {
        session,
        enrolment: pending.enrolment.unwrap().credential,
        limited: world.ticket_for(&world.admin, limited).await,
        unlimited: world.ticket_for(&world.admin, NewTicket::default()).await,
    }
}

async fn check_ended(store: &Store, credentials: &Credentials) {
    let Credentials { session, enrolment, limited, unlimited } = credentials;
    assert!(matches!(store.session(session, None).await, Err(AuthError::Unknown)));
    let redeemed = store.redeem_enrolment(enrolment, None, "r1", Redemption::default()).await;
    assert!(matches!(redeemed, Err(EnrolmentError::Auth(AuthError::Expired))), "{redeemed:?}");
    assert!(matches!(store.authenticate(limited, None).await, Err(AuthError::Revoked)));
    let ticket = store.authenticate(unlimited, None).await.unwrap();
    unlock(store).await;
    store.boot(&ticket, BootAsk::default()).await.unwrap();
}

#[tokio::test]
async fn sessions_links_and_limited_tickets_do_not_survive_a_restore() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let made = credentials(&world).await;
    let file = backup(&world).await;
    let kv = Arc::new(Memory::new());
    let epoch = restored(&kv, &file).await.unwrap().epoch;
    let store = open(kv.clone(), world.clock.clone()).await;
    check_ended(&store, &made).await;
    assert!(store.verify_audit(&world.operator, true).await.unwrap().ok);
    let filter = AuditFilter { action: Some("store.restore".into()), ..AuditFilter::default() };
    let entries = store.audit(&world.operator, &filter, PageAsk::default()).await.unwrap().items;
    let details = entries.iter().map(|entry| &entry.event.details).collect::<Vec<_>>();
    assert_eq!(entries.len(), 2);
    for entry in &details {
        assert_eq!(entry[&DetailKey::Epoch].as_str(), epoch.to_string());
    }
    let ended = details.iter().find(|entry| entry.contains_key(&DetailKey::Sessions)).unwrap();
    let counts =
        [DetailKey::Sessions, DetailKey::Enrolments, DetailKey::Tickets].map(|key| ended[&key].as_str());
    assert_eq!(counts, ["1", "1", "1"]);
    assert!(entries.iter().all(|entry| entry.event.outcome == Outcome::Allowed));
    // Once: what is created since stays.
    let new = NewTicket { uses: Some(1), ..NewTicket::default() };
    let later = store.create_ticket(&world.admin, new, None).await.unwrap().credential;
    let again = open(kv, world.clock.clone()).await;
    again.authenticate(&later, None).await.unwrap();
    // An admin can replace the link.
    again.replace_enrolment(&world.admin, &member("new"), None, None).await.unwrap();
}

/// A proof that was used since the backup is forgotten with it, so that none may be used after the restore.
#[tokio::test]
async fn a_sign_in_that_was_under_way_does_not_survive_a_restore() {
    let world = World::new().await;
    let kind = SealedTextKind::SignInProof;
    let before = world.store.seal_text(kind, b"proof").unwrap();
    assert!(world.store.open_text(kind, &before).is_some());
    assert!(world.store.open_text(SealedTextKind::PendingSignIn, &before).is_none());
    let file = backup(&world).await;
    let kv = Arc::new(Memory::new());
    restored(&kv, &file).await.unwrap();
    let store = open(kv, world.clock.clone()).await;
    assert!(store.open_text(kind, &before).is_none());
    let after = store.seal_text(kind, b"proof").unwrap();
    assert!(store.open_text(kind, &after).is_some());
}

/// Whatever the process that restored it was doing when it was killed.
#[tokio::test]
async fn what_a_restore_has_not_ended_the_next_start_ends() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let made = credentials(&world).await;
    let file = backup(&world).await;
    for commits in 0..8 {
        let kv = Arc::new(Memory::new());
        restored(&kv, &file).await.unwrap();
        let faulty = Faulty::after(&kv, commits, Fault::Crash);
        let tried = Store::open(faulty, record_key(), world.clock.clone(), Arc::new(KernelEntropy)).await;
        drop(tried);
        let store = open(kv, world.clock.clone()).await;
        check_ended(&store, &made).await;
        assert!(store.verify_audit(&world.operator, true).await.unwrap().ok);
    }
}

#[tokio::test]
async fn a_server_accepts_a_restore_once_and_only_the_one_it_is_told() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let file = backup(&world).await;
    world.shared("two", "2").await;
    let never_restored = world.store.follow_log_heads(None, None).await.unwrap();
    let (first_kv, second_kv) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let first = restored(&first_kv, &file).await.unwrap().epoch;
    let second = restored(&second_kv, &file).await.unwrap().epoch;
    let other: RestoreEpoch = "aaaaaaaa".parse().unwrap();
    assert!(first != second && first != other);
    let store = open(first_kv.clone(), world.clock.clone()).await;
    unlock(&store).await;

    for wrong in [None, Some(other), Some(second)] {
        let refused = store.follow_log_heads(Some(&never_restored), wrong).await;
        assert_eq!(refused, Err(LogHeadsError::Restored { epoch: first }));
    }
    assert!(store.is_locked());
    let accepted = store.follow_log_heads(Some(&never_restored), Some(first)).await.unwrap();
    assert!(accepted.contains(&first.to_string()));
    // A flag that stays in a unit file changes nothing.
    for flag in [None, Some(first), Some(other)] {
        assert!(store.follow_log_heads(Some(&accepted), flag).await.is_ok());
    }
    // A server without a file takes what is there.
    let fresh = store.follow_log_heads(None, None).await.unwrap();
    assert!(fresh.contains(&format!("epoch {first}\n")));
    store.close_journal_only().await;

    let restored_again = open(second_kv, world.clock.clone()).await;
    let refused = restored_again.follow_log_heads(Some(&accepted), Some(first)).await;
    assert_eq!(refused, Err(LogHeadsError::Restored { epoch: second }));
    let newest = restored_again.follow_log_heads(Some(&accepted), Some(second)).await.unwrap();
    // The owner of the byte store puts back the store of the first restore, or the one from before.
    let rolled_back = Err(LogHeadsError::Failure(crate::store::engine::failure::Failure::RolledBack));
    let replayed = open(first_kv, world.clock.clone()).await;
    for flag in [None, Some(first), Some(second)] {
        assert_eq!(replayed.follow_log_heads(Some(&newest), flag).await, rolled_back);
        assert_eq!(world.store.follow_log_heads(Some(&newest), flag).await, rolled_back);
        assert_eq!(world.store.follow_log_heads(Some(&accepted), flag).await, rolled_back);
    }
    assert!(world.store.is_locked());
}

/// Within an epoch, the log is compared as before.
#[tokio::test]
async fn a_restored_store_that_is_rolled_back_is_refused() {
    let world = World::new().await;
    let file = backup(&world).await;
    let kv: Arc<dyn Kv> = Arc::new(Memory::new());
    let outcome = restore(Arc::clone(&kv), &record_key(), &mut file.as_slice(), &mut |_| {}).await.unwrap();
    let store = open(Arc::clone(&kv), world.clock.clone()).await;
    let before = super::tampering::rows(&kv).await;
    let new = new_secret("later", ScopeKind::Shared, "1");
    store.create_secret(&world.admin, new, None).await.unwrap();
    let seen = store.follow_log_heads(None, None).await.unwrap();
    for key in super::tampering::rows(&kv).await.keys() {
        super::tampering::write(&kv, key, before.get(key)).await;
    }
    let refused = store.follow_log_heads(Some(&seen), Some(outcome.epoch)).await;
    assert!(matches!(refused, Err(LogHeadsError::Failure(_))));
}
