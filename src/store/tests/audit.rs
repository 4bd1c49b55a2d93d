//! The audit log: complete, in order, and no change of it goes unnoticed.

use super::*;
use crate::domain::audit::{AuditEvent, AuditText, DetailKey, Outcome};
use crate::store::engine::audit::tables;
use crate::store::engine::audit::verify::{Coverage, Pace};

async fn actions(store: &Store, caller: &Caller, filter: &AuditFilter) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.audit(caller, filter, PageAsk { cursor, limit: Some(3) }).await.unwrap();
        all.extend(page.items.into_iter().map(|item| item.event.action.as_str().to_owned()));
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn every_change_boot_and_denial_is_visible_to_those_it_concerns() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let bob = world.member("bob", Role::Member).await;
    world.boot(&bob).await;
    let error = world.store.set_policy(&bob, PolicyChange::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    world.store.delete_secret(&world.admin, id, None).await.unwrap();
    world.lock().await;

    let all = AuditFilter::default();
    let of_org = actions(&world.store, &world.admin, &all).await;
    assert_eq!(
        of_org,
        [
            "secret.delete",
            "org.edit",
            "boot",
            "ticket.create",
            "enrolment.redeem",
            "member.create",
            "secret.create"
        ]
    );
    let of_store = actions(&world.store, &world.operator, &all).await;
    assert_eq!(of_store.first().unwrap(), "audit.read");
    assert_eq!(of_store.get(1).unwrap(), "store.lock");
    assert_eq!(of_store.last().unwrap(), "store.start");
    // The four of the store itself, and that of the admin who has just read the log.
    assert_eq!(of_store.len(), of_org.len() + 5);

    let page = world.store.audit(&world.operator, &all, PageAsk::default()).await.unwrap();
    assert!(!format!("{page:?}").contains("ONE"), "the operator is shown names of secrets");
    let denied: Vec<_> = page.items.iter().filter(|item| item.event.outcome == Outcome::Denied).collect();
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0].event.actor.name.as_ref().unwrap().as_str(), "bob");

    let filtered = async |filter| actions(&world.store, &world.admin, &filter).await;
    let by_action = AuditFilter { action: Some("secret".into()), ..AuditFilter::default() };
    assert_eq!(filtered(by_action).await, ["secret.delete", "secret.create"]);
    let by_actor = AuditFilter { actor: Some("bob".into()), ..AuditFilter::default() };
    assert_eq!(filtered(by_actor).await, ["org.edit", "boot", "ticket.create", "enrolment.redeem"]);
    let by_q = AuditFilter { q: Some("BOB".into()), ..AuditFilter::default() };
    assert_eq!(
        filtered(by_q).await,
        ["org.edit", "boot", "ticket.create", "enrolment.redeem", "member.create"]
    );
    // A member sees the entries about themselves.
    assert_eq!(
        actions(&world.store, &bob, &all).await,
        ["org.edit", "boot", "ticket.create", "enrolment.redeem", "member.create"]
    );
}

#[tokio::test]
async fn times_bound_a_list() {
    let world = World::new().await;
    let start = world.clock.now();
    for i in 0..5 {
        world.clock.advance(Duration::from_secs(10));
        world.shared(&format!("secret-{i}"), "1").await;
    }
    let at = |seconds| Some(start.plus(Duration::from_secs(seconds)));
    let between = AuditFilter { since: at(20), until: at(40), ..AuditFilter::default() };
    let page = world.store.audit(&world.admin, &between, PageAsk::default()).await.unwrap();
    let times: Vec<_> = page.items.iter().map(|item| item.event.at).collect();
    assert_eq!(times, [at(30).unwrap(), at(20).unwrap()]);
}

#[tokio::test]
async fn a_stranger_learns_nothing_and_a_flood_of_guesses_does_not_fill_the_audit_log() {
    let world = World::new().await;
    let issued = world.store.create_token(&world.admin, NewToken::default(), None).await.unwrap();
    let guess = |id| {
        let kind = crate::domain::credential::CredentialKind::Member;
        Credential::new(kind, id, Zeroizing::new([1; 32]))
    };
    for id in [[9; 16], *issued.token.id.as_bytes()] {
        let error = world.store.authenticate(&guess(id), None).await.unwrap_err();
        assert!(error.is_denial());
    }
    // Only the holder of the secret part learns that a credential has expired or was revoked.
    world.store.revoke_token(&world.admin, issued.token.id).await.unwrap();
    let error = world.store.authenticate(&guess(*issued.token.id.as_bytes()), None).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthorized);
    assert_eq!(world.store.authenticate(&issued.credential, None).await.unwrap_err().code(), Code::Revoked);
    for _ in 0..2000 {
        let _ = world.store.authenticate(&guess([9; 16]), None).await;
    }
    let filter = AuditFilter { action: Some("authenticate".into()), ..AuditFilter::default() };
    world.store.record_all_limited_events().await;
    // Two of the organization's token, one hundred of the stranger, and one with the count of the rest.
    assert_eq!(actions(&world.store, &world.operator, &filter).await.len(), 102);
}

/// A store with three chains and some entries in each.
async fn audited_world() -> (World, Arc<Memory>, Vec<Vec<u8>>) {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    for round in 0..3 {
        let store = open(memory.clone(), world.clock.clone()).await;
        for i in 0..4 {
            world.clock.advance(Duration::from_millis(u64::from(i % 2 == 0)));
            let new = new_secret(&format!("secret-{round}-{i}"), ScopeKind::Shared, "1");
            store.create_secret(&world.admin, new, None).await.unwrap();
        }
        if round == 1 {
            store.close_journal_only().await;
        }
    }
    world.store.close_journal_only().await;
    let page = memory.scan(tables::entries().bytes(), None, 1000).await.unwrap();
    let keys: Vec<Vec<u8>> = page.entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(
        keys.len(),
        2 + 2 + 3 * 5 + 1,
        "init and founding, begun and ended, three times begun and four deposits, one end"
    );
    (world, memory, keys)
}

async fn verify(memory: &Arc<Memory>) -> Verification {
    let records = Records::new(memory.clone(), record_key(), Arc::new(KernelEntropy));
    crate::store::engine::audit::verify::verify(&records, Coverage::Log, Pace::Full).await.unwrap()
}

/// What the byte store's keeper might do to one key.
async fn put(memory: &Arc<Memory>, key: &[u8], value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let (mut found, _) = memory.get(&[key.to_vec()]).await.unwrap();
    let write = match value {
        Some(value) => Write::Put(key.to_vec(), value),
        None => Write::Delete(key.to_vec()),
    };
    memory.commit(Vec::new(), vec![write]).await.unwrap();
    found.pop().unwrap().map(|entry| entry.value)
}

#[tokio::test]
async fn an_unchanged_log_verifies() {
    let (_world, memory, keys) = audited_world().await;
    let verification = verify(&memory).await;
    assert!(verification.ok, "{verification:?}");
    assert_eq!(verification.entries, keys.len() as u64);
    let lengths: Vec<_> =
        verification.chains.iter().map(|chain| (chain.length, chain.state.as_str())).collect();
    assert_eq!(lengths, [(4, "ended"), (5, "open"), (6, "ended"), (5, "open")]);
}

#[tokio::test]
async fn a_missing_or_changed_entry_is_found() {
    let (_world, memory, keys) = audited_world().await;
    for key in &keys {
        let entry = put(&memory, key, None).await.unwrap();
        let verification = verify(&memory).await;
        assert!(!verification.ok, "a deleted entry");
        assert_eq!(verification.chains.iter().filter(|chain| chain.fault.is_some()).count(), 1);
        let mut changed = entry.clone();
        *changed.last_mut().unwrap() ^= 1;
        put(&memory, key, Some(changed)).await;
        assert!(!verify(&memory).await.ok, "a changed entry");
        put(&memory, key, Some(entry)).await;
        assert!(verify(&memory).await.ok);
    }
    // Entries in each other's place.
    for pair in keys.windows(2) {
        let (one, other) = (put(&memory, &pair[0], None).await, put(&memory, &pair[1], None).await);
        put(&memory, &pair[0], other.clone()).await;
        put(&memory, &pair[1], one.clone()).await;
        assert!(!verify(&memory).await.ok, "two entries in each other's place");
        put(&memory, &pair[0], one).await;
        put(&memory, &pair[1], other).await;
    }
    assert!(verify(&memory).await.ok);
}

#[tokio::test]
async fn who_has_the_record_key_but_not_the_order_cannot_restamp() {
    // An entry written anew under the record key itself, but at another time or number.
    let (_world, memory, keys) = audited_world().await;
    let records = Records::new(memory.clone(), record_key(), Arc::new(KernelEntropy));
    let (at, chain, seq) = tables::entry_parts(&keys[3]).unwrap();
    let sealed = put(&memory, &keys[3], None).await.unwrap();
    let plain = records.unseal(&keys[3], &sealed).unwrap();
    let moved = tables::entry(at.plus(Duration::from_secs(3)), &chain, seq);
    put(&memory, moved.bytes(), Some(records.seal(moved.bytes(), &plain))).await;
    let verification = verify(&memory).await;
    assert!(!verification.ok);
}

#[tokio::test]
async fn cut_chains_and_missing_chains_are_found() {
    let (_world, memory, keys) = audited_world().await;
    let chains: std::collections::BTreeSet<_> =
        keys.iter().map(|key| tables::entry_parts(key).unwrap().1).collect();
    assert_eq!(chains.len(), 4);
    for chain in chains {
        let own: Vec<_> = keys.iter().filter(|key| tables::entry_parts(key).unwrap().1 == chain).collect();
        let mut kept = Vec::new();
        // Newest first: the tail, then all.
        for key in &own {
            kept.push((key.to_vec(), put(&memory, key, None).await));
            assert!(!verify(&memory).await.ok, "a cut chain");
        }
        let head = tables::head(&chain).to_vec();
        let old_head = put(&memory, &head, None).await;
        let verification = verify(&memory).await;
        assert!(!verification.ok, "a chain without a trace");
        assert!(
            verification
                .chains
                .iter()
                .any(|chain| chain.fault.as_deref() == Some("the whole chain is missing"))
        );
        for (key, entry) in kept {
            put(&memory, &key, entry).await;
        }
        assert!(!verify(&memory).await.ok, "a chain without its head");
        put(&memory, &head, old_head).await;
        assert!(verify(&memory).await.ok);
    }
    let registry = put(&memory, tables::registry().bytes(), None).await;
    assert!(!verify(&memory).await.ok, "no registry");
    put(&memory, tables::registry().bytes(), registry).await;
    assert!(verify(&memory).await.ok);
}

#[tokio::test]
async fn an_older_head_put_back_over_a_cut_chain_is_found_by_the_chains_after_it() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let (chain, head) = {
        let page = memory.scan(tables::heads().bytes(), None, 2).await.unwrap();
        let entry = page.entries.into_iter().next().unwrap();
        (tables::heads().id(&entry.key).unwrap(), entry)
    };
    world.shared("one", "1").await;
    let newest = memory.scan(tables::entries().bytes(), None, 1).await.unwrap().entries.remove(0).key;
    // Another process begins, and anchors what it found.
    let other = world.another().await;
    other.create_secret(&world.admin, new_secret("two", ScopeKind::Shared, "1"), None).await.unwrap();
    assert!(verify(&memory).await.ok);
    put(&memory, &head.key, Some(head.value)).await;
    put(&memory, &newest, None).await;
    let verification = verify(&memory).await;
    assert!(!verification.ok);
    let id = data_encoding::HEXLOWER.encode(&chain);
    let report = verification.chains.iter().find(|report| report.id == id).unwrap();
    assert_eq!(report.state, ChainState::Broken);
    assert!(report.fault.as_ref().unwrap().contains("when chain"), "{report:?}");
}

#[tokio::test]
async fn verification_is_for_the_operator_admins_and_auditors_and_is_recorded() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let eve = world.member("eve", Role::Auditor).await;
    let refused = async |caller, state| {
        let error = world.store.verify_audit(caller, state).await.unwrap_err();
        assert_eq!(error.code(), Code::Forbidden);
    };
    refused(&bob, false).await;
    for caller in [&world.operator, &world.admin, &eve] {
        assert!(world.store.verify_audit(caller, false).await.unwrap().ok);
    }
    // The rows are those of all organizations.
    assert!(world.store.verify_audit(&world.operator, true).await.unwrap().ok);
    for caller in [&world.admin, &eve, &bob] {
        refused(caller, true).await;
    }
    let filter = AuditFilter { action: Some("audit.verify".into()), ..AuditFilter::default() };
    assert_eq!(actions(&world.store, &world.operator, &filter).await.len(), 8);
}

#[tokio::test]
async fn many_restarts_keep_the_anchors_short() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    for i in 0..100 {
        let store = open(memory.clone(), world.clock.clone()).await;
        store
            .create_secret(&world.admin, new_secret(&format!("s-{i}"), ScopeKind::Shared, "1"), None)
            .await
            .unwrap();
    }
    let page = memory.scan(tables::entries().bytes(), None, 1000).await.unwrap();
    let longest = page.entries.iter().map(|entry| entry.value.len()).max().unwrap();
    assert!(longest < 1600, "an entry of {longest} bytes");
    let verification = verify(&memory).await;
    assert!(verification.ok);
    assert_eq!(verification.chains.len(), 101);
}

/// The details of the newest entry of an action, as an admin sees them.
async fn newest(world: &World, action: &str) -> AuditEvent {
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    let page = PageAsk { limit: Some(1), ..PageAsk::default() };
    world.store.audit(&world.admin, &filter, page).await.unwrap().items.remove(0).event
}

fn detail(event: &AuditEvent, key: DetailKey) -> Option<&str> {
    event.details.get(&key).map(AuditText::as_str)
}

#[tokio::test]
async fn a_change_of_type_and_the_names_of_changed_attributes_are_on_record() {
    let world = World::new().await;
    let id = world.shared("openai-api-key", "sk-1234567890").await;
    assert_eq!(detail(&newest(&world, "secret.create").await, DetailKey::Type), Some("encrypted"));

    let plain = Replacement { kind: Some(Kind::Plain), ..replacement("sk-1234567890") };
    world.store.replace_secret(&world.admin, id, None, plain).await.unwrap();
    let event = newest(&world, "secret.replace").await;
    assert_eq!(detail(&event, DetailKey::Type), Some("plain"));
    assert_eq!(detail(&event, DetailKey::PreviousType), Some("encrypted"));
    assert_eq!(detail(&event, DetailKey::Changed), Some("type"));

    let change = AttributesPatch {
        auto_install: Some(false),
        category: FieldPatch::Set("models".parse().unwrap()),
        ..AttributesPatch::default()
    };
    world.store.change_secret(&world.admin, id, None, change).await.unwrap();
    let event = newest(&world, "secret.edit").await;
    assert_eq!(detail(&event, DetailKey::Changed), Some("auto_install,category"));
    assert_eq!(detail(&event, DetailKey::PreviousType), None);
    assert!(!format!("{event:?}").contains("models"), "values of attributes are not recorded");
}

#[tokio::test]
async fn a_read_of_a_plain_value_is_on_record_and_a_flood_of_reads_is_counted() {
    let world = World::new().await;
    let new = NewSecret { kind: Kind::Plain, ..new_secret("log-level", ScopeKind::Shared, "debug") };
    let id = world.deposit(&world.admin, new).await;
    let bob = world.member("bob", Role::Member).await;
    for _ in 0..200 {
        world.store.secret(&bob, id).await.unwrap();
    }
    world.store.record_all_limited_events().await;
    let filter = AuditFilter { action: Some("secret.read".into()), ..AuditFilter::default() };
    let found = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    assert_eq!(found.len(), 21, "20 entries and one count");
    let counted =
        |item: &AuditItem| detail(&item.event, DetailKey::Count).map_or(1, |count| count.parse().unwrap());
    assert_eq!(found.iter().map(counted).sum::<usize>(), 200);
    assert!(found.iter().all(|item| item.event.actor.name.as_ref().unwrap().as_str() == "bob"));
    assert!(
        found
            .iter()
            .all(|item| item.event.target.as_ref().unwrap().id.as_ref().unwrap().as_str() == id.to_string())
    );
    // An auditor gets no plain value, so that there is no read to record.
    let eve = world.member("eve", Role::Auditor).await;
    assert_eq!(world.store.secret(&eve, id).await.unwrap().plain, None);
    let found = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    assert_eq!(found.len(), 21);
}
