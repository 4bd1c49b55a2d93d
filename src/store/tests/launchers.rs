//! Launchers: what they may do for the people who accepted them, and that it ends with the acceptance. The adversaries are an
//! admin who wants a person's secret, and a launcher that wants more than its people gave it.

use std::collections::BTreeSet;

use super::*;
use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::role::Denied;

impl World {
    /// Adds a launcher that nobody has enrolled.
    async fn new_launcher(&self, name: &str) -> MemberCreated {
        let new = NewMember::launcher(member(name));
        self.store.create_member(&self.admin, new, None).await.unwrap()
    }

    /// A launcher whose enrolment was redeemed.
    async fn launcher(&self, name: &str) -> Caller {
        let code = self.new_launcher(name).await.enrolment.unwrap().credential;
        let issued = self.redeem(&code).await;
        self.store.authenticate(&issued.credential, None).await.unwrap()
    }

    async fn accept(&self, person: &Caller, name: &str) {
        let launcher = self.store.launcher(person, &member(name)).await.unwrap();
        let accepted = self.store.accept_launcher(person, &launcher.name, launcher.id).await.unwrap();
        assert!(accepted.accepted_at.is_some());
    }

    async fn withdraw(&self, person: &Caller, name: &str) {
        let withdrawn = self.store.withdraw_acceptance(person, &member(name)).await.unwrap();
        assert_eq!(withdrawn.accepted_at, None);
    }

    async fn launch(&self, by: &Caller, person: &str) -> Result<Credential, Error> {
        let new = NewTicket { member: Some(member(person)), ..NewTicket::default() };
        Ok(self.store.create_ticket(by, new, None).await?.credential)
    }

    async fn try_boot(&self, ticket: &Credential) -> Result<Vec<(String, String)>, Code> {
        let caller = self.store.authenticate(ticket, None).await.map_err(|error| error.code())?;
        let released = self.store.boot(&caller, BootAsk::default()).await.map_err(|error| error.code())?;
        Ok(variables(released))
    }
}

fn denied(result: Result<impl std::fmt::Debug, Error>) -> Denied {
    match result {
        Err(Error::Forbidden(denied)) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

#[tokio::test]
async fn a_launcher_boots_for_those_who_accepted_it_and_for_nobody_else() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.member("eve", Role::Member).await;
    world.private(&bob, "key", "bobs").await;
    let launcher = world.launcher("devboxes").await;
    assert_eq!(denied(world.launch(&launcher, "bob").await), Denied::NotAccepted);

    world.accept(&bob, "devboxes").await;
    let ticket = world.launch(&launcher, "bob").await.unwrap();
    assert_eq!(world.try_boot(&ticket).await, Ok(pairs(&[("KEY", "bobs")])));
    // Who exists and has not accepted, who does not exist, another launcher, and itself: one answer.
    for other in ["eve", "admin", "nobody-here", "devboxes"] {
        assert_eq!(denied(world.launch(&launcher, other).await), Denied::NotAccepted, "{other}");
        let listed = world.store.list_tickets(&launcher, Some(&member(other)), PageAsk::default()).await;
        assert_eq!(denied(listed), Denied::NotAccepted, "{other}");
        let filter = BootFilter { member: Some(member(other)), ..BootFilter::default() };
        let listed = world.store.list_boots(&launcher, &filter, PageAsk::default()).await;
        assert_eq!(denied(listed), Denied::NotAccepted, "{other}");
    }
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn a_launcher_sees_and_revokes_what_it_created_and_nothing_else() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.private(&bob, "key", "bobs").await;
    let (one, two) = (world.launcher("one").await, world.launcher("two").await);
    world.accept(&bob, "one").await;
    world.accept(&bob, "two").await;
    let mut boots = Vec::new();
    for by in [&one, &two, &bob] {
        let ticket = world.launch(by, "bob").await.unwrap();
        let caller = world.store.authenticate(&ticket, None).await.unwrap();
        boots.push((ticket.ticket_id(), world.store.boot(&caller, BootAsk::default()).await.unwrap().boot));
    }
    let listed = world.store.list_tickets(&one, None, PageAsk::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [boots[0].0]);
    let listed =
        world.store.list_boots(&one, &BootFilter::default(), PageAsk::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(|boot| boot.id).collect::<Vec<_>>(), [boots[0].1]);
    // It starts machines. It reads no list of a person's secrets.
    assert_eq!(listed[0].receipt.count(), 0);
    let filter = BootFilter { secret: Some("KEY".to_owned()), ..BootFilter::default() };
    let probed = world.store.list_boots(&one, &filter, PageAsk::default()).await;
    assert_eq!(denied(probed), Denied::LauncherTicketsOnly);
    for (ticket, boot) in &boots[1..] {
        assert_eq!(world.store.ticket(&one, *ticket).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(world.store.revoke_ticket(&one, *ticket).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(world.store.boot_record(&one, *boot).await.unwrap_err().code(), Code::NotFound);
    }
    assert!(world.store.revoke_ticket(&one, boots[0].0).await.unwrap().revoked_at.is_some());
}

#[tokio::test]
async fn a_person_sees_each_boot_with_the_launcher_and_the_ticket_that_made_it() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let launcher = world.launcher("devboxes").await;
    world.accept(&bob, "devboxes").await;
    let ticket = world.launch(&launcher, "bob").await.unwrap();
    world.try_boot(&ticket).await.unwrap();
    world.boot(&bob).await;
    let boots = world.store.list_boots(&bob, &BootFilter::default(), PageAsk::default()).await.unwrap().items;
    let seen: BTreeSet<_> =
        boots.iter().map(|boot| (boot.author.clone().unwrap().to_string(), boot.launched)).collect();
    assert_eq!(seen, BTreeSet::from([("bob".to_owned(), false), ("devboxes".to_owned(), true)]));
    let launched = boots.iter().find(|boot| boot.launched).unwrap();
    assert_eq!(launched.identity, ticket.ticket_id().into());
}

#[tokio::test]
async fn withdrawing_ends_tickets_at_once_and_accepting_again_does_not_revive_them() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.private(&bob, "key", "bobs").await;
    let launcher = world.launcher("devboxes").await;
    world.accept(&bob, "devboxes").await;
    let tickets =
        [world.launch(&launcher, "bob").await.unwrap(), world.launch(&launcher, "bob").await.unwrap()];
    // Authenticated before the withdrawal, as a request that is on its way.
    let on_its_way = world.store.authenticate(&tickets[0], None).await.unwrap();

    world.withdraw(&bob, "devboxes").await;
    let late = world.store.boot(&on_its_way, BootAsk::default()).await;
    assert_eq!(late.unwrap_err().code(), Code::Revoked);
    for ticket in &tickets {
        assert_eq!(world.try_boot(ticket).await, Err(Code::Revoked));
    }
    assert_eq!(denied(world.launch(&launcher, "bob").await), Denied::NotAccepted);

    // In the same instant: the clock has not moved since.
    world.accept(&bob, "devboxes").await;
    for ticket in &tickets {
        assert_eq!(world.try_boot(ticket).await, Err(Code::Revoked));
        let shown = world.store.ticket(&bob, ticket.ticket_id()).await.unwrap();
        assert!(shown.revoked_at.is_some());
    }
    let new = world.launch(&launcher, "bob").await.unwrap();
    assert_eq!(world.try_boot(&new).await, Ok(pairs(&[("KEY", "bobs")])));
    // The background task of another process does not revoke what was created since.
    world.store.finish_withdrawals().await.unwrap();
    assert!(world.try_boot(&new).await.is_ok());
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn the_background_task_revokes_the_records_of_a_withdrawal() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let eve = world.member("eve", Role::Member).await;
    let launcher = world.launcher("devboxes").await;
    world.accept(&bob, "devboxes").await;
    world.accept(&eve, "devboxes").await;
    let mut bobs = Vec::new();
    for _ in 0..40 {
        bobs.push(world.launch(&launcher, "bob").await.unwrap().ticket_id());
    }
    let eves = world.launch(&launcher, "eve").await.unwrap();
    world.withdraw(&bob, "devboxes").await;
    eventually(async || {
        let mut revoked = 0;
        for id in &bobs {
            revoked += usize::from(world.store.ticket(&bob, *id).await.unwrap().revoked_at.is_some());
        }
        revoked == bobs.len()
    })
    .await;
    assert!(world.try_boot(&eves).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_ticket_that_is_created_while_the_acceptance_is_withdrawn_never_boots() {
    let world = Arc::new(World::new().await);
    let bob = world.member("bob", Role::Member).await;
    let launcher = world.launcher("devboxes").await;
    let mut created = 0;
    for _ in 0..30 {
        world.accept(&bob, "devboxes").await;
        let racers: Vec<_> = (0..4)
            .map(|_| {
                let (world, launcher) = (Arc::clone(&world), launcher.clone());
                tokio::spawn(async move { world.launch(&launcher, "bob").await.ok() })
            })
            .collect();
        world.withdraw(&bob, "devboxes").await;
        for racer in racers {
            if let Some(ticket) = racer.await.unwrap() {
                created += 1;
                assert_eq!(world.try_boot(&ticket).await, Err(Code::Revoked));
                // Nor does it after the next acceptance.
                world.accept(&bob, "devboxes").await;
                assert_eq!(world.try_boot(&ticket).await, Err(Code::Revoked));
                world.withdraw(&bob, "devboxes").await;
            }
        }
    }
    // Otherwise no ticket was created in time, and the test has shown nothing.
    assert!(created > 0);
}

#[tokio::test]
async fn a_launcher_under_an_accepted_name_inherits_nothing() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let launcher = world.launcher("devboxes").await;
    world.accept(&bob, "devboxes").await;
    let seen = world.store.launcher(&bob, &member("devboxes")).await.unwrap();
    let ticket = world.launch(&launcher, "bob").await.unwrap();
    world.store.remove_member(&world.admin, &member("devboxes")).await.unwrap();
    assert_eq!(world.try_boot(&ticket).await, Err(Code::Revoked));

    let again = world.launcher("devboxes").await;
    assert_eq!(denied(world.launch(&again, "bob").await), Denied::NotAccepted);
    let shown = world.store.launcher(&bob, &member("devboxes")).await.unwrap();
    assert_eq!(shown.accepted_at, None);
    // Nor does it get an acceptance that was meant for the one that bob has seen.
    let accepted = world.store.accept_launcher(&bob, &member("devboxes"), seen.id).await;
    assert_eq!(accepted.unwrap_err().code(), Code::Conflict);
}

#[tokio::test]
async fn nobody_accepts_a_launcher_that_an_admin_could_still_enrol() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.new_launcher("devboxes").await;
    let seen = world.store.launcher(&bob, &member("devboxes")).await.unwrap();
    assert_eq!((seen.enrolled_at, seen.author.unwrap().as_str()), (None, "admin"));
    let accepted = world.store.accept_launcher(&bob, &member("devboxes"), seen.id).await;
    assert_eq!(accepted.unwrap_err().code(), Code::Conflict);
}

#[tokio::test]
async fn only_people_accept_and_only_launchers_are_accepted() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let auditor = world.member("auditor", Role::Auditor).await;
    let launcher = world.launcher("devboxes").await;
    world.launcher("other").await;
    let id = world.store.launcher(&bob, &member("devboxes")).await.unwrap().id;
    let other = world.store.launcher(&bob, &member("other")).await.unwrap();
    let accepted = world.store.accept_launcher(&launcher, &other.name, other.id).await;
    assert_eq!(denied(accepted), Denied::LauncherTicketsOnly);
    let accepted = world.store.accept_launcher(&auditor, &member("devboxes"), id).await;
    assert_eq!(denied(accepted), Denied::AuditorReads);
    // A person is no launcher, and the answer is that of a name that does not exist.
    let admin = world.admin.own_member().unwrap().1;
    for name in ["admin", "nobody-here"] {
        let accepted = world.store.accept_launcher(&bob, &member(name), admin).await;
        assert_eq!(accepted.unwrap_err().code(), Code::NotFound);
    }
    let listed = world.store.list_launchers(&bob, PageAsk::default()).await.unwrap().items;
    let names: BTreeSet<_> = listed.iter().map(|launcher| launcher.name.to_string()).collect();
    assert_eq!(names, BTreeSet::from(["devboxes".to_owned(), "other".to_owned()]));
}

#[tokio::test]
async fn acceptances_and_what_a_launcher_creates_are_in_the_audit_log() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let launcher = world.launcher("devboxes").await;
    world.accept(&bob, "devboxes").await;
    // Repeating it changes nothing, and leaves no second entry.
    world.accept(&bob, "devboxes").await;
    world.launch(&launcher, "bob").await.unwrap();
    world.withdraw(&bob, "devboxes").await;
    world.withdraw(&bob, "devboxes").await;
    let entries = world.store.audit(&world.admin, &AuditFilter::default(), PageAsk::default()).await;
    let entries = entries.unwrap().items;
    let by = |action| {
        let found = entries.iter().filter(|entry| entry.event.action == action);
        found.map(|entry| entry.event.actor.name.clone().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(by(AuditAction::LauncherAccept), ["bob"]);
    assert_eq!(by(AuditAction::LauncherWithdraw), ["bob"]);
    let created = entries.iter().find(|entry| entry.event.action == AuditAction::TicketCreate).unwrap();
    assert_eq!(created.event.actor.name.clone().unwrap().to_string(), "devboxes");
    assert!(created.event.details.contains_key(&DetailKey::Member));
}

#[tokio::test]
async fn the_step_that_redeems_an_enrolment_accepts_launchers_or_redeems_nothing() {
    let world = World::new().await;
    let launcher = world.launcher("devboxes").await;
    world.new_launcher("pending").await;
    let new = NewMember::person(member("bob"), Role::Member);
    let code =
        world.store.create_member(&world.admin, new, None).await.unwrap().enrolment.unwrap().credential;
    let redeem = async |accept: &[&str]| {
        let accept = accept.iter().map(|name| member(name)).collect();
        world.store.redeem_enrolment(&code, None, "r", Redemption { label: None, accept }).await
    };
    for (accept, expected) in [
        (["devboxes", "pending"], Code::Conflict),
        (["devboxes", "nobody-here"], Code::NotFound),
        (["devboxes", "admin"], Code::NotFound),
    ] {
        assert_eq!(redeem(&accept).await.unwrap_err().code(), expected);
        assert_eq!(denied(world.launch(&launcher, "bob").await), Denied::NotAccepted);
    }
    let token = redeem(&["devboxes"]).await.unwrap().credential;
    let bob = world.store.authenticate(&token, None).await.unwrap();
    world.private(&bob, "key", "bobs").await;
    let ticket = world.launch(&launcher, "bob").await.unwrap();
    assert_eq!(world.try_boot(&ticket).await, Ok(pairs(&[("KEY", "bobs")])));
    let filter = AuditFilter { action: Some("launcher".into()), ..AuditFilter::default() };
    let entries = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].event.actor.name.clone().unwrap().to_string(), "bob");
}

#[tokio::test]
async fn an_admin_cannot_replace_the_enrolment_of_a_launcher_that_people_can_accept() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.launcher("devboxes").await;
    world.accept(&bob, "devboxes").await;
    let replaced = world.store.replace_enrolment(&world.admin, &member("devboxes"), None, None).await;
    assert_eq!(replaced.unwrap_err().code(), Code::Conflict);
    // Nor is there another way to its credential.
    let new = NewToken { member: Some(member("devboxes")), ..NewToken::default() };
    assert_eq!(denied(world.store.create_token(&world.admin, new, None).await), Denied::NotYours);
    // An admin who becomes no launcher cannot create the ticket either.
    assert_eq!(denied(world.launch(&world.admin, "bob").await), Denied::NotYours);
}

#[tokio::test]
async fn a_launcher_ends_the_boots_that_it_started_also_after_the_withdrawal_and_no_others() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let (one, two) = (world.launcher("one").await, world.launcher("two").await);
    world.accept(&bob, "one").await;
    world.accept(&bob, "two").await;
    let mut boots = Vec::new();
    for by in [&one, &two, &bob] {
        let ticket = world.launch(by, "bob").await.unwrap();
        let caller = world.store.authenticate(&ticket, None).await.unwrap();
        boots.push(world.store.boot(&caller, BootAsk::default()).await.unwrap().boot);
    }
    world.withdraw(&bob, "one").await;
    for other in &boots[1..] {
        let ended = world.store.end_boot(&one, *other, Ending::default()).await;
        assert_eq!(ended.unwrap_err().code(), Code::NotFound);
    }
    world.store.end_boot(&one, boots[0], Ending::default()).await.unwrap();
    let filter = BootFilter { live: true, ..BootFilter::default() };
    let running = world.store.list_boots(&bob, &filter, PageAsk::default()).await.unwrap().items;
    assert_eq!(running.len(), 2);
}

#[tokio::test]
async fn a_launcher_has_no_console_and_replaces_its_token_without_losing_acceptances() {
    let world = World::new().await;
    let code = world.new_launcher("devboxes").await.enrolment.unwrap().credential;
    let token = world.redeem(&code).await.credential;
    let launcher = world.store.authenticate(&token, None).await.unwrap();
    assert!(matches!(world.store.log_in(&token, None, "r").await, Err(AuthError::Unknown)));
    let bob = world.member("bob", Role::Member).await;
    world.accept(&bob, "devboxes").await;
    let replace = async |by: &Caller| world.store.create_token(by, NewToken::default(), None).await;
    let second = replace(&launcher).await.unwrap();
    assert_eq!(second.token.member, Some(member("devboxes")));
    // The answer may have been lost: for ten minutes, the first token replaces once more, and the lost one ends.
    let third = replace(&launcher).await.unwrap();
    let launcher = world.store.authenticate(&third.credential, None).await.unwrap();
    let lost = world.store.authenticate(&second.credential, None).await;
    assert!(matches!(lost, Err(AuthError::Revoked)), "{lost:?}");
    world.launch(&launcher, "bob").await.unwrap();
    world.clock.advance(crate::store::rules::launcher_tokens::GRACE);
    let first = world.store.authenticate(&token, None).await;
    assert!(matches!(first, Err(AuthError::Expired)), "{first:?}");
    // Nothing else: not for a person who accepted it, and no list or revocation of tokens.
    let new = NewToken { member: Some(member("bob")), ..NewToken::default() };
    let refused = world.store.create_token(&launcher, new, None).await;
    assert_eq!(denied(refused), Denied::LauncherTicketsOnly);
    let refused = world.store.list_tokens(&launcher, None, PageAsk::default()).await;
    assert_eq!(denied(refused), Denied::LauncherTicketsOnly);
    let refused = world.store.revoke_token(&launcher, third.token.id).await;
    assert_eq!(denied(refused), Denied::LauncherTicketsOnly);
}

/// With a quota of less than 20 tokens, a tenth is one, although a replacement needs two for ten minutes.
#[tokio::test]
async fn a_launcher_replaces_its_token_whatever_the_quota_is() {
    let world = World::new().await;
    let code = world.new_launcher("devboxes").await.enrolment.unwrap().credential;
    let mut launcher = world.store.authenticate(&world.redeem(&code).await.credential, None).await.unwrap();
    let few = QuotasChange { tokens: Some(2), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), few).await.unwrap();
    for _ in 0..3 {
        let next = world.store.create_token(&launcher, NewToken::default(), None).await.unwrap();
        launcher = world.store.authenticate(&next.credential, None).await.unwrap();
    }
}

/// A token that a thief created with a stolen one outlived the revocation of the stolen one.
#[tokio::test]
async fn a_thief_of_a_launchers_token_keeps_none_beside_the_launchers() {
    let world = World::new().await;
    let code = world.new_launcher("devboxes").await.enrolment.unwrap().credential;
    let stolen = world.redeem(&code).await.credential;
    let (own, thief) = (
        world.store.authenticate(&stolen, None).await.unwrap(),
        world.store.authenticate(&stolen, None).await.unwrap(),
    );
    let thiefs = world.store.create_token(&thief, NewToken::default(), None).await.unwrap();
    let owns = world.store.create_token(&own, NewToken::default(), None).await.unwrap();
    assert!(matches!(world.store.authenticate(&thiefs.credential, None).await, Err(AuthError::Revoked)));
    // Two at once: one of them wins, and the other has nothing.
    let launcher = world.store.authenticate(&owns.credential, None).await.unwrap();
    let (one, two) = tokio::join!(
        world.store.create_token(&launcher, NewToken::default(), None),
        world.store.create_token(&own, NewToken::default(), None),
    );
    let mut usable = 0;
    for issued in [one, two].into_iter().flatten() {
        usable += usize::from(world.store.authenticate(&issued.credential, None).await.is_ok());
    }
    assert_eq!(usable, 1);
}
