//! Quotas of records: each is reached with an error that says what helps, only what works counts, and no member takes the whole.

use super::*;
use crate::domain::audit::{AuditText, DetailKey};
use crate::domain::id::{TicketId, TokenId};
use crate::store::engine::journal::Stop;
use crate::store::tables::tickets::{self, TicketRecord};
use crate::store::tables::tokens;
use crate::store::tables::usage::{CountOf, RecordCount};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl World {
    async fn quotas(&self, change: QuotasChange) {
        self.store.set_quotas(&self.operator, &org("default"), change).await.unwrap();
    }

    /// The caller with the policy as it is now.
    async fn refreshed(&self, of: &Caller) -> Caller {
        let credential = self.store.create_token(of, NewToken::default(), None).await.unwrap().credential;
        self.store.authenticate(&credential, None).await.unwrap()
    }

    async fn used(&self) -> crate::domain::role::RecordUsage {
        self.store.org_quotas(&self.operator, &org("default")).await.unwrap().used
    }

    async fn new_ticket(&self, by: &Caller, new: NewTicket) -> Result<TicketId, Error> {
        Ok(self.store.create_ticket(by, new, None).await?.ticket.id)
    }

    async fn new_token(&self, by: &Caller) -> Result<TokenId, Error> {
        Ok(self.store.create_token(by, NewToken::default(), None).await?.token.id)
    }
}

/// Expects a refusal that names the quota and something that the reader can do.
fn full(result: Result<impl std::fmt::Debug, Error>, message: &str, help: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::OverQuota);
    assert_eq!(error.to_string(), message);
    let hint = error.hint().unwrap();
    assert!(hint.contains(help), "{hint}");
}

#[tokio::test]
async fn each_quota_is_reached_with_what_helps() {
    let world = World::new().await;
    let change = QuotasChange {
        secrets: Some(2),
        members: Some(3),
        tickets: Some(2),
        tokens: Some(4),
        ..QuotasChange::default()
    };
    world.quotas(change).await;
    let (admin, store) = (world.refreshed(&world.admin).await, &world.store);
    for name in ["a", "b"] {
        world.deposit(&admin, new_secret(name, ScopeKind::Private, "1")).await;
        store.create_member(&admin, NewMember::person(member(name), Role::Member), None).await.unwrap();
        world.new_ticket(&admin, NewTicket::default()).await.unwrap();
        world.new_token(&admin).await.unwrap();
    }
    let secret = store.create_secret(&admin, new_secret("c", ScopeKind::Shared, "1"), None).await;
    full(secret, "the organization's quota of 2 secrets is reached", "delete");
    let person = store.create_member(&admin, NewMember::person(member("c"), Role::Member), None).await;
    full(person, "the organization's quota of 3 members is reached", "remove members");
    let ticket = world.new_ticket(&admin, NewTicket::default()).await;
    full(ticket, "the organization's quota of 2 tickets is reached", "dropsafe ticket revoke");
    let token = world.new_token(&admin).await;
    full(token, "the organization's quota of 4 tokens is reached", "dropsafe org quotas");
    let used = world.used().await;
    assert_eq!((used.secrets, used.members, used.tickets, used.tokens), (2, 3, 2, 4));
    // A removed member makes room, and an enrolment that was issued is redeemed whatever the quota of tokens.
    store.remove_member(&admin, &member("a")).await.unwrap();
    let created = store.create_member(&admin, NewMember::person(member("c"), Role::Member), None).await;
    world.redeem(&created.unwrap().enrolment.unwrap().credential).await;
    assert_eq!(world.used().await.tokens, 5);
}

#[tokio::test]
async fn only_the_operator_changes_quotas() {
    let world = World::new().await;
    let more = QuotasChange { members: Some(u32::MAX), ..QuotasChange::default() };
    let denied = world.store.set_quotas(&world.admin, &org("default"), more).await.unwrap_err();
    assert_eq!(denied.code(), Code::Forbidden);
    let denied = world.store.org_quotas(&world.admin, &org("default")).await.unwrap_err();
    assert_eq!(denied.code(), Code::Forbidden);
    let absent = world.store.set_quotas(&world.operator, &org("other"), more).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    let set = world.store.set_quotas(&world.operator, &org("default"), more).await.unwrap();
    assert_eq!((set.quotas.members, set.quotas.secrets), (u32::MAX, 1_000_000));
    // In the operator's log and in that of the organization.
    for caller in [&world.operator, &world.admin] {
        let found = world.store.audit(caller, &AuditFilter::default(), PageAsk::default()).await.unwrap();
        let entries = found.items.iter().filter(|item| item.event.action.as_str() == "org.quotas");
        let allowed = entries.filter(|item| item.event.outcome.as_str() == "allowed");
        let changed = allowed.map(|item| item.event.details.get(&DetailKey::Changed).map(AuditText::as_str));
        let changed: Vec<_> = changed.collect();
        assert!(!changed.is_empty() && changed.iter().all(|names| *names == Some("members")), "{changed:?}");
    }
}

#[tokio::test]
async fn tickets_and_tokens_count_as_long_as_they_work() {
    let world = World::new().await;
    world.quotas(QuotasChange { tickets: Some(3), tokens: Some(4), ..QuotasChange::default() }).await;
    let admin = world.refreshed(&world.admin).await;
    let revoked = world.new_ticket(&admin, NewTicket::default()).await.unwrap();
    let spent = NewTicket { uses: Some(1), ..NewTicket::default() };
    let spent = world.ticket_for(&admin, spent).await;
    world.new_ticket(&admin, NewTicket { ttl: Some(DAY), ..NewTicket::default() }).await.unwrap();
    assert!(world.new_ticket(&admin, NewTicket::default()).await.is_err());
    // A revocation counts at once.
    world.store.revoke_ticket(&admin, revoked).await.unwrap();
    assert_eq!(world.used().await.tickets, 2);
    world.new_ticket(&admin, NewTicket::default()).await.unwrap();
    // A spent ticket and an expired one make room for the creation that they would stop, though not for each try.
    let ticket = world.store.authenticate(&spent, None).await.unwrap();
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert!(world.new_ticket(&admin, NewTicket::default()).await.is_err(), "recounted a moment ago");
    world.clock.advance(Duration::from_secs(60));
    world.new_ticket(&admin, NewTicket::default()).await.unwrap();
    world.clock.advance(DAY);
    world.new_ticket(&admin, NewTicket::default()).await.unwrap();
    assert_eq!(world.used().await.tickets, 3);
    // So with tokens: the first admin's, that of `refreshed`, and these.
    let token = world.new_token(&admin).await.unwrap();
    let brief = NewToken { ttl: Some(DAY), ..NewToken::default() };
    world.store.create_token(&admin, brief, None).await.unwrap();
    assert!(world.new_token(&admin).await.is_err());
    world.store.revoke_token(&admin, token).await.unwrap();
    assert_eq!(world.used().await.tokens, 3);
    world.clock.advance(DAY);
    world.store.recount_active_records().await.unwrap();
    assert_eq!(world.used().await.tokens, 2);
}

/// Of a quota of 20, a member has two.
#[tokio::test]
async fn one_member_cannot_use_up_the_tickets_or_tokens_of_the_organization() {
    let world = World::new().await;
    world.quotas(QuotasChange { tickets: Some(20), tokens: Some(20), ..QuotasChange::default() }).await;
    let created =
        world.store.create_member(&world.admin, NewMember::person(member("bob"), Role::Member), None).await;
    let bobs = world.redeem(&created.unwrap().enrolment.unwrap().credential).await.credential;
    let bob = world.store.authenticate(&bobs, None).await.unwrap();
    for _ in 0..2 {
        world.new_ticket(&bob, NewTicket::default()).await.unwrap();
    }
    let third = world.new_ticket(&bob, NewTicket::default()).await;
    let message = "one member's part of the organization's quota, 2 tickets, is reached";
    full(third, message, "--member-share");
    // With the token of the enrolment.
    world.new_token(&bob).await.unwrap();
    assert_eq!(world.new_token(&bob).await.unwrap_err().code(), Code::OverQuota);
    let usage = world.store.org_usage(&bob).await.unwrap();
    let own = usage.own_quotas.unwrap();
    assert_eq!((usage.own.tickets, own.tickets, usage.own.tokens, own.tokens), (2, 2, 2, 2));
    let eve = world.member("eve", Role::Member).await;
    world.new_ticket(&eve, NewTicket::default()).await.unwrap();
    // What a manager creates for a service is the manager's, and an admin answers for the whole organization.
    let service = NewMember::service(member("prod"), vec![member("bob")]);
    world.store.create_member(&world.admin, service, None).await.unwrap();
    // A caller knows the services of its authentication.
    let bob = world.store.authenticate(&bobs, None).await.unwrap();
    let for_service = NewTicket { member: Some(member("prod")), ..NewTicket::default() };
    assert!(world.new_ticket(&bob, for_service).await.is_err());
    let admin = world.refreshed(&world.admin).await;
    for _ in 0..17 {
        world.new_ticket(&admin, NewTicket::default()).await.unwrap();
    }
    full(
        world.new_ticket(&admin, NewTicket::default()).await,
        "the organization's quota of 20 tickets is reached",
        "revoke tickets",
    );
}

/// A platform starts machines for 1,000 people: its tickets are its own, spent ones do not count, and it cannot take what is left
/// for the members.
#[tokio::test]
async fn a_launcher_has_the_part_of_one_member() {
    let world = World::new().await;
    let new = NewMember::launcher(member("platform"));
    let code =
        world.store.create_member(&world.admin, new, None).await.unwrap().enrolment.unwrap().credential;
    let token = world.redeem(&code).await.credential;
    let bob = world.member("bob", Role::Member).await;
    let launcher = world.store.launcher(&bob, &member("platform")).await.unwrap();
    world.store.accept_launcher(&bob, &launcher.name, launcher.id).await.unwrap();
    let default = world.store.authenticate(&token, None).await.unwrap();
    assert!(
        default.policy().member_quota(default.policy().quotas.tickets) >= 100 * 1000,
        "100 for each person"
    );
    world.quotas(QuotasChange { tickets: Some(20), ..QuotasChange::default() }).await;
    let platform = world.store.authenticate(&token, None).await.unwrap();
    let launch = || NewTicket { member: Some(member("bob")), uses: Some(1), ..NewTicket::default() };
    let spend = async |ticket: Credential| {
        let ticket = world.store.authenticate(&ticket, None).await.unwrap();
        world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    };
    for _ in 0..30 {
        spend(world.ticket_for(&platform, launch()).await).await;
        world.clock.advance(Duration::from_secs(60));
    }
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(60));
        world.new_ticket(&platform, launch()).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.new_ticket(&platform, launch()).await.unwrap_err().code(), Code::OverQuota);
    let bob = world.refreshed(&bob).await;
    world.new_ticket(&bob, NewTicket::default()).await.unwrap();
}

#[tokio::test]
async fn tickets_and_tokens_that_have_not_worked_for_long_are_deleted() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    let working = world.new_ticket(admin, NewTicket::default()).await.unwrap();
    let revoked = world.new_ticket(admin, NewTicket::default()).await.unwrap();
    let token = world.new_token(admin).await.unwrap();
    let boot = {
        let credential = world.ticket_for(admin, NewTicket { uses: Some(1), ..NewTicket::default() }).await;
        let ticket = store.authenticate(&credential, None).await.unwrap();
        store.boot(&ticket, BootAsk::default()).await.unwrap().boot
    };
    store.revoke_ticket(admin, revoked).await.unwrap();
    store.revoke_token(admin, token).await.unwrap();
    store.recount_active_records().await.unwrap();
    world.clock.advance(DAY * 89);
    store.recount_active_records().await.unwrap();
    assert_eq!(store.list_tickets(admin, None, PageAsk::default()).await.unwrap().items.len(), 3);
    world.clock.advance(DAY * 2);
    store.recount_active_records().await.unwrap();
    let left = store.list_tickets(admin, None, PageAsk::default()).await.unwrap().items;
    assert_eq!(left.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [working]);
    assert!(store.records().get(&tokens::token(token)).await.unwrap().is_none());
    assert_eq!(world.used().await.tickets, 1);
    // What names them still reads, and a boot of a deleted ticket can still be ended.
    assert_eq!(store.boot_record(admin, boot).await.unwrap().id, boot);
    store.end_boot(admin, boot, crate::store::Ending::default()).await.unwrap();
    let found = store.audit(admin, &AuditFilter::default(), PageAsk::default()).await.unwrap();
    assert!(found.items.iter().any(|item| item.event.action.as_str() == "ticket.revoke"));
    assert!(world.verification().await.ok);
    // As long as the organization keeps boots, if it says so.
    let retention = RetentionChange { boots: Some(1), audit: None };
    store.set_policy(admin, PolicyChange { retention, ..PolicyChange::default() }).await.unwrap();
    store.revoke_ticket(admin, working).await.unwrap();
    world.clock.advance(DAY);
    store.recount_active_records().await.unwrap();
    assert!(store.list_tickets(admin, None, PageAsk::default()).await.unwrap().items.is_empty());
}

/// Tickets of an older version are in no count.
#[tokio::test]
async fn tickets_of_an_older_version_are_counted_by_the_background_task() {
    let world = World::new().await;
    let mut created = Vec::new();
    for _ in 0..3 {
        created.push(world.new_ticket(&world.admin, NewTicket::default()).await.unwrap());
    }
    let org_id = world.admin.own_org().unwrap();
    let author = world.admin.member().unwrap().0;
    let counts = [CountOf::Tickets, CountOf::TicketsBy(author)]
        .map(|of| world.store.records().record_count(org_id, of));
    let (forgotten, ids) = (counts.clone(), created.clone());
    let older = world.store.journal().run(Vec::new(), move |tx| {
        forgotten.iter().for_each(|key| tx.delete(key));
        for id in &ids {
            let ticket = tx.get(&tickets::ticket(*id))?.unwrap();
            tx.put(&tickets::ticket(*id), &TicketRecord { counted: false, ..ticket })?;
        }
        Ok::<_, Stop<Error>>(())
    });
    older.await.unwrap();
    // A revocation of one that is not counted yet takes nothing off.
    world.store.revoke_ticket(&world.admin, created[0]).await.unwrap();
    for store in [world.store.clone(), world.another().await] {
        store.recount_active_records().await.unwrap();
        for count in store.records().get_all(&counts).await.unwrap() {
            assert_eq!(count, Some(RecordCount { count: 2 }));
        }
    }
}

#[tokio::test]
async fn usage_says_which_scopes_are_over_their_budgets() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.deposit(&bob, new_secret("own", ScopeKind::Private, &"x".repeat(2000))).await;
    world.deposit(&bob, new_secret("all", ScopeKind::Shared, "x")).await;
    let usage = world.store.org_usage(&world.admin).await.unwrap();
    assert!(!usage.shared.over_budget && usage.members_over_budget.is_empty());
    assert_eq!((usage.shared.secrets, usage.private.secrets, usage.records.secrets), (1, 0, 2));
    let budgets = BudgetsChange {
        private_variables: Some(1000),
        shared_variables: Some(1),
        ..BudgetsChange::default()
    };
    world.store.set_policy(&world.admin, PolicyChange { budgets, ..PolicyChange::default() }).await.unwrap();
    let usage = world.store.org_usage(&world.admin).await.unwrap();
    assert!(usage.shared.over_budget);
    assert_eq!(usage.members_over_budget, [member("bob")]);
    assert_eq!(usage.own_quotas, None);
    // Another member sees their own scope, and not whose others are.
    let usage = world.store.org_usage(&bob).await.unwrap();
    assert!(usage.private.over_budget && usage.members_over_budget.is_empty());
    assert_eq!((usage.private.variables_budget, usage.deposited.secrets), (1000, 1));
    assert_eq!(world.boot(&bob).await.len(), 2, "it keeps booting");
}
