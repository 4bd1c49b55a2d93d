//! Tickets: their limits are exact.

use super::*;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tries_of_one_boot_spend_one_use() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let new = NewTicket { uses: Some(1), ..NewTicket::default() };
    let credential = world.ticket_for(&world.admin, new).await;
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    let attempt = |text: &str| BootAsk { attempt: Some(text.to_owned()), ..BootAsk::default() };
    let racers: Vec<_> = (0..20)
        .map(|_| {
            let (store, ticket, ask) = (world.store.clone(), ticket.clone(), attempt("boot-1"));
            tokio::spawn(async move { store.boot(&ticket, ask).await })
        })
        .collect();
    for racer in racers {
        assert_eq!(racer.await.unwrap().unwrap().values.len(), 1);
    }
    let ticket = world.store.authenticate(&credential, None).await.unwrap();
    world.store.boot(&ticket, attempt("boot-1")).await.unwrap();
    for other in [attempt("boot-2"), BootAsk::default()] {
        assert_eq!(world.store.boot(&ticket, other).await.unwrap_err().code(), Code::TicketSpent);
    }
    assert_eq!(world.store.boot(&ticket, attempt("a b")).await.unwrap_err().code(), Code::InvalidRequest);
    let shown = world.store.ticket(&world.admin, ticket.ticket().unwrap()).await.unwrap();
    assert_eq!((shown.used, shown.usable), (Some(1), false));
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(world.store.boot(&ticket, attempt("boot-1")).await.unwrap_err().code(), Code::TicketSpent);
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
    let bobs = world.store.create_ticket(&world.admin, for_bob, None).await.unwrap().ticket;
    assert_eq!((bobs.member, bobs.author), (member("bob"), member("admin")));

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
