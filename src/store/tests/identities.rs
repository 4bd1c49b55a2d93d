//! Identities whose proof is a token: who may have them, which tokens they accept, and for whom they boot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::domain::audit::DetailKey;
use crate::domain::id::IdentityId;
use crate::domain::identity::IdentityKind;
use crate::domain::jwt::{IssuerSpec, JwtAlgorithm, TokenRefusal, VerifiedToken};
use crate::store::MachineIdentity;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

fn spec(url: &str) -> IssuerSpec {
    IssuerSpec {
        url: url.parse().unwrap(),
        algorithms: BTreeSet::from([JwtAlgorithm::Rs256]),
        authorities: None,
        keys: None,
    }
}

/// An identity for the service account `api` in the namespace `prod`.
fn kubernetes(of: Option<&str>) -> NewIdentity {
    let claims = [("namespace", "prod"), ("service-account", "api")];
    NewIdentity {
        limits: NewTicket { member: of.map(member), ..NewTicket::default() },
        template: "kubernetes".to_owned(),
        issuer: Some("cluster".parse().unwrap()),
        audience: None,
        claims: claims.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        for_each: None,
        single_use: false,
    }
}

/// A token as verification leaves it.
fn token(namespace: &str, account: &str, number: u8) -> VerifiedToken {
    let claims = json!({
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": account } },
    });
    let Value::Object(claims) = claims else { unreachable!() };
    VerifiedToken {
        subject: format!("system:serviceaccount:{namespace}:{account}"),
        claims,
        expires_at: Timestamp::from_millis(1_800_000_600_000),
        digest: [number; 32],
    }
}

async fn with_issuer() -> World {
    let world = World::new().await;
    let name = "cluster".parse().unwrap();
    world.store.put_issuer(&world.admin, &name, spec("https://cluster.example")).await.unwrap();
    world
}

/// A service that the admin manages, who logs in again: a caller knows what it managed when it was authenticated.
async fn service(world: &mut World, name: &str) {
    let new = NewMember::service(member(name), [member("admin")].into());
    world.store.create_member(&world.admin, new, None).await.unwrap();
    let token = world.store.create_token(&world.admin, NewToken::default(), None).await.unwrap();
    world.admin = world.store.authenticate(&token.credential, None).await.unwrap();
}

async fn create(world: &World, caller: &Caller, new: NewIdentity) -> MachineIdentity {
    world.store.create_identity(caller, new, None).await.unwrap()
}

fn id(identity: &MachineIdentity) -> IdentityId {
    identity.grant.id.into()
}

async fn present(
    world: &World,
    identity: IdentityId,
    verified: Result<VerifiedToken, TokenRefusal>,
) -> Result<Caller, AuthError> {
    let claimed = world.store.claimed_identity(identity, Some(HERE)).await?;
    world.store.authenticate_by_token(claimed, verified, Some(HERE)).await
}

async fn boot(world: &World, caller: &Caller) -> Result<Vec<String>, BootError> {
    let released = world.store.boot(caller, BootAsk::default()).await?;
    Ok(released.receipt.entries.iter().map(|entry| entry.env.to_string()).collect())
}

/// The reasons of refused tokens, oldest first.
async fn reasons(world: &World) -> Vec<String> {
    world.store.record_all_limited_events().await;
    let filter = AuditFilter { action: Some("authenticate".to_owned()), ..AuditFilter::default() };
    let found = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    let check = |item: &AuditItem| item.event.details.get(&DetailKey::Check).map(ToString::to_string);
    found.iter().rev().filter_map(check).collect()
}

#[tokio::test]
async fn a_machine_boots_with_a_token_and_no_secret() {
    let mut world = with_issuer().await;
    service(&mut world, "prod-api").await;
    world.shared("one", "1").await;
    let created = create(&world, &world.admin, kubernetes(Some("prod-api"))).await;
    assert_eq!(created.kind, IdentityKind::Jwt);
    let tokens = created.tokens.as_ref().unwrap();
    assert_eq!(tokens.audience, format!("dropsafe:{}", world.store.id()));
    assert!(!tokens.suspended && created.grant.usable);

    let machine = present(&world, id(&created), Ok(token("prod", "api", 1))).await.unwrap();
    assert_eq!(boot(&world, &machine).await.unwrap(), ["ONE"]);
    // Any number of times, like an unlimited ticket.
    assert_eq!(boot(&world, &machine).await.unwrap(), ["ONE"]);

    let filter = AuditFilter { action: Some("boot".to_owned()), ..AuditFilter::default() };
    let entries = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    let credential = entries[0].event.details[&DetailKey::Credential].to_string();
    assert_eq!(credential, id(&created).to_string());
    assert_eq!(entries[0].event.actor.kind.to_string(), "identity");

    // Its ticket form is no ticket, and has no secret that could be guessed.
    let ticket = world.store.ticket(&world.admin, created.grant.id).await;
    assert_eq!(ticket.unwrap_err().code(), Code::NotFound);
    let forged = Credential::new(
        crate::domain::credential::CredentialKind::Ticket,
        *created.grant.id.as_bytes(),
        Zeroizing::new([0; 32]),
    );
    assert_eq!(world.store.authenticate(&forged, None).await.unwrap_err().code(), Code::Unauthorized);
    let tickets = world.store.list_tickets(&world.admin, None, PageAsk::default()).await.unwrap();
    assert!(tickets.items.is_empty());
    let all = world.store.list_identities(&world.admin, None, PageAsk::default()).await.unwrap();
    assert_eq!(all.items.len(), 1);
}

#[tokio::test]
async fn other_tokens_are_refused_and_only_the_audit_log_says_why() {
    let mut world = with_issuer().await;
    service(&mut world, "prod-api").await;
    let created = create(&world, &world.admin, kubernetes(Some("prod-api"))).await;
    let ticket = world.store.create_ticket(&world.admin, NewTicket::default(), None).await.unwrap().ticket;
    let codes = [
        present(&world, id(&created), Ok(token("dev", "api", 1))).await,
        present(&world, id(&created), Ok(token("prod", "other", 2))).await,
        present(&world, id(&created), Err(TokenRefusal::Expired)).await,
        present(&world, id(&created), Err(TokenRefusal::WrongAudience)).await,
        // A ticket has no issuer, and an unknown identity looks the same.
        present(&world, ticket.id.into(), Ok(token("prod", "api", 3))).await,
        present(&world, IdentityId::from_bytes([9; 16]), Ok(token("prod", "api", 4))).await,
    ]
    .map(|refused| refused.unwrap_err().code());
    assert_eq!(codes, [Code::Unauthorized; 6]);
    let reasons = reasons(&world).await;
    for reason in ["claim_differs", TokenRefusal::Expired.reason(), TokenRefusal::WrongAudience.reason()] {
        assert!(reasons.iter().any(|found| found == reason), "{reason}: {reasons:?}");
    }
}

#[tokio::test]
async fn a_claim_names_the_service_among_those_that_the_identity_was_given() {
    let mut world = with_issuer().await;
    for name in ["prod", "dev", "other"] {
        service(&mut world, name).await;
        let owner = Some(member(name));
        let own = NewSecret { owner, ..new_secret(&format!("of-{name}"), ScopeKind::Private, "1") };
        world.store.create_secret(&world.admin, own, None).await.unwrap();
    }
    let claims = BTreeMap::from([("service-account".to_owned(), "api".to_owned())]);
    let services = [member("prod"), member("dev")].into();
    let for_each = Some(("namespace".to_owned(), services));
    let created = create(&world, &world.admin, NewIdentity { claims, for_each, ..kubernetes(None) }).await;
    for (namespace, name) in [("prod", "OF_PROD"), ("dev", "OF_DEV")] {
        let machine = present(&world, id(&created), Ok(token(namespace, "api", 1))).await.unwrap();
        assert_eq!(machine.member().unwrap().1.as_str(), namespace);
        assert_eq!(boot(&world, &machine).await.unwrap(), [name]);
    }
    for namespace in ["other", "admin", "unknown"] {
        let refused = present(&world, id(&created), Ok(token(namespace, "api", 1))).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthorized, "{namespace}");
    }
    // After its manager was dismissed, the identity acts for this service no more.
    let bob = world.member("bob", Role::Member).await;
    world.store.add_manager(&world.admin, &member("dev"), &member("bob")).await.unwrap();
    world.store.remove_manager(&world.admin, &member("dev"), &member("admin")).await.unwrap();
    let refused = present(&world, id(&created), Ok(token("dev", "api", 1))).await;
    assert_eq!(refused.unwrap_err().code(), Code::Revoked);
    assert!(present(&world, id(&created), Ok(token("prod", "api", 1))).await.is_ok());
    // Who does not manage all of the services creates none.
    let claims = BTreeMap::from([("service-account".to_owned(), "api".to_owned())]);
    let for_each = Some(("namespace".to_owned(), [member("prod"), member("dev")].into()));
    let new = NewIdentity { claims, for_each, ..kubernetes(None) };
    let refused = world.store.create_identity(&bob, new, None).await;
    assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn an_identity_for_several_services_goes_on_without_one_of_them() {
    let mut world = with_issuer().await;
    for name in ["prod", "dev"] {
        service(&mut world, name).await;
    }
    let claims = BTreeMap::from([("service-account".to_owned(), "api".to_owned())]);
    let for_each = Some(("namespace".to_owned(), [member("prod"), member("dev")].into()));
    let created = create(&world, &world.admin, NewIdentity { claims, for_each, ..kubernetes(None) }).await;
    let services = async || {
        let shown = world.store.identity(&world.admin, id(&created)).await.unwrap();
        let tokens = shown.tokens.unwrap();
        assert!(!tokens.suspended);
        tokens.for_each.unwrap().1.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(services().await, ["dev", "prod"]);
    for (removed, left) in [("dev", &["prod"][..]), ("prod", &[])] {
        world.store.remove_member(&world.admin, &member(removed)).await.unwrap();
        world.store.clear_removed_members().await.unwrap();
        assert_eq!(services().await, left);
        let refused = present(&world, id(&created), Ok(token(removed, "api", 1))).await;
        assert!(refused.is_err());
        let other = present(&world, id(&created), Ok(token("prod", "api", 1))).await;
        assert_eq!(other.is_ok(), left == ["prod"]);
    }
    let shown = world.store.identity(&world.admin, id(&created)).await.unwrap();
    assert!(shown.grant.revoked_at.is_some() && shown.grant.member == member("admin"));
}

#[tokio::test]
async fn nobody_gets_an_identity_that_acts_for_another_person() {
    let world = with_issuer().await;
    let bob = world.member("bob", Role::Member).await;
    let refused = world.store.create_identity(&world.admin, kubernetes(Some("bob")), None).await;
    assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
    // Nor by a claim, not even its own.
    let for_each = Some(("namespace".to_owned(), [member("bob")].into()));
    let claims = BTreeMap::from([("service-account".to_owned(), "api".to_owned())]);
    let new = NewIdentity { claims, for_each, ..kubernetes(None) };
    let refused = world.store.create_identity(&bob, new, None).await;
    assert!(matches!(refused.unwrap_err(), Error::Invalid { field: "services", .. }));
    create(&world, &bob, kubernetes(None)).await;
    let refused = world.store.put_issuer(&bob, &"own".parse().unwrap(), spec("https://own.example")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
}

/// Otherwise an admin who points the issuer at a server of their own would boot as every person who relies on it.
#[tokio::test]
async fn a_changed_issuer_suspends_the_identities_of_persons_until_they_confirm() {
    let mut world = with_issuer().await;
    let bob = world.member("bob", Role::Member).await;
    service(&mut world, "prod-api").await;
    let of_bob = create(&world, &bob, kubernetes(None)).await;
    let of_service = create(&world, &world.admin, kubernetes(Some("prod-api"))).await;
    assert!(present(&world, id(&of_bob), Ok(token("prod", "api", 1))).await.is_ok());

    let name = "cluster".parse().unwrap();
    world.store.put_issuer(&world.admin, &name, spec("https://evil.example")).await.unwrap();
    let refused = present(&world, id(&of_bob), Ok(token("prod", "api", 1))).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthorized);
    assert_eq!(reasons(&world).await, ["issuer_changed"]);
    assert!(present(&world, id(&of_service), Ok(token("prod", "api", 1))).await.is_ok());
    assert!(world.store.identity(&bob, id(&of_bob)).await.unwrap().tokens.unwrap().suspended);

    let now = spec("https://evil.example").digest();
    let by_admin = world.store.confirm_identity(&world.admin, id(&of_bob), now).await;
    assert_eq!(by_admin.unwrap_err().code(), Code::Forbidden);
    // Not what it was before, nor what an admin puts there while the person looks at it.
    let earlier = spec("https://cluster.example").digest();
    let stale = world.store.confirm_identity(&bob, id(&of_bob), earlier).await;
    assert_eq!(stale.unwrap_err().code(), Code::Conflict);
    let confirmed = world.store.confirm_identity(&bob, id(&of_bob), now).await.unwrap();
    assert!(!confirmed.tokens.unwrap().suspended);
    assert!(present(&world, id(&of_bob), Ok(token("prod", "api", 1))).await.is_ok());
    // The same again is no change.
    world.store.put_issuer(&world.admin, &name, spec("https://evil.example")).await.unwrap();
    assert!(present(&world, id(&of_bob), Ok(token("prod", "api", 1))).await.is_ok());

    world.store.remove_issuer(&world.admin, &name).await.unwrap();
    let refused = present(&world, id(&of_service), Ok(token("prod", "api", 1))).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthorized);
}

#[tokio::test]
async fn a_single_use_token_boots_once_with_all_of_its_tries() {
    let mut world = with_issuer().await;
    service(&mut world, "prod-api").await;
    world.shared("one", "1").await;
    let new = NewIdentity { single_use: true, ..kubernetes(Some("prod-api")) };
    let created = create(&world, &world.admin, new).await;
    let machine = present(&world, id(&created), Ok(token("prod", "api", 1))).await.unwrap();
    let attempt = |key: &str| BootAsk { attempt: Some(key.to_owned()), ..BootAsk::default() };
    let first = world.store.boot(&machine, attempt("one")).await.unwrap();
    // Its response was lost.
    let again = world.store.boot(&machine, attempt("one")).await.unwrap();
    assert_eq!(first.boot, again.boot);
    for ask in [attempt("two"), BootAsk::default()] {
        let refused = world.store.boot(&machine, ask).await.unwrap_err();
        assert!(matches!(refused, BootError::TokenUsed), "{refused:?}");
    }
    let other = present(&world, id(&created), Ok(token("prod", "api", 2))).await.unwrap();
    world.store.boot(&other, attempt("three")).await.unwrap();
}

#[tokio::test]
async fn limits_and_revocation_are_those_of_tickets() {
    let mut world = with_issuer().await;
    service(&mut world, "prod-api").await;
    world.shared("one", "1").await;
    let limits = NewTicket {
        member: Some(member("prod-api")),
        uses: Some(1),
        sources: vec!["192.0.2.0/24".parse().unwrap()],
        ..NewTicket::default()
    };
    let created = create(&world, &world.admin, NewIdentity { limits, ..kubernetes(None) }).await;
    let claimed = world.store.claimed_identity(id(&created), None).await.unwrap();
    let elsewhere = world.store.authenticate_by_token(claimed, Ok(token("prod", "api", 1)), None).await;
    assert_eq!(elsewhere.unwrap_err().code(), Code::SourceNotAllowed);
    let machine = present(&world, id(&created), Ok(token("prod", "api", 1))).await.unwrap();
    boot(&world, &machine).await.unwrap();
    assert_eq!(boot(&world, &machine).await.unwrap_err().code(), Code::TicketSpent);

    let created = create(&world, &world.admin, kubernetes(Some("prod-api"))).await;
    let machine = present(&world, id(&created), Ok(token("prod", "api", 1))).await.unwrap();
    world.store.revoke_identity(&world.admin, id(&created)).await.unwrap();
    assert_eq!(boot(&world, &machine).await.unwrap_err().code(), Code::Revoked);
    let refused = present(&world, id(&created), Ok(token("prod", "api", 1))).await;
    assert_eq!(refused.unwrap_err().code(), Code::Revoked);
}

#[tokio::test]
async fn a_repeated_creation_is_answered_with_the_same_identity() {
    let world = with_issuer().await;
    let (store, admin) = (&world.store, &world.admin);
    let first = store.create_identity(admin, kubernetes(None), Some("k")).await.unwrap();
    let again = store.create_identity(admin, kubernetes(None), Some("k")).await.unwrap();
    assert_eq!(first.grant.id, again.grant.id);
    let other = NewIdentity { single_use: true, ..kubernetes(None) };
    let refused = store.create_identity(admin, other, Some("k")).await;
    assert_eq!(refused.unwrap_err().code(), Code::IdempotencyMismatch);
}

#[tokio::test]
async fn what_a_template_requires_is_demanded() {
    let world = with_issuer().await;
    let claims = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    for (new, field) in [
        (NewIdentity { template: "nowhere".to_owned(), ..kubernetes(None) }, "template"),
        (NewIdentity { issuer: None, ..kubernetes(None) }, "issuer"),
        (NewIdentity { audience: Some("a#b".to_owned()), ..kubernetes(None) }, "audience"),
    ] {
        let refused = world.store.create_identity(&world.admin, new, None).await.unwrap_err();
        assert!(
            matches!(refused, Error::Invalid { field: found, .. } if found == field),
            "{field}: {refused:?}"
        );
    }
    for pairs in [&[("namespace", "prod")][..], &[("nothing", "x")]] {
        let new = NewIdentity { claims: claims(pairs), ..kubernetes(None) };
        let refused = world.store.create_identity(&world.admin, new, None).await.unwrap_err();
        assert!(matches!(refused, Error::Template(_)), "{refused:?}");
    }
    let new = NewIdentity { issuer: Some("unknown".parse().unwrap()), ..kubernetes(None) };
    let refused = world.store.create_identity(&world.admin, new, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test]
async fn used_tokens_are_forgotten_when_they_have_expired() {
    let mut world = with_issuer().await;
    service(&mut world, "prod-api").await;
    let new = NewIdentity { single_use: true, ..kubernetes(Some("prod-api")) };
    let created = create(&world, &world.admin, new).await;
    let machine = present(&world, id(&created), Ok(token("prod", "api", 1))).await.unwrap();
    boot(&world, &machine).await.unwrap();
    let count = async || {
        world.store.records().scan_all(&crate::store::tables::issuers::used_tokens()).await.unwrap().0.len()
    };
    assert_eq!(count().await, 1);
    world.clock.advance(Duration::from_secs(24 * 3600));
    let is_over = crate::store::tables::issuers::UsedTokenRecord::is_over;
    let prefix = crate::store::tables::issuers::used_tokens();
    world.store.delete_expired(&prefix, is_over).await.unwrap();
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn an_unreachable_issuer_is_no_denial() {
    let world = with_issuer().await;
    let created = create(&world, &world.admin, kubernetes(None)).await;
    let outage = TokenRefusal::Issuer(crate::domain::jwt::IssuerFault::Unreachable);
    let refused = present(&world, id(&created), Err(outage)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!refused.is_denial() && refused.retry_after().is_some());
}
