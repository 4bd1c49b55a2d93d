//! "Which boots received this secret, at which version, by whose credential, for whom": one query, and who may ask it.

use super::*;
use crate::domain::audit::{AuditText, DetailKey};
use crate::domain::resolve::ResolveRequest;

async fn entries(store: &Store, caller: &Caller, filter: AuditFilter) -> Vec<AuditItem> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.audit(caller, &filter, PageAsk { cursor, limit: Some(2) }).await.unwrap();
        all.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

async fn about(store: &Store, caller: &Caller, secret: &str) -> Vec<AuditItem> {
    entries(store, caller, AuditFilter { secret: Some(secret.to_owned()), ..AuditFilter::default() }).await
}

fn actions(items: &[AuditItem]) -> Vec<&'static str> {
    items.iter().map(|item| item.event.action.as_str()).collect()
}

fn versions(item: &AuditItem) -> Vec<(String, String)> {
    let released = item.released.as_ref().unwrap().iter();
    released.map(|released| (released.env.to_string(), released.version.to_string())).collect()
}

#[tokio::test]
async fn one_query_lists_every_boot_that_received_a_secret_and_the_rest_of_its_history() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.boot(&bob).await;
    let id = world.shared("openai-api-key", "first").await;
    world.shared("other", "1").await;
    let first = world.store.secret(&world.admin, id).await.unwrap().meta.version;
    let ticket = world.ticket(&bob).await;
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    world.store.replace_secret(&world.admin, id, None, replacement("second")).await.unwrap();
    let second = world.store.secret(&world.admin, id).await.unwrap().meta.version;
    world.boot(&bob).await;
    let without = BootAsk {
        request: ResolveRequest {
            exclude: [String::from("OPENAI_API_KEY")].into(),
            ..ResolveRequest::default()
        },
        ..BootAsk::default()
    };
    world.store.boot(&ticket, without).await.unwrap();
    world.store.delete_secret(&world.admin, id, None).await.unwrap();
    world.boot(&bob).await;

    for wanted in ["OPENAI_API_KEY", "openai-api-key", &id.to_string()] {
        let found = about(&world.store, &world.admin, wanted).await;
        assert_eq!(
            actions(&found),
            ["secret.delete", "boot", "secret.replace", "boot", "secret.create"],
            "{wanted}"
        );
        assert_eq!(versions(&found[1]), [("OPENAI_API_KEY".to_owned(), second.to_string())]);
        assert_eq!(versions(&found[3]), [("OPENAI_API_KEY".to_owned(), first.to_string())]);
        // By whose credential, and for whom.
        let event = &found[3].event;
        assert_eq!(event.actor.id.as_ref().unwrap().as_str(), ticket.ticket().unwrap().to_string());
        let member = bob.member().unwrap().0.to_string();
        assert_eq!(event.details.get(&DetailKey::MemberId).map(AuditText::as_str), Some(member.as_str()));
        assert!(found.iter().all(|item| item.event.action.as_str() == "boot" || item.released.is_none()));
    }
    assert!(about(&world.store, &world.admin, "OPENAI").await.is_empty(), "a name is matched whole");
    // The search for a part of a name finds the boots too, and shows all that each received.
    let search = AuditFilter {
        q: Some("openai".to_owned()),
        action: Some("boot".to_owned()),
        ..AuditFilter::default()
    };
    let found = entries(&world.store, &world.admin, search).await;
    assert_eq!(found.iter().map(|item| versions(item).len()).collect::<Vec<_>>(), [2, 2]);
}

/// By its new name, the log had no boot that received the secret before it was renamed.
#[tokio::test]
async fn a_secret_is_found_by_its_new_name_and_its_old_one() {
    let world = World::new().await;
    let id = world.shared("key", "1").await;
    world.boot(&world.admin).await;
    let renamed = Replacement { env: Some("NEW_KEY".parse().unwrap()), ..replacement("2") };
    world.store.replace_secret(&world.admin, id, None, renamed).await.unwrap();
    // No receipt has the new name yet.
    let found = about(&world.store, &world.admin, "NEW_KEY").await;
    assert_eq!(actions(&found), ["secret.replace", "boot", "secret.create"]);
    world.boot(&world.admin).await;
    for name in ["key", "KEY", "NEW_KEY", &id.to_string()] {
        let found = about(&world.store, &world.admin, name).await;
        assert_eq!(actions(&found), ["boot", "secret.replace", "boot", "secret.create"], "{name}");
        assert_eq!(versions(&found[2])[0].0, "KEY", "{name}");
    }
}

#[tokio::test]
async fn the_operator_is_shown_no_name_of_a_released_secret() {
    let world = World::new().await;
    let id = world.shared("openai-api-key", "first").await;
    world.boot(&world.admin).await;
    assert!(about(&world.store, &world.operator, "OPENAI_API_KEY").await.is_empty());
    let found = about(&world.store, &world.operator, &id.to_string()).await;
    assert_eq!(actions(&found), ["secret.create"]);
    let all = entries(&world.store, &world.operator, AuditFilter::default()).await;
    let text = format!("{all:?}").to_lowercase();
    assert!(!text.contains("openai"), "{text}");
    let search = AuditFilter { q: Some("openai".to_owned()), ..AuditFilter::default() };
    assert!(entries(&world.store, &world.operator, search).await.is_empty());
}

#[tokio::test]
async fn a_receipt_that_is_gone_or_is_another_is_not_taken_for_what_was_released() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    world.shared("one", "1").await;
    world.boot(&world.admin).await;
    world.shared("two", "2").await;
    world.boot(&world.admin).await;
    let receipts = memory.scan(b"r", None, 10).await.unwrap().entries;
    assert_eq!(receipts.len(), 2);
    // A record that does not open at this key is as good as missing.
    let writes = vec![
        Write::Put(receipts[0].key.clone(), receipts[1].value.clone()),
        Write::Delete(receipts[1].key.clone()),
    ];
    memory.commit(Vec::new(), writes).await.unwrap();
    let found = about(&world.store, &world.admin, "TWO").await;
    assert_eq!(actions(&found), ["boot", "secret.create", "boot"], "neither boot is hidden by the deletion");
    assert!(found.iter().all(|item| item.released.is_none()));
}

#[tokio::test]
async fn a_member_reads_the_entries_about_themselves_and_no_name_of_anybody_elses_secret() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let eve = world.member("eve", Role::Member).await;
    world.private(&bob, "bobs-key", "1").await;
    let eves = world.private(&eve, "eves-key", "2").await;
    world.shared("common", "3").await;
    world.boot(&bob).await;
    world.boot(&eve).await;
    // An attempt at somebody else's secret is an entry about the one who tried.
    world.store.delete_secret(&bob, eves, None).await.unwrap_err();
    let released = world.store.boot(&world.ticket(&bob).await, BootAsk::default()).await.unwrap();
    world.store.record_all_limited_events().await;

    let own = entries(&world.store, &bob, AuditFilter::default()).await;
    let text = format!("{own:?}").to_lowercase();
    assert!(!text.contains("eves") && !text.contains("eve\""), "{text}");
    let names = actions(&own);
    for action in
        ["boot", "ticket.create", "enrolment.redeem", "member.create", "secret.create", "secret.read"]
    {
        assert!(names.contains(&action), "{action} in {names:?}");
    }
    // Boots that acted for this member say what they received; nobody else's boots are listed.
    let boots: Vec<_> = own.iter().filter(|item| item.event.action.as_str() == "boot").collect();
    assert_eq!(boots.len(), 2);
    assert_eq!(
        boots[0].event.target.as_ref().unwrap().id.as_ref().unwrap().as_str(),
        released.boot.to_string()
    );
    let envs: Vec<_> = versions(boots[0]).into_iter().map(|(env, _)| env).collect();
    assert_eq!(envs, ["BOBS_KEY", "COMMON"]);
    assert!(about(&world.store, &bob, "EVES_KEY").await.is_empty());
    assert!(about(&world.store, &bob, "eves-key").await.is_empty());

    // A ticket reads nothing.
    let ticket = world.ticket(&bob).await;
    let error = world.store.audit(&ticket, &AuditFilter::default(), PageAsk::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
}

#[tokio::test]
async fn a_name_that_passes_to_another_member_does_not_carry_the_entries_along() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.private(&bob, "old-key", "1").await;
    world.boot(&bob).await;
    world.store.remove_member(&world.admin, &member("bob")).await.unwrap();
    let second = world.member("bob", Role::Member).await;
    let own = entries(&world.store, &second, AuditFilter::default()).await;
    assert_eq!(actions(&own), ["enrolment.redeem", "member.create"]);
}
