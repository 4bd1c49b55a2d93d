//! Tests to come.

use super::*;

/// A server runs requests as tasks, so every operation must be one that may move between threads.
#[expect(dead_code, reason = "it is enough that it compiles")]
fn every_operation_is_a_task(
    store: &'static Store,
    caller: &'static Caller,
    credential: &'static Credential,
    filters: &'static (SecretFilter, BootFilter, AuditFilter),
    name: &'static MemberName,
    make: fn() -> (NewSecret, Replacement, NewKeyslot, UnlockSecret),
) {
    fn task<T>(_: impl Future<Output = T> + Send) {}

    let (new, replacement, slot, secret) = make();
    let id = SecretId::from_bytes([0; 16]);
    let (ticket, token) = (crate::domain::id::TicketId::from_bytes([0; 16]), crate::domain::id::TokenId::from_bytes([0; 16]));
    let boot = crate::domain::id::BootId::from_bytes([0; 16]);
    let report = Report { digest: String::new(), variables: 0 };
    task(store.authenticate(credential, None));
    task(store.create_secret(caller, new, None));
    task(store.replace_secret(caller, id, None, replacement));
    task(store.change_secret(caller, id, None, SecretChange::default()));
    task(store.secret(caller, id));
    task(store.find_secret(caller, "", ScopeKind::Shared, None));
    task(store.list_secrets(caller, &filters.0, PageAsk::default()));
    task(store.delete_secret(caller, id, None));
    task(store.reencrypt_secret(caller, id));
    task(store.reencrypt_all(caller));
    task(store.reencrypt_progress(caller));
    task(store.create_org(caller, NewOrg { name: org("a"), admin: name.clone() }, None));
    task(store.list_orgs(caller, PageAsk::default()));
    task(store.own_org(caller));
    task(store.set_policy(caller, PolicyChange::default()));
    task(store.create_member(caller, NewMember { name: name.clone(), role: Role::Admin }, None));
    task(store.list_members(caller, PageAsk::default()));
    task(store.member(caller, name));
    task(store.set_role(caller, name, Role::Admin));
    task(store.remove_member(caller, name));
    task(store.create_token(caller, NewToken::default(), None));
    task(store.list_tokens(caller, None, PageAsk::default()));
    task(store.revoke_token(caller, token));
    task(store.create_ticket(caller, NewTicket::default(), None));
    task(store.list_tickets(caller, None, PageAsk::default()));
    task(store.ticket(caller, ticket));
    task(store.revoke_ticket(caller, ticket));
    task(store.boot(caller, BootAsk::default()));
    task(store.explain(caller, BootAsk::default()));
    task(store.report(caller, boot, report));
    task(store.boot_record(caller, boot));
    task(store.list_boots(caller, &filters.1, PageAsk::default()));
    task(store.holders(caller, id));
    task(store.audit(caller, &filters.2, PageAsk::default()));
    task(store.verify_audit(caller));
    task(store.unlock(caller, secret));
    task(store.lock(caller));
    task(store.keyslots(caller));
    task(store.add_keyslot(caller, slot));
    task(store.remove_keyslot(caller, crate::domain::id::SlotId::from_bytes([0; 16])));
    task(store.deposit_info(caller));
    task(store.status(caller));
    task(store.healthy());
    task(store.close());
    task(async {
        let mut backup = store.backup(caller).await.unwrap();
        backup.next().await
    });
}
