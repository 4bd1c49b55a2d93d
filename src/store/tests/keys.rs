//! Locked and unlocked, key slots, opening.

use super::*;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::random::Kernel;
use crate::store::engine::header;

fn passphrase(text: &str) -> UnlockSecret {
    UnlockSecret::Passphrase(Zeroizing::new(text.to_owned()))
}

#[tokio::test]
async fn a_locked_store_takes_everything_and_releases_nothing() {
    let world = World::new().await;
    let kept = world.shared("kept", "1").await;
    let gone = world.shared("gone", "1").await;
    let new = NewTicket { uses: Some(1), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();

    world.lock().await;
    assert!(world.store.is_locked());
    world.shared("new", "2").await;
    world.store.replace_secret(&world.admin, kept, None, replacement("2")).await.unwrap();
    world.store.delete_secret(&world.admin, gone, None).await.unwrap();
    world.store.list_secrets(&world.admin, &SecretFilter::default(), PageAsk::default()).await.unwrap();
    world.member("bob", Role::Member).await;
    let explained = world.store.explain(&ticket, BootAsk::default()).await.unwrap();
    assert!(explained.locked);
    assert_eq!(explained.receipt.count(), 2);
    assert_eq!(explained.uses_left, Some(1));
    for _ in 0..3 {
        assert_eq!(world.store.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Locked);
    }
    assert_eq!(world.store.reencrypt_secret(&world.admin, kept).await.unwrap_err().code(), Code::Locked);
    assert_eq!(world.store.reencrypt_all(&world.operator).await.unwrap_err().code(), Code::Locked);
    assert_eq!(
        world.store.add_keyslot(&world.operator, passphrase_slot("x")).await.unwrap_err().code(),
        Code::Locked
    );

    // Nothing was spent.
    world.unlock().await;
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert_eq!(variables(released), pairs(&[("KEPT", "2"), ("NEW", "2")]));
}

#[tokio::test]
async fn only_the_right_secret_unlocks_and_only_for_the_operator() {
    let world = World::new().await;
    world.lock().await;
    let error = world.store.unlock(&world.operator, passphrase("wrong")).await.unwrap_err();
    assert_eq!(error.code(), Code::WrongPassphrase);
    assert_eq!(
        world.store.unlock(&world.operator, passphrase("")).await.unwrap_err().code(),
        Code::WrongPassphrase
    );
    let error = world.store.unlock(&world.admin, passphrase(PASSPHRASE)).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    let text = UnlockSecret::KeyFile(Zeroizing::new("nonsense".to_owned()));
    assert_eq!(world.store.unlock(&world.operator, text).await.unwrap_err().code(), Code::InvalidRequest);
    let other = UnlockSecret::KeyFile(UnlockKey::generate(&mut Kernel).to_text());
    assert_eq!(world.store.unlock(&world.operator, other).await.unwrap_err().code(), Code::WrongPassphrase);
    assert!(world.store.is_locked());
    let unlocked = world.store.unlock(&world.operator, passphrase(PASSPHRASE)).await.unwrap();
    assert_eq!(unlocked.generation, 1);
}

#[tokio::test]
async fn key_slots_come_and_go_but_the_last_stays() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let key = UnlockKey::generate(&mut Kernel).to_text();
    let file = NewKeyslot {
        credential: true,
        allow_weak: true,
        secret: UnlockSecret::KeyFile(key.clone()),
        label: Some(crate::domain::name::Label::parse("the host").unwrap()),
        argon2: None,
    };
    let added = world.store.add_keyslot(&world.operator, file).await.unwrap();
    world.store.add_keyslot(&world.operator, passphrase_slot("third")).await.unwrap();
    let slots = world.store.keyslots(&world.operator).await.unwrap();
    assert_eq!(slots.len(), 3);
    let first = slots[0].id;
    world.store.remove_keyslot(&world.operator, first).await.unwrap();

    // All of it holds for another process.
    let other = world.another().await;
    let unlock = async |secret| other.unlock(&Caller::this_process(), secret).await;
    assert_eq!(unlock(passphrase(PASSPHRASE)).await.unwrap_err().code(), Code::WrongPassphrase);
    assert_eq!(unlock(UnlockSecret::KeyFile(key)).await.unwrap().slot, added.id);
    unlock(passphrase("third")).await.unwrap();
    let third = world.store.keyslots(&world.operator).await.unwrap()[1].id;
    world.store.remove_keyslot(&world.operator, third).await.unwrap();
    let error = world.store.remove_keyslot(&world.operator, added.id).await.unwrap_err();
    assert_eq!(error.code(), Code::LastKeyslot);
    assert_eq!(world.store.remove_keyslot(&world.operator, first).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(world.store.keyslots(&world.admin).await.unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn opening_tells_what_is_wrong() {
    let clock = TestClock::new();
    let entropy = || Arc::new(KernelEntropy);
    let empty: Arc<dyn Kv> = Arc::new(Memory::new());
    let error = Store::open(empty, record_key(), clock.clone(), entropy()).await.err().unwrap();
    assert!(matches!(error, OpenError::NotInitialised));

    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let other = RecordKey::new(&Key32::copy_of(&[8; 32]));
    let error = Store::open(memory.clone(), other, clock.clone(), entropy()).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongRecordKey));
    let init = Init { slots: vec![passphrase_slot("x")], org: org("default"), admin: member("admin") };
    let error =
        Store::init(memory.clone(), record_key(), init, clock.clone(), entropy()).await.err().unwrap();
    assert!(matches!(error, InitError::AlreadyInitialised));

    let (mut found, _) = memory.get(&[header::HEADER.to_vec()]).await.unwrap();
    let mut header = found.pop().unwrap().unwrap().value;
    header[17] = 9;
    let write = Write::Put(header::HEADER.to_vec(), header);
    memory.commit(Vec::new(), vec![write]).await.unwrap();
    let error = Store::open(memory.clone(), record_key(), clock.clone(), entropy()).await.err().unwrap();
    assert!(matches!(error, OpenError::NewerFormat { found: 9, known: 6 }));
    drop(world);
    let (mut found, _) = memory.get(&[header::HEADER.to_vec()]).await.unwrap();
    let mut header = found.pop().unwrap().unwrap().value;
    header[17] = 1;
    memory.commit(Vec::new(), vec![Write::Put(header::HEADER.to_vec(), header)]).await.unwrap();
    let error = Store::open(memory, record_key(), clock.clone(), entropy()).await.err().unwrap();
    assert!(matches!(error, OpenError::OlderFormat { found: 1, oldest: 2 }));

    let foreign: Arc<dyn Kv> = Arc::new(Memory::new());
    foreign.commit(Vec::new(), vec![Write::Put(b"x".to_vec(), b"y".to_vec())]).await.unwrap();
    let error = Store::open(foreign.clone(), record_key(), clock.clone(), entropy()).await.err().unwrap();
    assert!(matches!(error, OpenError::Foreign));
    let init = Init { slots: vec![passphrase_slot("x")], org: org("default"), admin: member("admin") };
    let error = Store::init(foreign, record_key(), init, clock, entropy()).await.err().unwrap();
    assert!(matches!(error, InitError::Foreign));
}

#[tokio::test]
async fn a_closed_store_refuses_and_another_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let sqlite = || -> Arc<dyn Kv> { Arc::new(crate::kv::sqlite::Sqlite::open(&path).unwrap()) };
    let world = World::on(sqlite()).await;
    world.shared("one", "1").await;
    world.store.close().await;
    let error = world.store.lock(&world.operator).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);

    let store = open(sqlite(), world.clock.clone()).await;
    unlock(&store).await;
    let ticket = store.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap();
    let ticket = store.authenticate(&ticket.credential, None).await.unwrap();
    let released = store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert_eq!(variables(released), pairs(&[("ONE", "1")]));
    let verification = store.verify_audit(&world.operator, true).await.unwrap();
    assert!(verification.ok, "{verification:?}");
    let states: Vec<_> = verification.chains.iter().map(|chain| chain.state).collect();
    assert_eq!(states, [ChainState::Ended, ChainState::Open]);
}

#[tokio::test]
async fn status_tells_members_and_the_operator() {
    let world = World::new().await;
    let status = world.store.status(&world.admin).await.unwrap();
    assert_eq!((status.locked, status.generation, status.healthy), (false, 1, true));
    assert_eq!(status.backend, "memory");
    world.store.status(&world.operator).await.unwrap();
    let ticket = world.ticket(&world.admin).await;
    assert_eq!(world.store.status(&ticket).await.unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn a_new_slot_has_no_passphrase_that_can_be_guessed_unless_the_request_accepts_it() {
    let world = World::new().await;
    let slot = |text, allow_weak| NewKeyslot { allow_weak, ..passphrase_slot(text) };
    let refused = world.store.add_keyslot(&world.operator, slot("P@ssw0rd1", false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidRequest);
    assert!(!refused.to_string().contains("P@ssw0rd1"), "{refused}");
    world.store.add_keyslot(&world.operator, slot("P@ssw0rd1", true)).await.unwrap();
    world.store.add_keyslot(&world.operator, slot("correct horse battery staple", false)).await.unwrap();
    // Somebody who may not add a slot is told only that.
    let refused = world.store.add_keyslot(&world.admin, slot("P@ssw0rd1", false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
}
