//! Sign-in of people: from an account that a provider has proved to a member with a role, or to a refusal with its reason.

use super::*;
use crate::domain::audit::{AuditEvent, DetailKey, Outcome};
use crate::domain::provider::{OrgGrant, ProvenAccount, SignInMethod};
use crate::domain::role::Principal;

pub(super) const LIFETIME: Duration = Duration::from_secs(600);

/// An account of the provider `corp`. The organization `default` gets its roles from there.
pub(super) fn account(subject: &str, grants: &[(&str, Role)]) -> ProvenAccount {
    ProvenAccount {
        provider: "corp".parse().unwrap(),
        issuer: "https://id.example".parse().unwrap(),
        subject: subject.parse().unwrap(),
        shown: Some("Ada".parse().unwrap()),
        member_name: Some(member("ada")),
        grants: grants.iter().map(|(name, role)| OrgGrant { org: org(name), role: *role }).collect(),
    }
}

impl World {
    /// A proof that was never used.
    pub(super) fn proof(&self, account: ProvenAccount) -> SignInProof {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&LAST.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        let governed = account.grants.iter().map(|grant| grant.org.clone()).chain([org("default")]).collect();
        let expires_at = self.clock.now().plus(LIFETIME);
        SignInProof { id, expires_at, account, governed, method: SignInMethod::Console }
    }

    pub(super) fn request(&self, account: ProvenAccount) -> SignInRequest {
        let source = Some([192, 0, 2, 7].into());
        SignInRequest { proof: self.proof(account), org: None, source, request: "r1".to_owned() }
    }

    pub(super) async fn sign_in(&self, account: ProvenAccount) -> Result<SignedIn<SessionKey>, SignInError> {
        self.store.sign_in_to_console(&self.request(account)).await
    }

    pub(super) async fn create_at_sign_in(&self, by: &Caller, create: bool) {
        let change = PolicyChange { create_at_sign_in: Some(create), ..PolicyChange::default() };
        self.store.set_policy(by, change).await.unwrap();
    }

    pub(super) async fn link(&self, by: &Caller, account: ProvenAccount) -> LinkedAccount {
        self.store.link_account(by, self.proof(account)).await.unwrap()
    }

    /// The entries of the log whose action begins like this, newest first, once none is waiting to be written.
    pub(super) async fn entries(&self, by: &Caller, action: &str) -> Vec<AuditEvent> {
        let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
        let mut events = Vec::new();
        // Denials are recorded in the background.
        for _ in 0..100 {
            let page =
                self.store.audit(by, &filter, PageAsk { cursor: None, limit: Some(1000) }).await.unwrap();
            events = page.items.into_iter().map(|item| item.event).collect::<Vec<_>>();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        events
    }
}

pub(super) fn refusal<T: std::fmt::Debug>(outcome: Result<T, SignInError>) -> SignInRefusal {
    match outcome.unwrap_err() {
        SignInError::Refused(why) => why,
        error => panic!("{error:?}"),
    }
}

fn detail(event: &AuditEvent, key: DetailKey) -> &str {
    event.details.get(&key).map_or("", |text| text.as_str())
}

/// The reasons of the refused sign-ins in a log, newest first.
async fn reasons(world: &World, by: &Caller) -> Vec<String> {
    let entries = world.entries(by, "sign_in").await;
    let refused = entries.into_iter().filter(|event| event.outcome == Outcome::Denied);
    refused.map(|event| detail(&event, DetailKey::Reason).to_owned()).collect()
}

#[tokio::test]
async fn nobody_becomes_a_member_unless_the_organization_says_so_and_a_group_maps() {
    let world = World::new().await;
    let staff = || account("s-ada", &[("default", Role::Member)]);
    assert_eq!(refusal(world.sign_in(staff()).await), SignInRefusal::Unknown);
    world.create_at_sign_in(&world.admin, true).await;
    assert_eq!(refusal(world.sign_in(account("s-ada", &[])).await), SignInRefusal::Unknown);
    // An organization that the configuration names and that does not exist.
    assert_eq!(
        refusal(world.sign_in(account("s-ada", &[("nowhere", Role::Admin)])).await),
        SignInRefusal::Unknown
    );

    let signed_in = world.sign_in(staff()).await.unwrap();
    assert!(signed_in.created && signed_in.member == member("ada") && signed_in.role == Role::Member);
    let caller = world.store.session(&signed_in.opened, None).await.unwrap();
    assert!(matches!(caller.principal(), Principal::Member { name, .. } if *name == member("ada")));
    // The same person again: nobody new.
    let again = world.sign_in(staff()).await.unwrap();
    assert!(!again.created && again.member == member("ada"));
    // Another person with the same names: the subject decides.
    let other = world.sign_in(account("s-other", &[("default", Role::Auditor)])).await.unwrap();
    assert!(other.created && other.member == member("ada-2") && other.role == Role::Auditor);
    assert_eq!(reasons(&world, &world.admin).await, ["unknown_person"]);
    // The others name no organization that exists: only the operator learns of them.
    assert_eq!(reasons(&world, &world.operator).await, ["unknown_person"; 3]);
}

#[tokio::test]
async fn a_member_with_the_name_or_address_of_an_account_is_not_its_person() {
    let world = World::new().await;
    world.create_at_sign_in(&world.admin, true).await;
    let ada = world.member("ada", Role::Admin).await;
    let signed_in = world.sign_in(account("s-eve", &[("default", Role::Member)])).await.unwrap();
    assert_eq!((signed_in.created, signed_in.member), (true, member("ada-2")));
    // The same subject of another provider is somebody else, too.
    world.link(&ada, account("s-ada", &[])).await;
    let elsewhere = ProvenAccount {
        issuer: "https://evil.example".parse().unwrap(),
        ..account("s-ada", &[("default", Role::Member)])
    };
    assert_eq!(world.sign_in(elsewhere).await.unwrap().member, member("ada-3"));
    // Where all names like it are taken, nobody is created.
    for n in 4..=9 {
        world.member(&format!("ada-{n}"), Role::Member).await;
    }
    let full = world.sign_in(account("s-late", &[("default", Role::Member)])).await;
    assert!(matches!(full, Err(SignInError::NoName)), "{full:?}");
    let nameless = ProvenAccount { member_name: None, ..account("s-x", &[("default", Role::Member)]) };
    assert!(matches!(world.sign_in(nameless).await, Err(SignInError::NoName)));
}

#[tokio::test]
async fn the_role_follows_the_groups_at_each_sign_in() {
    let world = World::new().await;
    let ada = world.member("ada", Role::Admin).await;
    world.link(&ada, account("s-ada", &[])).await;
    let session = world.sign_in(account("s-ada", &[("default", Role::Admin)])).await.unwrap();
    assert_eq!(session.change, RoleChange::Unchanged);
    // What is lost at the provider is lost here, for sessions and tokens that are open too.
    let demoted = world.sign_in(account("s-ada", &[("default", Role::Auditor)])).await.unwrap();
    assert_eq!((demoted.role, demoted.change), (Role::Auditor, RoleChange::Changed { from: Role::Admin }));
    let caller = world.store.session(&session.opened, None).await.unwrap();
    assert!(matches!(caller.principal(), Principal::Member { role: Role::Auditor, .. }));
    let promoted = world.sign_in(account("s-ada", &[("default", Role::Admin)])).await.unwrap();
    assert_eq!(promoted.change, RoleChange::Changed { from: Role::Auditor });
    let entries = world.entries(&world.admin, "member.edit").await;
    let roles: Vec<_> =
        entries.iter().map(|e| (detail(e, DetailKey::Previous), detail(e, DetailKey::Role))).collect();
    assert_eq!(roles, [("auditor", "admin"), ("admin", "auditor")]);
    assert!(entries.iter().all(|event| detail(event, DetailKey::Provider) == "corp"));

    // Without any of the groups that the organization gets its roles from, nobody comes in.
    assert_eq!(refusal(world.sign_in(account("s-ada", &[])).await), SignInRefusal::NoGroup);
    assert_eq!(reasons(&world, &world.admin).await, ["no_group"]);
    // Where the groups decide nothing, they change nothing.
    let mut request = world.request(account("s-ada", &[("default", Role::Member)]));
    request.proof.governed.clear();
    let signed_in = world.store.sign_in_to_console(&request).await.unwrap();
    assert_eq!((signed_in.role, signed_in.change), (Role::Admin, RoleChange::Unchanged));
    // The rows of the number of admins are right: one of the two can go, and not both.
    world.store.set_role(&world.admin, &member("ada"), Role::Member).await.unwrap();
    let last = world.store.set_role(&world.admin, &member("admin"), Role::Member).await;
    assert_eq!(last.unwrap_err().code(), Code::LastAdmin);
}

#[tokio::test]
async fn the_last_admin_stays_one_and_it_is_on_record() {
    let world = World::new().await;
    world.link(&world.admin, account("s-admin", &[])).await;
    let signed_in = world.sign_in(account("s-admin", &[("default", Role::Member)])).await.unwrap();
    assert_eq!(signed_in.role, Role::Admin);
    assert_eq!(signed_in.change, RoleChange::KeptLastAdmin { granted: Role::Member });
    let entries = world.entries(&world.admin, "member.edit").await;
    let [kept] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((kept.outcome, detail(kept, DetailKey::Role)), (Outcome::Failed, "member"));
    // With another admin, the groups decide again.
    world.member("bob", Role::Admin).await;
    let signed_in = world.sign_in(account("s-admin", &[("default", Role::Member)])).await.unwrap();
    assert_eq!(signed_in.change, RoleChange::Changed { from: Role::Admin });
}

#[tokio::test]
async fn a_member_who_is_gone_does_not_come_back_by_a_group() {
    let world = World::new().await;
    world.create_at_sign_in(&world.admin, true).await;
    let staff = || account("s-ada", &[("default", Role::Member)]);
    world.sign_in(staff()).await.unwrap();
    world.store.remove_member(&world.admin, &member("ada")).await.unwrap();
    // At once, and after the background task has deleted the account.
    assert_eq!(refusal(world.sign_in(staff()).await), SignInRefusal::Removed);
    let subjects = world
        .store
        .records()
        .account_subjects(&"https://id.example".parse().unwrap(), &"s-ada".parse().unwrap());
    eventually(|| async {
        let (found, _) = world.store.records().scan_all(&subjects).await.unwrap();
        found.iter().all(|found| found.record.account.is_none())
    })
    .await;
    assert_eq!(refusal(world.sign_in(staff()).await), SignInRefusal::Removed);
    assert_eq!(reasons(&world, &world.admin).await, ["removed", "removed"]);
    // Added again, under a new id, the person links the account again.
    let again = world.member("ada-again", Role::Member).await;
    world.link(&again, account("s-ada", &[])).await;
    assert_eq!(world.sign_in(staff()).await.unwrap().member, member("ada-again"));
}

#[tokio::test]
async fn a_proof_is_used_once_and_in_time() {
    let world = World::new().await;
    let ada = world.member("ada", Role::Member).await;
    world.link(&ada, account("s-ada", &[])).await;
    let staff = account("s-ada", &[("default", Role::Member)]);
    let request = world.request(staff.clone());
    let token = SignInToken { label: None, lifetime: LIFETIME };
    world.store.sign_in_to_console(&request).await.unwrap();
    let fault = |error| match error {
        SignInError::Proof(fault) => fault,
        error => panic!("{error:?}"),
    };
    assert_eq!(fault(world.store.sign_in_to_console(&request).await.unwrap_err()), ProofFault::Used);
    // By another server too, and for another thing.
    let other = world.another().await;
    assert_eq!(fault(other.sign_in_for_token(&request, token).await.unwrap_err()), ProofFault::Used);
    let linked = world.store.link_account(&ada, request.proof.clone()).await;
    assert_eq!(linked.unwrap_err().code(), Code::Conflict);

    let late = world.request(staff);
    world.clock.advance(LIFETIME);
    assert_eq!(fault(world.store.sign_in_to_console(&late).await.unwrap_err()), ProofFault::Expired);
    // What is kept of a used proof goes away after its time, when nothing can be done with it any more.
    world.clock.advance(Duration::from_secs(3600));
    world.store.inner.background.notify_one();
    let used = crate::store::tables::linked_accounts::used_proofs();
    eventually(|| async { world.store.records().scan_all(&used).await.unwrap().0.is_empty() }).await;
    assert_eq!(fault(world.store.sign_in_to_console(&request).await.unwrap_err()), ProofFault::Expired);
}

#[tokio::test]
async fn a_token_of_a_sign_in_is_an_ordinary_one_that_expires() {
    let world = World::new().await;
    let ada = world.member("ada", Role::Member).await;
    world.link(&ada, account("s-ada", &[])).await;
    let request = world.request(account("s-ada", &[("default", Role::Member)]));
    let token = SignInToken { label: "sign-in".parse().ok(), lifetime: LIFETIME };
    let signed_in = world.store.sign_in_for_token(&request, token).await.unwrap();
    assert_eq!(signed_in.opened.token.expires_at, Some(world.clock.now().plus(LIFETIME)));
    let caller = world.store.authenticate(&signed_in.opened.credential, None).await.unwrap();
    world.private(&caller, "stripe", "value").await;
    let entries = world.entries(&world.admin, "token.create").await;
    assert_eq!(detail(&entries[0], DetailKey::Provider), "corp");
    let entries = world.entries(&world.admin, "sign_in").await;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((detail(entry, DetailKey::Method), entry.outcome), ("console", Outcome::Allowed));
    // It outlives the link, and an admin revokes it as any other.
    let [linked] = &world.store.linked_accounts(&ada).await.unwrap()[..] else { panic!() };
    world.store.unlink_account(&ada, linked.id).await.unwrap();
    assert!(world.store.authenticate(&signed_in.opened.credential, None).await.is_ok());
    world.clock.advance(LIFETIME);
    let expired = world.store.authenticate(&signed_in.opened.credential, None).await.unwrap_err();
    assert_eq!(expired.code(), Code::Expired);
}

#[tokio::test]
async fn one_account_opens_several_organizations_each_by_its_own_rule() {
    let world = World::new().await;
    let shop = world.another_admin("shop").await;
    world.create_at_sign_in(&shop, true).await;
    let ada = world.member("ada", Role::Member).await;
    world.link(&ada, account("s-ada", &[])).await;
    let both = || account("s-ada", &[("default", Role::Member), ("shop", Role::Auditor)]);
    let mut request = world.request(both());
    let open = world.store.sign_in_organizations(&request).await.unwrap();
    assert_eq!(open.len(), 2, "{open:?}");
    let unsaid = world.store.sign_in_to_console(&request).await.unwrap_err();
    assert!(matches!(unsaid, SignInError::SeveralOrganizations), "{unsaid:?}");
    request.org = Some(org("shop"));
    let signed_in = world.store.sign_in_to_console(&request).await.unwrap();
    assert_eq!((signed_in.org, signed_in.role, signed_in.created), (org("shop"), Role::Auditor, true));
    let mut request = world.request(both());
    request.org = Some(org("default"));
    assert_eq!(world.store.sign_in_to_console(&request).await.unwrap().member, member("ada"));
    // One that it does not open. Whether it exists is not told.
    let mut request = world.request(both());
    request.org = Some(org("nowhere"));
    assert_eq!(refusal(world.store.sign_in_to_console(&request).await), SignInRefusal::Unknown);
    // Removed from one, the person still opens the other.
    world.store.remove_member(&shop, &member("ada")).await.unwrap();
    assert_eq!(world.sign_in(both()).await.unwrap().org, org("default"));
}

#[tokio::test]
async fn a_quota_of_members_or_tokens_holds_for_sign_ins_too() {
    let world = World::new().await;
    world.create_at_sign_in(&world.admin, true).await;
    let change = QuotasChange { members: Some(2), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), change).await.unwrap();
    world.sign_in(account("s-1", &[("default", Role::Member)])).await.unwrap();
    let full = world.sign_in(account("s-2", &[("default", Role::Member)])).await.unwrap_err();
    assert_eq!(full.code(), Code::OverQuota);
    // The one who is a member comes in.
    world.sign_in(account("s-1", &[("default", Role::Member)])).await.unwrap();
}

#[tokio::test]
async fn two_sign_ins_at_once_make_one_member() {
    let world = World::new().await;
    world.create_at_sign_in(&world.admin, true).await;
    let other = world.another().await;
    let staff = || account("s-ada", &[("default", Role::Member)]);
    let (here, there) = (world.request(staff()), world.request(staff()));
    let (here, there) = tokio::join!(world.store.sign_in_to_console(&here), other.sign_in_to_console(&there));
    // The slower one is told to sign in again, or comes in as the member of the faster one.
    assert!(here.is_ok() || there.is_ok());
    let names = [here, there].into_iter().flatten().map(|signed_in| signed_in.member);
    assert!(names.into_iter().all(|name| name == member("ada")));
    let members = world.store.list_members(&world.admin, PageAsk::default()).await.unwrap();
    assert_eq!(members.items.len(), 2);
}
