//! The commit of a sign-in: the proof is used, the member is read or created, its role follows the groups, and a session or a
//! token begins. All of it happens, with its audit entries, or none of it.

use std::net::IpAddr;

use crate::domain::audit::{AuditAction, AuditEvent, DetailKey};
use crate::domain::code::Code;
use crate::domain::credential::CredentialKind;
use crate::domain::id::{LinkedAccountId, MemberId};
use crate::domain::name::MemberName;
use crate::domain::role::{MemberKind, Principal, Role};
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::sessions::SessionKey;
use crate::store::rules::sign_in::candidates::{CandidateEntry, OrgCandidate};
use crate::store::rules::sign_in::{
    RoleChange, SignInError, SignInProof, SignInRefusal, SignInRequest, SignInToken, SignedIn,
};
use crate::store::rules::store::Store;
use crate::store::rules::tokens::{NewCredential, TokenIssued};
use crate::store::tables::linked_accounts::{self, LinkedAccountRecord};
use crate::store::tables::members::MemberRecord;
use crate::store::tables::sessions::SessionOrigin;
use crate::store::tables::tokens::TokenRecord;
use crate::store::tables::usage::CountOf;

/// Numbers that are tried behind a name that is taken.
const LAST_SUFFIX: u8 = 9;
/// The longest name that gets a number.
const NAME_ROOM: usize = 62;

/// A sign-in that was decided, as its commit needs it.
struct PreparedSignIn {
    candidate: OrgCandidate,
    proof: SignInProof,
    source: Option<IpAddr>,
    request: String,
    account: LinkedAccountId,
    member: MemberId,
    /// The number of members, where none is stored yet.
    measured: Option<u64>,
}

/// A member that is let in, before the session or token begins.
struct Admitted {
    member: MemberRecord,
    change: RoleChange,
    created: bool,
    /// The entry of the sign-in, for what begins with it too.
    event: AuditEvent,
}

impl Store {
    pub(crate) async fn start_admitted_session(
        &self,
        request: &SignInRequest,
        candidate: OrgCandidate,
    ) -> Result<SignedIn<SessionKey>, SignInError> {
        let prepared = self.prepare_sign_in(request, candidate).await?;
        let org = prepared.candidate.org.clone();
        let key = SessionKey::generate(self);
        let session = key.start(SessionOrigin::Account(prepared.account), Some((org.id, prepared.member)));
        let admitted = self.journal().run(Vec::new(), move |tx| {
            let admitted = prepared.run(tx)?;
            let event = admitted.event.clone().detail(DetailKey::Expires, session.put(tx)?);
            tx.audit(event.clone());
            tx.audit(AuditEvent { action: AuditAction::SessionStart, ..event });
            Ok::<_, Stop<SignInError>>(admitted)
        });
        let Admitted { member, change, created, .. } = admitted.await?;
        Ok(SignedIn { opened: key, member: member.name, org: org.name, role: member.role, change, created })
    }

    pub(crate) async fn create_admitted_token(
        &self,
        request: &SignInRequest,
        candidate: OrgCandidate,
        token: SignInToken,
    ) -> Result<SignedIn<TokenIssued>, SignInError> {
        let prepared = self.prepare_sign_in(request, candidate).await?;
        let (org, member) = (prepared.candidate.org.clone(), prepared.member);
        self.recount_if_full::<TokenRecord>(org.id, member, &org.policy).await?;
        let new = NewCredential::new(self, CredentialKind::Member);
        let credential = new.credential();
        let (id, policy) = (org.id, org.policy);
        let created = self.journal().run(Vec::new(), move |tx| {
            let admitted = prepared.run(tx)?;
            let expires_at = tx.now().plus(token.lifetime);
            let label = token.label.clone();
            let mut record = TokenRecord {
                label,
                expires_at: Some(expires_at),
                ..TokenRecord::new(&new, Some((id, member)), Some(member), tx.now())
            };
            record.put_new(tx)?;
            tx.check_active_quota::<TokenRecord>(id, member, &policy).map_err(refuse_by_rule)?;
            let event = admitted.event.clone().detail(DetailKey::Expires, expires_at);
            tx.audit(event.clone());
            let about = Some(target::token(record.id));
            tx.audit(AuditEvent { action: AuditAction::TokenCreate, target: about, ..event });
            Ok::<_, Stop<SignInError>>((admitted, record))
        });
        let (Admitted { member, change, created, .. }, record) = created.await?;
        let name = Some(member.name.clone());
        let opened = TokenIssued { token: record.into_token(name.clone(), name), credential };
        Ok(SignedIn { opened, member: member.name, org: org.name, role: member.role, change, created })
    }

    async fn prepare_sign_in(
        &self,
        request: &SignInRequest,
        candidate: OrgCandidate,
    ) -> Result<PreparedSignIn, SignInError> {
        // Ids are drawn before the commit, which may run more than once.
        let (account, member, measured) = match candidate.entry {
            CandidateEntry::Linked { account, member } => (account, member, None),
            CandidateEntry::New => (
                LinkedAccountId::from_bytes(self.records().random_bytes()),
                MemberId::from_bytes(self.records().random_bytes()),
                self.measure_records(candidate.org.id, CountOf::Members).await?,
            ),
        };
        let SignInRequest { proof, source, request, .. } = request.clone();
        Ok(PreparedSignIn { candidate, proof, source, request, account, member, measured })
    }
}

impl PreparedSignIn {
    fn run(&self, tx: &mut Tx<'_>) -> Result<Admitted, Stop<SignInError>> {
        if let Some(fault) = tx.use_proof(&self.proof)? {
            return Err(SignInError::Proof(fault).into());
        }
        let org = self.candidate.org.id;
        let (mut member, created) = match self.candidate.entry {
            CandidateEntry::Linked { .. } => (self.enter(tx)?, false),
            CandidateEntry::New => (self.create(tx)?, true),
        };
        // In the commit that lets the member in: no session starts with a role that the groups have taken away.
        let change = tx.follow_role(org, &mut member, self.candidate.role).map_err(refuse_by_rule)?;
        if let RoleChange::Changed { .. } = change {
            tx.put(&tx.records().member(org, member.id), &member)?;
        }
        let caller = self.caller(&member);
        self.record_change(tx, &caller, &member, change);
        let event = caller.event(AuditAction::SignIn).about(target::account(self.account));
        let event = event.detail(DetailKey::Provider, &self.proof.account.provider);
        let event = event.detail(DetailKey::Method, self.proof.method);
        Ok(Admitted { member, change, created, event })
    }

    /// Reads the member that the account is linked to, and notes the use of the account.
    fn enter(&self, tx: &mut Tx<'_>) -> Result<MemberRecord, Stop<SignInError>> {
        let org = self.candidate.org.id;
        let account_key = linked_accounts::linked_account(self.account);
        let member_key = tx.records().member(org, self.member);
        tx.need([account_key.to_vec(), member_key.to_vec()])?;
        // Both may have changed since the decision: the person unlinked the account, or an admin removed the member.
        let account = tx.get(&account_key)?.filter(|account| account.member == self.member);
        let account = account.ok_or(SignInError::Refused(SignInRefusal::Unlinked))?;
        let member = tx.get(&member_key)?.filter(|member| member.removed_at.is_none());
        let member = member.ok_or(SignInError::Refused(SignInRefusal::Removed))?;
        if member.kind != MemberKind::Person {
            return Err(SignInError::Refused(SignInRefusal::NotPerson).into());
        }
        tx.put(&account_key, &LinkedAccountRecord { used_at: Some(tx.now()), ..account })?;
        Ok(member)
    }

    /// Creates a member, and links the account to it.
    fn create(&self, tx: &mut Tx<'_>) -> Result<MemberRecord, Stop<SignInError>> {
        let (org, account) = (&self.candidate.org, &self.proof.account);
        let name = self.free_name(tx)?.ok_or(SignInError::NoName)?;
        let records = tx.records();
        // Another sign-in of the same account may have been faster: its member must not get a twin.
        if tx.has(&records.account_subject(&account.issuer, &account.subject, org.id))? {
            let why = "another sign-in of this account was under way: sign in again";
            return Err(SignInError::Rule(Error::Conflict { why }).into());
        }
        let role = self.candidate.role.unwrap_or(Role::Member);
        // Without an enrolment: the provider has proved who this is, and no code is to be redeemed.
        let member = MemberRecord::new(self.member, name, role, tx.now());
        let quota = org.policy.quotas.members;
        tx.count_new(org.id, CountOf::Members, self.measured, quota).map_err(refuse_by_rule)?;
        tx.put(&records.member_name(org.id, &member.name), &member.id)?;
        tx.put(&records.member(org.id, member.id), &member)?;
        if role == Role::Admin {
            tx.count_admins(org.id, 1).map_err(refuse_by_rule)?;
        }
        let record = LinkedAccountRecord::of(account, self.account, (org.id, member.id), tx.now());
        tx.put_account(&LinkedAccountRecord { used_at: Some(tx.now()), ..record })?;
        let caller = self.caller(&member);
        let event = caller.event(AuditAction::MemberCreate).about(target::member(member.id, &member.name));
        let event = event.detail(DetailKey::Role, role).detail(DetailKey::State, member.kind);
        tx.audit(event.detail(DetailKey::Provider, &account.provider));
        let event = caller.event(AuditAction::AccountLink).about(target::account(self.account));
        let event = event.detail(DetailKey::Provider, &account.provider);
        tx.audit(event.detail(DetailKey::Subject, &account.subject));
        Ok(member)
    }

    /// The first name like the provider's that no member has: `ada`, then `ada-2` and so on.
    fn free_name(&self, tx: &mut Tx<'_>) -> Result<Option<MemberName>, Stop<SignInError>> {
        let Some(name) = &self.proof.account.member_name else { return Ok(None) };
        let room = name.as_str().len().min(NAME_ROOM);
        // A name is ASCII, so that every cut is between characters.
        let numbered = (2..=LAST_SUFFIX).map(|n| format!("{}-{n}", &name.as_str()[..room]));
        let names: Vec<MemberName> =
            [name.clone()].into_iter().chain(numbered.filter_map(|name| name.parse().ok())).collect();
        let records = tx.records();
        let keys: Vec<_> =
            names.iter().map(|name| records.member_name(self.candidate.org.id, name)).collect();
        tx.need(keys.iter().map(|key| key.to_vec()))?;
        for (name, key) in names.into_iter().zip(&keys) {
            // The commit requires that the name stays absent.
            if !tx.has(key)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Records what the groups did to the role.
    fn record_change(&self, tx: &mut Tx<'_>, caller: &Caller, member: &MemberRecord, change: RoleChange) {
        let event = caller.event(AuditAction::MemberEdit).about(target::member(member.id, &member.name));
        let event = event.detail(DetailKey::Provider, &self.proof.account.provider);
        match change {
            RoleChange::Unchanged => {}
            RoleChange::Changed { from } => {
                tx.audit(event.detail(DetailKey::Role, member.role).detail(DetailKey::Previous, from));
            }
            // On record, so that somebody appoints another admin.
            RoleChange::KeptLastAdmin { granted } => {
                tx.audit(event.detail(DetailKey::Role, granted).failed(Code::LastAdmin));
            }
        }
    }

    /// The member, with the account as its credential.
    fn caller(&self, member: &MemberRecord) -> Caller {
        let MemberRecord { id, name, role, kind, .. } = member.clone();
        let org = &self.candidate.org;
        let principal = Principal::Member { org: org.id, id, name, role, kind };
        Caller::new(principal, Some(org.name.clone()), org.policy.clone(), self.source)
            .with_credential(self.account, Some(id))
            .with_request_id(&self.request)
    }
}

/// Passes a refusal of a rule on as one of the sign-in.
fn refuse_by_rule(stop: Stop<Error>) -> Stop<SignInError> {
    match stop {
        Stop::Refused(error) => Stop::Refused(error.into()),
        Stop::Missing => Stop::Missing,
        Stop::Failed(failure) => Stop::Failed(failure),
    }
}
