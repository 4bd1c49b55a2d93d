//! Tickets: their limits are exact.

use super::*;
use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::boot::{BootStatus, EndSource};
use crate::domain::cidr::Cidr;
use crate::domain::name::PluginName;

async fn limited(world: &World, uses: u64) -> Caller {
    let new = NewTicket { uses: Some(uses), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    world.store.authenticate(&credential, None).await.unwrap()
}

async fn race(world: &World, uses: u64, racers: usize) -> usize {
    world.shared("one", "1").await;
    let ticket = limited(world, uses).await;
    let racers: Vec<_> = (0..racers)
        .map(|_| {
            let (store, ticket) = (world.store.clone(), ticket.clone());
            tokio::spawn(async move { store.boot(&ticket, BootAsk::default()).await })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        match racer.await.unwrap() {
            Ok(released) => {
                assert_eq!(released.values.len(), 1);
                won += 1;
            }
            Err(error) => assert_eq!(error.code(), Code::TicketSpent),
        }
    }
    won
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_uses_of_a_ticket_for_one_boot_one_wins() {
    let world = World::new().await;
    assert_eq!(race(&world, 1, 1000).await, 1);
    let boots =
        world.store.list_boots(&world.admin, &BootFilter::default(), PageAsk::default()).await.unwrap();
    assert_eq!(boots.items.len(), 1);
    assert!(world.verification().await.ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_ticket_for_37_boots_serves_37() {
    assert_eq!(race(&World::new().await, 37, 200).await, 37);
}

fn attempt(key: &str) -> BootAsk {
    BootAsk { attempt: Some(key.to_owned()), ..BootAsk::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_tries_of_one_boot_spend_one_use_and_have_one_id() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let new = NewTicket { uses: Some(1), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    let racers: Vec<_> = (0..20)
        .map(|_| {
            let (store, ticket) = (world.store.clone(), ticket.clone());
            tokio::spawn(async move { store.boot(&ticket, attempt("boot-1")).await })
        })
        .collect();
    let (mut boots, mut refused) = (Vec::new(), Vec::new());
    for racer in racers {
        match racer.await.unwrap() {
            Ok(released) => boots.push(released.boot),
            Err(error) => refused.push(error.code()),
        }
    }
    assert_eq!((boots.len(), refused.len()), (5, 15));
    boots.dedup();
    assert_eq!(boots.len(), 1);
    assert!(refused.iter().all(|code| *code == Code::TriesSpent));
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    for other in [attempt("boot-2"), BootAsk::default()] {
        assert_eq!(world.store.boot(&ticket, other).await.unwrap_err().code(), Code::TicketSpent);
    }
    assert_eq!(world.store.boot(&ticket, attempt("a b")).await.unwrap_err().code(), Code::InvalidRequest);
    let shown = world.store.ticket(&world.admin, ticket.ticket().unwrap()).await.unwrap();
    assert_eq!((shown.used, shown.usable), (Some(1), false));
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(world.store.boot(&ticket, attempt("boot-1")).await.unwrap_err().code(), Code::TicketSpent);
}

/// A single-use ticket with one attempt key booted 200 machines.
#[tokio::test]
async fn an_attempt_key_belongs_to_one_machine_and_one_request() {
    let world = World::new().await;
    world.shared("one", "1").await;
    for uses in [Some(1), None] {
        let credential = world.ticket_for(&world.admin, NewTicket { uses, ..NewTicket::default() }).await;
        let ticket = world.store.authenticate(&credential, None).await.unwrap();
        let on = |machine: usize| BootAsk { machine: Some(format!("machine-{machine}")), ..attempt("key") };
        let first = world.store.boot(&ticket, on(0)).await.unwrap().boot;
        for machine in 1..200 {
            let error = world.store.boot(&ticket, on(machine)).await.unwrap_err();
            assert_eq!(error.code(), Code::IdempotencyMismatch);
            assert!(error.hint().is_some());
        }
        let mut other = on(0);
        other.request.exclude.insert("one".to_owned());
        let error = world.store.boot(&ticket, other).await.unwrap_err();
        assert_eq!(error.code(), Code::IdempotencyMismatch);
        // What was refused spent no try.
        for _ in 0..4 {
            assert_eq!(world.store.boot(&ticket, on(0)).await.unwrap().boot, first);
        }
        assert_eq!(world.store.boot(&ticket, on(0)).await.unwrap_err().code(), Code::TriesSpent);
    }
    let boots =
        world.store.list_boots(&world.admin, &BootFilter::default(), PageAsk::default()).await.unwrap();
    assert_eq!(boots.items.len(), 2);
}

#[tokio::test]
async fn each_try_resolves_anew_and_the_boot_holds_all_of_them() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let ticket = limited(&world, 1).await;
    let first = world.store.boot(&ticket, attempt("key")).await.unwrap();
    world.store.replace_secret(&world.admin, id, None, replacement("2")).await.unwrap();
    let second = world.store.boot(&ticket, attempt("key")).await.unwrap();
    assert_eq!(first.boot, second.boot);
    assert_eq!(variables(second), pairs(&[("ONE", "2")]));
    // It holds the first value too, as far as anybody knows.
    let boot = world.store.boot_record(&world.admin, first.boot).await.unwrap();
    assert_eq!(boot.stale.len(), 1);
    assert_eq!(boot.stale[0].version, first.receipt.entries[0].version);
    // The agent may have received either response.
    let report = Report { digest: first.receipt.digest().to_string(), variables: 1 };
    world.store.report(&ticket, first.boot, report).await.unwrap();
    // A boot that has started is not tried again.
    assert_eq!(world.store.boot(&ticket, attempt("key")).await.unwrap_err().code(), Code::Conflict);
    let filter = AuditFilter { any_of: vec![AuditAction::Boot], ..AuditFilter::default() };
    let entries = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    let tries: Vec<_> = entries.iter().map(|item| item.event.details.get(&DetailKey::Try)).collect();
    assert_eq!(tries.iter().flatten().map(|number| number.as_str()).collect::<Vec<_>>(), ["2"]);
}

#[tokio::test]
async fn a_spent_ticket_explains_nothing() {
    let world = World::new().await;
    let new = NewTicket { uses: Some(1), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = async || world.store.authenticate(&credential, None).await.unwrap();
    world.store.explain(&ticket().await, BootAsk::default()).await.unwrap();
    world.store.boot(&ticket().await, attempt("key")).await.unwrap();
    world.shared("added-later", "1").await;
    // Not within the window of its own attempt either.
    for ask in [BootAsk::default(), attempt("key")] {
        let error = world.store.explain(&ticket().await, ask).await.unwrap_err();
        assert_eq!(error.code(), Code::TicketSpent);
    }
}

#[tokio::test]
async fn a_lifetime_ends_the_boots_of_a_ticket() {
    let world = World::new().await;
    let new = NewTicket { lifetime: Some(Duration::from_secs(3600)), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    let boot = world.store.boot(&ticket, BootAsk::default()).await.unwrap().boot;
    let shown = async || world.store.boot_record(&world.admin, boot).await.unwrap();
    assert_eq!(shown().await.status, BootStatus::PresumedRunning);
    world.clock.advance(Duration::from_secs(3600));
    let over = shown().await;
    assert_eq!((over.status, over.end.unwrap().source), (BootStatus::Ended, EndSource::Lifetime));
    let zero = NewTicket { lifetime: Some(Duration::ZERO), ..NewTicket::default() };
    let error = world.store.create_ticket(&world.admin, zero, None).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidRequest);
}

#[tokio::test]
async fn time_revocation_and_network_end_a_ticket() {
    let world = World::new().await;
    let new = NewTicket {
        ttl: Some(Duration::from_secs(60)),
        sources: vec![Cidr::parse("10.0.0.0/8").unwrap()],
        ..NewTicket::default()
    };
    let issued = world.store.create_ticket(&world.admin, new, None).await.unwrap();
    let inside = Some("10.1.2.3".parse().unwrap());
    for source in [None, Some("11.0.0.1".parse().unwrap())] {
        let error = world.store.authenticate(&issued.credential, source).await.unwrap_err();
        assert_eq!(error.code(), Code::SourceNotAllowed);
    }
    let ticket = world.store.authenticate(&issued.credential, inside).await.unwrap();
    world.store.boot(&ticket, BootAsk::default()).await.unwrap();

    world.clock.advance(Duration::from_secs(60));
    let error = world.store.authenticate(&issued.credential, inside).await.unwrap_err();
    assert_eq!(error.code(), Code::Expired);
    // Authenticated before, and too late nonetheless.
    assert_eq!(world.store.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Expired);

    let issued = world.store.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap();
    let ticket = world.store.authenticate(&issued.credential, None).await.unwrap();
    assert!(issued.ticket.usable);
    let revoked = world.store.revoke_ticket(&world.admin, issued.ticket.id).await.unwrap();
    assert!(!revoked.usable);
    assert_eq!(world.store.boot(&ticket, BootAsk::default()).await.unwrap_err().code(), Code::Revoked);
    assert_eq!(world.store.authenticate(&issued.credential, None).await.unwrap_err().code(), Code::Revoked);
}

#[tokio::test]
async fn the_plugins_of_a_ticket_bound_its_boots() {
    let world = World::new().await;
    let plugin = |name: &str| PluginName::parse(name).unwrap();
    for name in ["stripe", "slack"] {
        let new = NewSecret {
            attributes: Attributes { plugin: Some(plugin(name)), ..Attributes::default() },
            ..new_secret(name, ScopeKind::Shared, "1")
        };
        world.deposit(&world.admin, new).await;
    }
    world.shared("free", "1").await;
    let new = NewTicket { plugins: Some([plugin("stripe")].into()), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    let names = async |plugins: Option<&[&str]>| {
        let mut ask = BootAsk::default();
        ask.request.plugins = plugins.map(|names| names.iter().map(|name| plugin(name)).collect());
        let released = world.store.boot(&ticket, ask).await.unwrap();
        variables(released).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(None).await, ["FREE", "STRIPE"]);
    assert_eq!(names(Some(&["slack", "stripe"])).await, ["FREE", "STRIPE"]);
    assert_eq!(names(Some(&["slack"])).await, ["FREE"]);
}

#[tokio::test]
async fn members_see_and_make_their_own_only() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let ticket = world.store.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap().ticket;
    assert_eq!(world.store.ticket(&bob, ticket.id).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(world.store.revoke_ticket(&bob, ticket.id).await.unwrap_err().code(), Code::NotFound);
    let for_admin = NewTicket { member: Some(member("admin")), ..NewTicket::default() };
    assert_eq!(world.store.create_ticket(&bob, for_admin, None).await.unwrap_err().code(), Code::Forbidden);
    let for_bob = NewTicket { member: Some(member("bob")), ..NewTicket::default() };
    let error = world.store.create_ticket(&world.admin, for_bob, None).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    let bobs = world.store.create_ticket(&bob, NewTicket::default(), None).await.unwrap().ticket;
    assert_eq!((bobs.member, bobs.author), (member("bob"), member("bob")));

    let listed = world.store.list_tickets(&bob, None, PageAsk::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [bobs.id]);
    assert_eq!(
        world.store.list_tickets(&world.admin, None, PageAsk::default()).await.unwrap().items.len(),
        2
    );
    let of_bob =
        world.store.list_tickets(&world.admin, Some(&member("bob")), PageAsk::default()).await.unwrap();
    assert_eq!(of_bob.items.len(), 1);

    let zero = NewTicket { uses: Some(0), ..NewTicket::default() };
    assert_eq!(world.store.create_ticket(&bob, zero, None).await.unwrap_err().code(), Code::InvalidRequest);
}
