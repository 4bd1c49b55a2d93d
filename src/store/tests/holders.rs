//! Which boots still hold a secret: exact numbers, in stores of every size and for every caller.

use super::*;
use crate::domain::boot::BootStatus;
use crate::store::tables::boots::BootRecord;
use crate::store::tables::holders::{self, IndexingRecord};

pub(super) async fn holders(world: &World, caller: &Caller, secret: &str) -> Holders {
    let ask = HoldersAsk { secret: secret.to_owned(), outdated: false };
    world.store.holders(caller, &ask, PageAsk::default()).await.unwrap()
}

/// `held_by` looked at the newest 10,000 boots, and said nothing about the rest.
#[tokio::test]
async fn all_holders_count_and_are_listed_in_pages() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let other = world.member("bob", Role::Member).await;
    world.private(&other, "mine", "2").await;
    let tickets = [world.ticket(&world.admin).await, world.ticket(&other).await];
    for number in 0..1200 {
        world.store.boot(&tickets[number % 2], BootAsk::default()).await.unwrap();
    }
    let found = holders(&world, &world.admin, &id.to_string()).await;
    assert_eq!((found.counts.current, found.counts.outdated, found.counts.incomplete), (1200, 0, false));
    world.store.replace_secret(&world.admin, id, None, replacement("2")).await.unwrap();
    world.store.boot(&tickets[0], BootAsk::default()).await.unwrap();
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
    loop {
        let ask = HoldersAsk { secret: "ONE".to_owned(), outdated: true };
        let page = PageAsk { cursor, limit: Some(500) };
        let page = world.store.holders(&world.admin, &ask, page).await.unwrap();
        assert_eq!((page.counts.current, page.counts.outdated, page.counts.without_end), (1, 1200, 1200));
        seen.extend(page.items.iter().map(|holder| holder.boot));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 1200);
    let gone = world.store.delete_secret(&world.admin, id, None).await.unwrap();
    assert_eq!((gone.held_by.counts.outdated, gone.held_by.items.len()), (1201, 100));
    assert!(gone.held_by.next.is_some());
    // By its name, after the deletion too. An admin's question by a name that only another member's secret has is about that one.
    assert_eq!(holders(&world, &world.admin, "one").await.counts.outdated, 1201);
    assert_eq!(holders(&world, &world.admin, &id.to_string()).await.counts.outdated, 1201);
    assert_eq!(holders(&world, &world.admin, "mine").await.counts.current, 600);
    assert_eq!(holders(&world, &other, "mine").await.counts.current, 600);
}

#[tokio::test]
async fn a_boot_that_received_two_versions_counts_once() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let ticket = world.ticket(&world.admin).await;
    let ask = || BootAsk { attempt: Some("key".to_owned()), ..BootAsk::default() };
    world.store.boot(&ticket, ask()).await.unwrap();
    world.store.replace_secret(&world.admin, id, None, replacement("2")).await.unwrap();
    world.store.boot(&ticket, ask()).await.unwrap();
    let counts = holders(&world, &world.admin, "one").await.counts;
    assert_eq!((counts.current, counts.outdated), (0, 1));
}

#[tokio::test]
async fn a_lifetime_ends_the_holding_and_a_caller_may_still_ask_for_it() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let new = NewTicket { lifetime: Some(Duration::from_secs(3600)), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    world.store.replace_secret(&world.admin, id, None, replacement("2")).await.unwrap();
    let before = holders(&world, &world.admin, "one").await;
    let end = world.clock.now().plus(Duration::from_secs(3600));
    assert_eq!((before.counts.outdated, before.counts.without_end), (1, 0));
    assert_eq!(before.counts.last_lifetime_end, Some(end));
    world.clock.advance(Duration::from_secs(3600));
    let after = holders(&world, &world.admin, "one").await;
    assert_eq!((after.counts.outdated, after.counts.lapsed, after.counts.without_end), (0, 1, 1));
    // The list names it, with the state that says why.
    assert_eq!(after.items.iter().map(|holder| holder.status).collect::<Vec<_>>(), [BootStatus::Ended]);
    // A day later the row is gone.
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.store.inner.background.notify_one();
    eventually(|| async {
        let rows = world.store.records().scan(&holders::all_running(), None, 1).await.unwrap();
        rows.found.is_empty()
    })
    .await;
}

#[tokio::test]
async fn only_those_who_may_see_holders_see_them() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.shared("one", "1").await;
    world.private(&bob, "mine", "1").await;
    let ticket = world.ticket(&bob).await;
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let change = PolicyChange { shared_by_members: Some(false), ..PolicyChange::default() };
    world.store.set_policy(&world.admin, change).await.unwrap();
    let credential = world.store.create_token(&bob, NewToken::default(), None).await.unwrap().credential;
    let bob = world.store.authenticate(&credential, None).await.unwrap();
    let ask = |secret: &str| HoldersAsk { secret: secret.to_owned(), outdated: false };
    // A number without the boots that he may not see would be wrong.
    let error = world.store.holders(&bob, &ask("one"), PageAsk::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    assert_eq!(holders(&world, &bob, "mine").await.counts.current, 1);
    let error = world.store.holders(&ticket, &ask("mine"), PageAsk::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
}

/// A wait that began after the lifetime had passed did not wait for the boot.
#[tokio::test]
async fn a_lifetime_that_passed_before_the_replacement_does_not_matter() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let new = NewTicket { lifetime: Some(Duration::from_secs(60)), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    let replace = async |value| {
        world.store.replace_secret(&world.admin, id, None, replacement(value)).await.unwrap();
    };
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    world.clock.advance(Duration::from_secs(61));
    replace("2").await;
    let counts = holders(&world, &world.admin, "one").await.counts;
    assert_eq!(
        (counts.outdated, counts.lapsed),
        (0, 0),
        "it held the current version when its lifetime passed"
    );
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    replace("3").await;
    world.clock.advance(Duration::from_secs(3600));
    replace("4").await;
    let counts = holders(&world, &world.admin, "one").await.counts;
    assert_eq!((counts.outdated, counts.lapsed), (0, 1));
    world.store.delete_secret(&world.admin, id, None).await.unwrap();
    assert_eq!(holders(&world, &world.admin, &id.to_string()).await.counts.lapsed, 1);
}

/// A member's own boots pushed those out of the numbers that their lifetimes had ended.
#[tokio::test]
async fn a_boot_that_makes_room_for_others_counts_for_its_day() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let change = QuotasChange { boots_per_member: Some(10), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), change).await.unwrap();
    let new = NewTicket { lifetime: Some(Duration::from_secs(60)), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let boot = async || {
        let ticket = world.store.authenticate(&credential, None).await.unwrap();
        world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    };
    boot().await;
    world.store.replace_secret(&world.admin, id, None, replacement("2")).await.unwrap();
    for _ in 0..30 {
        world.clock.advance(Duration::from_secs(61));
        boot().await;
    }
    let listed =
        world.store.list_boots(&world.admin, &BootFilter::default(), PageAsk::default()).await.unwrap();
    assert!(listed.items.len() <= 10, "the oldest were pruned");
    assert_eq!(holders(&world, &world.admin, "one").await.counts.lapsed, 1);
}

fn renamed(env: &str, value: &str) -> Replacement {
    Replacement { env: Some(env.parse().unwrap()), ..replacement(value) }
}

/// By its new name, the boots that had received the secret under the old one were not counted.
#[tokio::test]
async fn a_secret_is_found_by_every_name_that_it_has_or_had() {
    let world = World::new().await;
    let id = world.shared("key", "1").await;
    world.boot(&world.admin).await;
    world.store.replace_secret(&world.admin, id, None, renamed("NEW_KEY", "2")).await.unwrap();
    for name in ["key", "KEY", "NEW_KEY", &id.to_string()] {
        let found = holders(&world, &world.admin, name).await;
        assert_eq!((found.counts.current, found.counts.outdated), (0, 1), "{name}");
        assert_eq!(found.secrets.len(), 1, "{name}");
        let filter = BootFilter { secret: Some(name.to_owned()), ..BootFilter::default() };
        let boots = world.store.list_boots(&world.admin, &filter, PageAsk::default()).await.unwrap();
        assert_eq!(boots.items.len(), 1, "{name}");
        assert_eq!(boots.items[0].matched.iter().map(|held| held.secret).collect::<Vec<_>>(), [id], "{name}");
    }
    // The name passes to another secret: both count under it, and only the older one under the new name.
    let second = world.shared("KEY", "3").await;
    world.boot(&world.admin).await;
    let found = holders(&world, &world.admin, "KEY").await;
    assert_eq!((found.counts.current, found.counts.outdated), (1, 1));
    let mut ids: Vec<_> = found.secrets.iter().map(|secret| (secret.id, secret.deleted)).collect();
    ids.sort();
    let mut expected = [(id, false), (second, false)];
    expected.sort();
    assert_eq!(ids, expected);
    let found = holders(&world, &world.admin, "NEW_KEY").await;
    assert_eq!((found.counts.current, found.counts.outdated), (1, 1));
    assert_eq!(found.secrets.len(), 1);
    world.store.delete_secret(&world.admin, id, None).await.unwrap();
    let found = holders(&world, &world.admin, "KEY").await;
    assert_eq!((found.counts.current, found.counts.outdated), (0, 2));
    assert_eq!(found.secrets.iter().filter(|secret| secret.deleted).count(), 1);
}

#[tokio::test]
async fn a_name_of_nothing_is_not_found() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let unknown = async |secret: &str| {
        let ask = HoldersAsk { secret: secret.to_owned(), outdated: false };
        world.store.holders(&world.admin, &ask, PageAsk::default()).await.unwrap_err().code()
    };
    assert_eq!(unknown("onee").await, Code::NotFound);
    assert_eq!(holders(&world, &world.admin, "one").await.counts, HolderCounts::default());
    world.store.delete_secret(&world.admin, id, None).await.unwrap();
    assert_eq!(unknown("one").await, Code::NotFound);
    assert_eq!(unknown(&id.to_string()).await, Code::NotFound);
}

/// An admin who waits for the shared secret must not believe that nobody holds a key of that name.
#[tokio::test]
async fn private_secrets_of_others_are_counted_apart_for_those_who_may_see_them() {
    let world = World::new().await;
    let (bob, eve) = (world.member("bob", Role::Member).await, world.member("eve", Role::Member).await);
    world.private(&bob, "one", "1").await;
    world.boot(&bob).await;
    world.boot(&bob).await;
    let shared = world.shared("one", "2").await;
    world.boot(&world.admin).await;
    let of = async |caller: &Caller| {
        let found = holders(&world, caller, "one").await;
        (found.secrets.len(), found.counts.current, found.counts.other_private)
    };
    assert_eq!(of(&world.admin).await, (1, 1, 2));
    assert_eq!(of(&eve).await, (1, 1, 0), "whose secrets others have is not for every member");
    assert_eq!(of(&bob).await, (2, 3, 0));
    let found = holders(&world, &world.admin, &shared.to_string()).await;
    assert_eq!((found.counts.current, found.counts.other_private), (1, 0));
}

#[tokio::test]
async fn the_statistics_and_a_replacement_say_what_boots_still_hold() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let eve = world.member("eve", Role::Member).await;
    let shared = world.shared("one", "1").await;
    let mine = world.private(&bob, "mine", "1").await;
    world.boot(&bob).await;
    world.boot(&bob).await;
    world.boot(&world.admin).await;
    let of = async |caller: &Caller| {
        let found = world.store.holder_statistics(caller).await.unwrap();
        let secrets = found.secrets.into_iter().map(|(secret, count)| (secret.id, secret.deleted, count));
        (found.running, found.outdated, secrets.collect::<Vec<_>>())
    };
    assert_eq!(of(&world.admin).await, (3, 0, vec![]));
    let written = world.store.replace_secret(&bob, mine, None, replacement("2")).await.unwrap();
    let counts = world.store.holder_counts(&bob, &written.secret).await.unwrap().unwrap();
    assert_eq!((counts.current, counts.outdated), (0, 2));
    assert_eq!(world.store.holder_counts(&eve, &written.secret).await.unwrap(), None);
    world.store.delete_secret(&world.admin, shared, None).await.unwrap();
    let all = (3, 3, vec![(shared, true, 3), (mine, false, 2)]);
    assert_eq!(of(&world.admin).await, all);
    assert_eq!(of(&bob).await, all);
    assert_eq!(of(&eve).await, (3, 3, vec![(shared, true, 3)]));
}

/// With 1,200 boots of different receipts, each deletion opened all receipts again: 125 µs for each boot.
#[tokio::test]
async fn a_receipt_is_opened_once_for_many_questions() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(world.shared(&format!("secret-{number}"), "1").await);
        world.boot(&world.admin).await;
    }
    holders(&world, &world.admin, "SECRET_0").await;
    // What is cached is not read again: without the records, the numbers are the same.
    let receipts = memory.scan(b"r", None, 100).await.unwrap().entries;
    assert_eq!(receipts.len(), 20);
    let writes = receipts.into_iter().map(|receipt| Write::Delete(receipt.key)).collect();
    memory.commit(Vec::new(), writes).await.unwrap();
    for (number, id) in ids.into_iter().enumerate() {
        let gone = world.store.delete_secret(&world.admin, id, None).await.unwrap();
        assert_eq!(gone.held_by.counts.outdated, 20 - number as u64);
    }
}

/// A store of an older version has boots without rows.
#[tokio::test]
async fn older_boots_are_indexed_in_the_background() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let ticket = world.ticket(&world.admin).await;
    for _ in 0..70 {
        world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    }
    forget_index(&world).await;
    let other = world.another().await;
    let ask = HoldersAsk { secret: id.to_string(), outdated: false };
    let counted = async || other.holders(&world.admin, &ask, PageAsk::default()).await.unwrap().counts;
    eventually(|| async { !counted().await.incomplete }).await;
    assert_eq!(counted().await.current, 70);
    let boots = other.list_boots(&world.admin, &BootFilter::default(), PageAsk::default()).await.unwrap();
    assert!(boots.items.iter().all(|boot| boot.status == BootStatus::PresumedRunning));
}

/// Makes the store look as an older version left it, and its answers say so.
async fn forget_index(world: &World) {
    let rows = world.store.records().scan_all(&holders::all_running()).await.unwrap().0;
    let keys: Vec<_> = rows.into_iter().map(|row| row.key).collect();
    let forgotten = world.store.journal().run(Vec::new(), move |tx| {
        for key in &keys {
            tx.delete(&crate::store::engine::keys::Key::<BootRecord>::new(key.clone()));
        }
        tx.put(&holders::indexing(), &IndexingRecord::default())?;
        Ok::<_, crate::store::engine::journal::Stop<Failure>>(())
    });
    forgotten.await.unwrap();
    world.store.inner.indexed.store(false, Ordering::Relaxed);
    assert!(holders(world, &world.admin, "one").await.counts.incomplete);
}
