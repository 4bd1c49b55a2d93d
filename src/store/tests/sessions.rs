//! Sessions of the console.

use super::*;
use crate::domain::audit::AuditAction;
use crate::domain::credential::CredentialKind;
use crate::domain::role::Principal;

const MINUTE: Duration = Duration::from_secs(60);

async fn token(world: &World, name: &str) -> TokenIssued {
    let new = NewMember::person(member(name), Role::Member);
    let created = world.store.create_member(&world.admin, new, None).await.unwrap();
    world.redeem(&created.enrolment.unwrap().credential).await
}

async fn log_in(world: &World, issued: &TokenIssued) -> SessionKey {
    world.store.log_in(&issued.credential, None, "r1").await.unwrap().1
}

#[tokio::test]
async fn a_session_stands_for_its_member_in_every_process_and_its_text_reads_back() {
    let world = World::new().await;
    let issued = token(&world, "mel").await;
    let key = log_in(&world, &issued).await;
    let again = SessionKey::parse(&key.to_text()).unwrap();
    for store in [&world.store, &world.another().await] {
        let caller = store.session(&again, None).await.unwrap();
        assert!(matches!(caller.principal(), Principal::Member { name, .. } if name.as_str() == "mel"));
    }
    assert_eq!(again.form_token(), key.form_token());
    assert!(key.is_form_token(&again.form_token()) && !key.is_form_token(""));
    assert!(!key.to_text().contains(&key.form_token()));
    let other = log_in(&world, &issued).await;
    assert_ne!(*other.to_text(), *key.to_text(), "each login makes a new one");
    assert!(SessionKey::parse(&key.to_text()[..63]).is_none() && SessionKey::parse("").is_none());
}

#[tokio::test]
async fn a_changed_secret_opens_nothing() {
    let world = World::new().await;
    let key = log_in(&world, &token(&world, "mel").await).await;
    let mut text = key.to_text().to_string();
    let other = if &text[40..41] == "A" { "B" } else { "A" };
    text.replace_range(40..41, other);
    let forged = SessionKey::parse(&text).unwrap();
    assert!(matches!(world.store.session(&forged, None).await, Err(AuthError::Unknown)));
}

#[tokio::test]
async fn idle_or_late_it_is_over_and_use_keeps_it_until_then() {
    let world = World::new().await;
    let issued = token(&world, "mel").await;
    let idle = log_in(&world, &issued).await;
    world.clock.advance(SESSION_IDLE);
    assert!(matches!(world.store.session(&idle, None).await, Err(AuthError::Expired)));

    let used = log_in(&world, &issued).await;
    for _ in 0..(SESSION_LONGEST.as_secs() / 1200 - 1) {
        world.clock.advance(20 * MINUTE);
        world.store.session(&used, None).await.unwrap();
    }
    world.clock.advance(20 * MINUTE);
    assert!(matches!(world.store.session(&used, None).await, Err(AuthError::Expired)));
}

#[tokio::test]
async fn it_ends_with_its_token_its_member_or_the_tokens_time() {
    let world = World::new().await;
    let ends = async |key: &SessionKey| world.store.session(key, None).await.is_err();

    let issued = token(&world, "mel").await;
    let key = log_in(&world, &issued).await;
    world.store.revoke_token(&world.admin, issued.token.id).await.unwrap();
    assert!(ends(&key).await);

    let key = log_in(&world, &token(&world, "mia").await).await;
    world.store.remove_member(&world.admin, &member("mia")).await.unwrap();
    assert!(ends(&key).await);

    let new = NewToken { ttl: Some(MINUTE), ..NewToken::default() };
    let short = world.store.create_token(&world.admin, new, None).await.unwrap();
    let key = log_in(&world, &short).await;
    world.clock.advance(MINUTE);
    assert!(ends(&key).await);
}

#[tokio::test]
async fn logging_out_ends_one_and_everywhere_ends_all_of_that_member_alone() {
    let world = World::new().await;
    let (mel, mia) = (token(&world, "mel").await, token(&world, "mia").await);
    let (first, second, third) =
        (log_in(&world, &mel).await, log_in(&world, &mel).await, log_in(&world, &mel).await);
    let others = log_in(&world, &mia).await;
    let caller = world.store.session(&first, None).await.unwrap();
    world.store.log_out(&caller, &first).await.unwrap();
    assert!(world.store.session(&first, None).await.is_err());
    assert!(world.store.session(&second, None).await.is_ok());
    assert_eq!(world.store.log_out_everywhere(&caller).await.unwrap(), 2);
    assert!(world.store.session(&second, None).await.is_err());
    assert!(world.store.session(&third, None).await.is_err());
    assert!(world.store.session(&others, None).await.is_ok());
}

#[tokio::test]
async fn logging_in_and_out_is_in_the_audit_log_and_a_ticket_cannot() {
    let world = World::new().await;
    let issued = token(&world, "mel").await;
    let key = log_in(&world, &issued).await;
    let caller = world.store.session(&key, None).await.unwrap();
    world.store.log_out(&caller, &key).await.unwrap();
    let found = world.store.audit(&world.admin, &AuditFilter::default(), PageAsk::default()).await.unwrap();
    let of = |action: AuditAction| {
        let by = found.items.iter().filter(|item| item.event.action == action);
        by.filter(|item| item.event.actor.name.as_ref().is_some_and(|name| name.as_str() == "mel")).count()
    };
    assert_eq!((of(AuditAction::SessionStart), of(AuditAction::SessionEnd)), (1, 1));

    let ticket = world.ticket_for(&caller, NewTicket::default()).await;
    assert_eq!(ticket.kind, CredentialKind::Ticket);
    assert!(world.store.log_in(&ticket, None, "r").await.is_err());
}
