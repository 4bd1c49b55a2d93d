//! Boots: what is released, what is remembered, who still holds what.

use super::holders::holders;
use super::*;
use crate::domain::boot::BootStatus;
use crate::domain::resolve::{ResolveRequest, SharedAddresses, SkipReason};
use crate::store::tables::secrets;

fn on_machine(machine: &str, kernel_boot: &str) -> BootAsk {
    BootAsk {
        machine: Some(machine.into()),
        kernel_boot: Some(kernel_boot.into()),
        host: Some(format!("host-{machine}")),
        ..BootAsk::default()
    }
}

#[tokio::test]
async fn private_overrides_shared_by_exported_name_and_the_shadowed_value_stays() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let shared = world.shared("OPENAI_API_KEY", "shared").await;
    world.private(&bob, "openai-api-key", "bobs").await;
    world.private(&world.admin, "secret-of-admin", "admins").await;
    let ticket = world.ticket(&bob).await;
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert_eq!(released.values.len(), 1);
    let entry = &released.receipt.entries[0];
    assert_eq!(entry.shadows[0].id, shared);
    assert_eq!((released.org.as_str(), released.member.as_str()), ("default", "bob"));
    assert_eq!(variables(released), pairs(&[("OPENAI_API_KEY", "bobs")]));
    assert_eq!(
        world.boot(&world.admin).await,
        pairs(&[("OPENAI_API_KEY", "shared"), ("SECRET_OF_ADMIN", "admins")])
    );
}

#[tokio::test]
async fn off_secrets_are_included_and_referred_to_by_name() {
    let world = World::new().await;
    for name in ["off", "wanted", "referred", "on"] {
        let new = NewSecret {
            attributes: Attributes { auto_install: name == "on", ..Attributes::default() },
            ..new_secret(name, ScopeKind::Shared, name)
        };
        world.deposit(&world.admin, new).await;
    }
    let ticket = world.ticket(&world.admin).await;
    let set = |name: &str| [name.to_owned()].into();
    let request =
        ResolveRequest { include: set("wanted"), references: set("referred"), ..ResolveRequest::default() };
    let ask = BootAsk { request, ..BootAsk::default() };
    let explained = world.store.explain(&ticket, ask.clone()).await.unwrap();
    let released = world.store.boot(&ticket, ask).await.unwrap();
    assert_eq!(explained.receipt.digest(), released.receipt.digest());
    assert_eq!(released.receipt.count(), 3);
    assert_eq!(released.values.len(), 3);
    let by: Vec<_> = released.receipt.entries.iter().map(|e| (e.env.as_str(), e.by.as_str())).collect();
    assert_eq!(by, [("ON", "auto"), ("REFERRED", "reference"), ("WANTED", "included")]);
    assert_eq!(released.receipt.skipped[0].env.as_str(), "OFF");
}

/// Otherwise, a member who shares an address would receive the private keys of everybody else.
#[tokio::test]
async fn a_shared_address_is_withheld_from_a_person_who_has_a_private_key_for_it() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.shared("openai-base-url", "https://elsewhere.example").await;
    world.private(&bob, "openai-api-key", "bobs").await;
    let ticket = world.ticket(&bob).await;
    let explained = world.store.explain(&ticket, BootAsk::default()).await.unwrap();
    let skipped = &explained.receipt.skipped[0];
    assert_eq!((skipped.env.as_str(), skipped.reason), ("OPENAI_BASE_URL", SkipReason::ForeignAddress));
    assert_eq!(world.boot(&bob).await, pairs(&[("OPENAI_API_KEY", "bobs")]));
    let addresses = SharedAddresses::Named([env("OPENAI_BASE_URL")].into());
    let request = ResolveRequest { addresses, ..ResolveRequest::default() };
    let allowed = BootAsk { request, ..BootAsk::default() };
    assert_eq!(variables(world.store.boot(&ticket, allowed).await.unwrap()).len(), 2);
    // A gateway that the organization shares together with a key needs no setting.
    world.shared("openai-api-key", "of the organization").await;
    assert_eq!(world.boot(&world.admin).await.len(), 2);
}

#[tokio::test]
async fn deletion_and_replacement_change_future_boots_and_name_who_still_holds() {
    let world = World::new().await;
    let deleted = world.shared("deleted", "1").await;
    let replaced = world.shared("replaced", "1").await;
    let ticket = world.ticket(&world.admin).await;
    let first = world.store.boot(&ticket, on_machine("m1", "k1")).await.unwrap();
    world.clock.advance(Duration::from_secs(1));

    world.store.replace_secret(&world.admin, replaced, None, replacement("2")).await.unwrap();
    let gone = world.store.delete_secret(&world.admin, deleted, None).await.unwrap();
    assert_eq!(gone.held_by.items.len(), 1);
    assert_eq!(gone.held_by.items[0].boot, first.boot);
    assert_eq!(gone.held_by.items[0].host.as_deref(), Some("host-m1"));
    assert!(!gone.held_by.items[0].held.current);
    let holders = holders(&world, &world.admin, &replaced.to_string()).await;
    assert_eq!(holders.items.len(), 1);
    assert!(!holders.items[0].held.current);

    // The name still finds the boot, after the deletion too.
    let by_name = BootFilter { secret: Some("deleted".into()), ..BootFilter::default() };
    let boots = world.store.list_boots(&world.admin, &by_name, PageAsk::default()).await.unwrap().items;
    assert_eq!(boots.len(), 1);
    let stale: Vec<_> = boots[0].stale.iter().map(|held| held.env.as_str()).collect();
    assert_eq!(stale, ["DELETED", "REPLACED"]);

    let second = world.store.boot(&ticket, on_machine("m2", "k1")).await.unwrap();
    assert_eq!(second.receipt.count(), 1);
    let holders = self::holders(&world, &world.admin, "replaced").await;
    assert_eq!(holders.items.iter().map(|h| h.held.current).collect::<Vec<_>>(), [true, false]);
    assert_eq!((holders.counts.current, holders.counts.outdated), (1, 1));

    // Another boot under the same machine name ends nothing: names and tickets are copied with an image.
    world.clock.advance(Duration::from_secs(1));
    world.store.boot(&ticket, on_machine("m1", "k2")).await.unwrap();
    let boots = world.store.list_boots(&world.admin, &by_name, PageAsk::default()).await.unwrap().items;
    assert_eq!(boots[0].status, BootStatus::PresumedRunning);
    assert_eq!(boots[0].stale.len(), 2);
    assert_eq!(variables(second), pairs(&[("REPLACED", "2")]));
}

#[tokio::test]
async fn boots_are_listed_newest_first_in_pages_and_to_whom_they_concern() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.shared("one", "1").await;
    let (admins, bobs) = (world.ticket(&world.admin).await, world.ticket(&bob).await);
    let mut made = Vec::new();
    for i in 0..12 {
        world.clock.advance(Duration::from_millis(10));
        let ticket = if i % 3 == 0 { &bobs } else { &admins };
        made.push(world.store.boot(ticket, BootAsk::default()).await.unwrap().boot);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let ask = PageAsk { cursor, limit: Some(5) };
        let page = world.store.list_boots(&world.admin, &BootFilter::default(), ask).await.unwrap();
        seen.extend(page.items.iter().map(|boot| boot.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
    let own = world.store.list_boots(&bob, &BootFilter::default(), PageAsk::default()).await.unwrap().items;
    assert_eq!(own.len(), 4);
    assert!(own.iter().all(|boot| boot.member == member("bob")));
    let of_bob = BootFilter { member: Some(member("bob")), ..BootFilter::default() };
    assert_eq!(
        world.store.list_boots(&world.admin, &of_bob, PageAsk::default()).await.unwrap().items.len(),
        4
    );
    let of_admin = BootFilter { member: Some(member("admin")), ..BootFilter::default() };
    let error = world.store.list_boots(&bob, &of_admin, PageAsk::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    let admins_boot = made.iter().find(|id| own.iter().all(|boot| boot.id != **id)).unwrap();
    assert_eq!(world.store.boot_record(&bob, *admins_boot).await.unwrap_err().code(), Code::NotFound);
    let authenticate_ticket = BootFilter { ticket: bobs.ticket(), ..BootFilter::default() };
    assert_eq!(
        world
            .store
            .list_boots(&world.admin, &authenticate_ticket, PageAsk::default())
            .await
            .unwrap()
            .items
            .len(),
        4
    );
}

#[tokio::test]
async fn a_report_confirms_its_own_boot_only() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let (ticket, other) = (world.ticket(&world.admin).await, world.ticket(&world.admin).await);
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let report = Report { digest: released.receipt.digest().to_string(), variables: 12 };
    let error = world.store.report(&other, released.boot, report.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    let wrong = Report { digest: "0".repeat(64), variables: 12 };
    assert_eq!(world.store.report(&ticket, released.boot, wrong).await.unwrap_err().code(), Code::Conflict);
    world.store.report(&ticket, released.boot, report.clone()).await.unwrap();
    world.store.report(&ticket, released.boot, report).await.unwrap();
    let boot = world.store.boot_record(&world.admin, released.boot).await.unwrap();
    assert_eq!(boot.variables, Some(12));
    assert!(boot.confirmed_at.is_some());
    assert_eq!(boot.receipt, released.receipt);
}

#[tokio::test]
async fn only_tickets_boot_and_what_they_say_of_themselves_is_bounded() {
    let world = World::new().await;
    for caller in [&world.operator, &world.admin] {
        assert_eq!(world.store.boot(caller, BootAsk::default()).await.unwrap_err().code(), Code::Forbidden);
    }
    let ticket = world.ticket(&world.admin).await;
    for machine in ["", "a\nb", &"x".repeat(129)] {
        let ask = BootAsk { machine: Some(machine.to_owned()), ..BootAsk::default() };
        assert_eq!(world.store.boot(&ticket, ask).await.unwrap_err().code(), Code::InvalidRequest);
    }
    // A member who became an auditor receives nothing, not even by a ticket that was accepted a moment ago.
    let bob = world.member("bob", Role::Member).await;
    let ticket = world.ticket(&bob).await;
    world.store.set_role(&world.admin, &member("bob"), Role::Auditor).await.unwrap();
    assert_eq!(world.store.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn the_first_boot_settles_and_all_give_the_same() {
    let world = World::new().await;
    for i in 0..40 {
        world.shared(&format!("secret-{i}"), &format!("value-{i}")).await;
    }
    let first = world.boot(&world.admin).await;
    eventually(|| async {
        let unsettled = secrets::all_unsettled();
        world.store.records().scan(&unsettled, None, 1).await.unwrap().found.is_empty()
    })
    .await;
    assert_eq!(world.boot(&world.admin).await, first);
    let scope =
        world.store.records().secrets(world.admin.org().unwrap().0, crate::domain::secret::Scope::Shared);
    let (found, _) = world.store.records().scan_all(&scope).await.unwrap();
    assert!(found.iter().all(|found| found.record.value.is_settled()));
}
