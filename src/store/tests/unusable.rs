//! Values that do not open, and records that are damaged: what they stop, and who is told.

use super::secrets::seal;
use super::*;
use crate::domain::audit::Outcome;
use crate::domain::id::VersionId;
use crate::domain::resolve::ResolveRequest;
use crate::domain::secret::Scope;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::Stop;

/// A value that its client sealed wrongly, deposited in a scope.
pub(crate) async fn deposit_unusable(world: &World, by: &Caller, name: &str, scope: ScopeKind) -> SecretId {
    let (id, version) = (SecretId::from_bytes([8; 16]), VersionId::from_bytes([4; 16]));
    // Sealed for another place: the store cannot tell this before it opens the value.
    let elsewhere = seal(world, SecretId::from_bytes([7; 16]), version, name, b"x").await;
    let deposit = Deposit::Sealed(SealedDeposit { id, ..elsewhere });
    world.deposit(by, NewSecret { deposit, ..new_secret(name, scope, "") }).await
}

/// The shared one of its name never takes its place, and no use of the ticket is spent.
#[tokio::test]
async fn a_private_secret_that_does_not_open_stops_the_boot_before_a_use_is_spent() {
    let world = World::new().await;
    world.shared("key", "shared").await;
    let bob = world.member("bob", Role::Member).await;
    let new = NewTicket { uses: Some(1), ..NewTicket::default() };
    let ticket = world.ticket_for(&bob, new).await;
    let ticket = world.store.authenticate(&ticket, None).await.unwrap();
    let id = deposit_unusable(&world, &bob, "KEY", ScopeKind::Private).await;
    for _ in 0..2 {
        let error = world.store.boot(&ticket, BootAsk::default()).await.unwrap_err();
        assert_eq!(error.code(), Code::SecretUnusable);
        assert!(error.to_string().contains("KEY"), "{error}");
        assert!(
            error.hint().is_some_and(|hint| hint.contains("deposit it again") && hint.contains("delete it"))
        );
    }
    // The refusal is in the log, and everybody else boots.
    let filter = AuditFilter { action: Some("boot".to_owned()), ..AuditFilter::default() };
    let log = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap();
    assert!(log.items.iter().any(|item| item.event.outcome == Outcome::Denied));
    assert!(boots_in_log(&world).await.contains(&"denied secret_unusable KEY ".to_owned()));
    // The owner sees it in the status, and nobody else does.
    assert_eq!(world.store.status(&bob).await.unwrap().unusable.secrets[0].env.as_str(), "KEY");
    assert_eq!(world.store.status(&world.admin).await.unwrap().unusable.count, 0);
    assert_eq!(world.boot(&world.admin).await, pairs(&[("KEY", "shared")]));

    let request = ResolveRequest { exclude: ["KEY".to_owned()].into(), ..ResolveRequest::default() };
    let without = BootAsk { request, ..BootAsk::default() };
    assert_eq!(world.store.explain(&ticket, without).await.unwrap().receipt.count(), 0);
    world.store.replace_secret(&bob, id, None, replacement("mended")).await.unwrap();
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert_eq!(variables(released), pairs(&[("KEY", "mended")]));
}

/// One member's defective deposit stops nobody's boot.
#[tokio::test]
async fn a_shared_secret_that_does_not_open_is_skipped() {
    let world = World::new().await;
    world.shared("fine", "fine").await;
    deposit_unusable(&world, &world.admin, "DEFECTIVE", ScopeKind::Shared).await;
    let ticket = world.ticket(&world.admin).await;
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let skipped = &released.receipt.skipped[0];
    assert_eq!((skipped.env.as_str(), skipped.reason.as_str()), ("DEFECTIVE", "unusable"));
    assert_eq!(variables(released), pairs(&[("FINE", "fine")]));
    // The log of the boot names it, and so do the statistics and the status of those who may see it.
    assert!(boots_in_log(&world).await.contains(&"allowed   DEFECTIVE".to_owned()));
    let bob = world.member("bob", Role::Member).await;
    for caller in [&world.admin, &bob] {
        let statistics = world.store.statistics(caller).await.unwrap().unusable;
        assert_eq!((statistics.count, statistics.secrets[0].env.as_str()), (1, "DEFECTIVE"));
        assert_eq!(world.store.status(caller).await.unwrap().unusable, statistics);
    }
    let other = world.another_admin("other").await;
    assert_eq!(world.store.status(&other).await.unwrap().unusable.count, 0);
    let all = world.store.status(&world.operator).await.unwrap().unusable;
    assert_eq!((all.count, all.secrets.len()), (1, 0));
    // `explain` knows it without opening anything.
    world.lock().await;
    let explained = world.store.explain(&bob, BootAsk::default()).await.unwrap().receipt;
    assert_eq!((explained.count(), explained.skipped[0].reason.as_str()), (1, "unusable"));
    // Another value makes an end of it.
    let id = all_ids(&world).await["DEFECTIVE"];
    world.store.replace_secret(&world.admin, id, None, replacement("mended")).await.unwrap();
    assert_eq!(world.store.status(&bob).await.unwrap().unusable.count, 0);
    world.store.clear_unusable_marks().await.unwrap();
    let marks = crate::store::tables::secrets::all_unusable();
    assert!(world.store.records().scan_all(&marks).await.unwrap().0.is_empty());
}

async fn all_ids(world: &World) -> std::collections::BTreeMap<String, SecretId> {
    let listed = world.store.list_secrets(&world.admin, &SecretFilter::default(), PageAsk::default()).await;
    let ids = listed.unwrap().items.into_iter().map(|secret| (secret.meta.env.to_string(), secret.meta.id));
    ids.collect()
}

/// What the audit log says about boots: outcome, reason, and the names in the details.
async fn boots_in_log(world: &World) -> Vec<String> {
    let filter = AuditFilter { action: Some("boot".to_owned()), ..AuditFilter::default() };
    let log = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap();
    let text = |item: &AuditItem| {
        let detail = |key: &str| {
            let found = item.event.details.iter().find(|(name, _)| name.as_str() == key);
            found.map(|(_, text)| text.to_string()).unwrap_or_default()
        };
        format!("{} {} {} {}", item.event.outcome, detail("reason"), detail("env"), detail("unusable"))
    };
    log.items.iter().map(text).collect()
}

/// Otherwise the byte store would choose what is missing.
#[tokio::test]
async fn a_damaged_or_missing_record_of_either_scope_stops_the_boot_and_is_recorded() {
    for (scope, long) in [
        (ScopeKind::Shared, false),
        (ScopeKind::Private, false),
        (ScopeKind::Shared, true),
        (ScopeKind::Private, true),
    ] {
        for write in [Some(vec![1; 60]), None] {
            // The row of a short value that is missing is found by the tamper evidence.
            if !long && write.is_none() {
                continue;
            }
            let world = World::new().await;
            world.shared("fine", "fine").await;
            let text = if long { "x".repeat(5000) } else { "short".to_owned() };
            let id = world.deposit(&world.admin, new_secret("key", scope, &text)).await;
            let (org, member) = world.admin.own_member().unwrap();
            let scope = if scope == ScopeKind::Shared { Scope::Shared } else { Scope::Private(member) };
            let key = world.store.records().secret(org, scope, id);
            let record = world.store.records().get(&key).await.unwrap().unwrap();
            let row = record.value.body().place().map_or_else(|| key.to_vec(), |place| place.to_vec());
            let write = match write {
                Some(bytes) => Write::Put(row, bytes),
                None => Write::Delete(row),
            };
            world.kv.commit(Vec::new(), vec![write]).await.unwrap();
            let ticket =
                world.ticket_for(&world.admin, NewTicket { uses: Some(1), ..NewTicket::default() }).await;
            let ticket = world.store.authenticate(&ticket, None).await.unwrap();
            let error = world.store.boot(&ticket, BootAsk::default()).await.unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "{scope:?} {long}");
            assert_eq!(error.retry_after(), None, "{scope:?} {long}");
            let log = boots_in_log(&world).await;
            assert!(log.iter().any(|line| line.starts_with("failed corrupt")), "{scope:?} {long}: {log:?}");
        }
    }
}

/// A row of a generation that was dropped. One that the owner of the byte store puts back is refused before.
#[tokio::test]
async fn a_value_of_a_generation_that_was_dropped_does_not_lock_the_store() {
    for scope in [ScopeKind::Shared, ScopeKind::Private] {
        let world = World::new().await;
        world.shared("fine", "fine").await;
        let id = world.deposit(&world.admin, new_secret("old", scope, "old")).await;
        let (org, member) = world.admin.own_member().unwrap();
        let place = if scope == ScopeKind::Shared { Scope::Shared } else { Scope::Private(member) };
        let key = world.store.records().secret(org, place, id);
        let old = world.store.records().get(&key).await.unwrap().unwrap();
        world.store.reencrypt_all(&world.operator).await.unwrap();
        eventually(|| async { !world.store.reencrypt_progress(&world.admin).await.unwrap().running }).await;
        let stored = world.store.journal().run(vec![key.to_vec()], move |tx| {
            tx.put(&key, &old)?;
            Ok::<_, Stop<Failure>>(())
        });
        stored.await.unwrap();
        let ticket = world.ticket(&world.admin).await;
        let booted = world.store.boot(&ticket, BootAsk::default()).await;
        assert!(!world.store.is_locked(), "{scope:?}");
        match scope {
            ScopeKind::Shared => assert_eq!(variables(booted.unwrap()), pairs(&[("FINE", "fine")])),
            ScopeKind::Private => assert_eq!(booted.unwrap_err().code(), Code::SecretUnusable),
        }
    }
}
