//! Sign-in of people by OIDC: from an account that a provider has proved to a member, and to a session or a token.
//!
//! A person is bound by issuer and subject, never by a name or an e-mail, which a provider may give to somebody else. A proof is
//! used once. Never talks to a provider, and keeps nothing of one but the subject and a name for people.

mod admission;
mod candidates;
mod role;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use self::candidates::{Candidate, ClosedOrg};
use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::code::Code;
use crate::domain::name::{Label, MemberName, OrgName, ProviderName};
use crate::domain::provider::{ProvenAccount, SignInMethod};
use crate::domain::role::Role;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::auth::anonymous_event;
use crate::store::rules::error::Error;
use crate::store::rules::sessions::SessionKey;
use crate::store::rules::store::Store;
use crate::store::rules::tokens::TokenIssued;
use crate::store::tables::linked_accounts::{self, UsedProofRecord};

/// What a provider has proved in one sign-in.
#[derive(Clone, Debug)]
pub struct SignInProof {
    /// Identifies the proof, which is used once.
    pub id: [u8; 16],
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// The account.
    pub account: ProvenAccount,
    /// The organizations whose members get their roles from this provider's groups, by the operator's configuration.
    pub governed: BTreeSet<OrgName>,
    /// How the person signed in.
    pub method: SignInMethod,
}

/// A person who signs in, and where the request came from.
#[derive(Clone, Debug)]
pub struct SignInRequest {
    /// What the provider has proved.
    pub proof: SignInProof,
    /// The organization, if the person has chosen one.
    pub org: Option<OrgName>,
    /// The peer's address.
    pub source: Option<IpAddr>,
    /// The id of the request.
    pub request: String,
}

/// A token that a person signs in for.
#[derive(Clone, Debug)]
pub struct SignInToken {
    /// A note for people.
    pub label: Option<Label>,
    /// How long it is valid.
    pub lifetime: Duration,
}

/// A person who has signed in.
#[derive(Debug)]
pub struct SignedIn<T> {
    /// The session's key, or the token.
    pub opened: T,
    /// The member.
    pub member: MemberName,
    /// Its organization.
    pub org: OrgName,
    /// Its role from now on.
    pub role: Role,
    /// What the sign-in did to its role.
    pub change: RoleChange,
    /// Whether the sign-in created the member.
    pub created: bool,
}

/// What a sign-in did to the role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleChange {
    /// The groups give the same role, or do not decide it.
    Unchanged,
    /// The groups give another role, which the member has now.
    Changed {
        /// The role before.
        from: Role,
    },
    /// The groups give a lesser role, but the member is the last admin of the organization and stays one.
    KeptLastAdmin {
        /// The role that the groups give.
        granted: Role,
    },
}

/// Why an account does not open an organization. In ascending order of how much it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum SignInRefusal {
    /// No member is linked to it, and none is created.
    #[error("no member is linked to your account at the provider")]
    Unknown,
    /// The groups decide who gets in, and none of the person's does.
    #[error("none of your groups at the provider gives access to the organization")]
    NoGroup,
    /// The member became a service.
    #[error("the member that your account was linked to is a service now")]
    NotPerson,
    /// The member unlinked it.
    #[error("your account at the provider was unlinked from its member")]
    Unlinked,
    /// The member was removed.
    #[error("the member that your account was linked to was removed")]
    Removed,
}

/// Why a proof cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// It was used before.
    #[error("this sign-in was already used")]
    Used,
    /// It is too old.
    #[error("this sign-in has expired")]
    Expired,
}

/// Why a person is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The account opens no organization.
    #[error(transparent)]
    Refused(#[from] SignInRefusal),
    /// The proof cannot be used.
    #[error(transparent)]
    Proof(#[from] ProofFault),
    /// The account opens several organizations, and the person has not chosen one.
    #[error("your account belongs to several organizations")]
    SeveralOrganizations,
    /// A new member would have no name, or names like it are taken.
    #[error("the provider names nothing that can be the name of a new member")]
    NoName,
    /// A rule of the store refuses it, such as a quota.
    #[error(transparent)]
    Rule(#[from] Error),
}

impl SignInRefusal {
    /// The stable word for it in the audit log.
    fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_person",
            Self::NoGroup => "no_group",
            Self::NotPerson => "not_person",
            Self::Unlinked => "unlinked",
            Self::Removed => "removed",
        }
    }
}

impl SignInError {
    /// Whether it is a denial, which counts against its source, and not a failure of the store.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Proof(_))
    }
}

impl Coded for SignInError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(_) | Self::Proof(_) | Self::NoName => Code::SignInRefused,
            Self::SeveralOrganizations => Code::Conflict,
            Self::Rule(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Refused(SignInRefusal::Unknown) => {
                "ask an admin to add you; if you have a token, log in with it and link the account yourself"
            }
            Self::Refused(SignInRefusal::NoGroup) => {
                "ask whoever manages the groups at the provider, or use a token of this store"
            }
            Self::Refused(SignInRefusal::Unlinked) => "log in with a token and link the account again",
            Self::Refused(SignInRefusal::NotPerson | SignInRefusal::Removed) => {
                "ask an admin to add you again; an account at the provider does not come back by itself"
            }
            Self::Proof(_) => "sign in again",
            Self::SeveralOrganizations => "choose one of them",
            Self::NoName => "ask an admin to add you, and link the account with your token",
            Self::Rule(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rule(error) => error.retry_after(),
            Self::Refused(_) | Self::Proof(_) | Self::SeveralOrganizations | Self::NoName => None,
        }
    }
}

impl From<Failure> for SignInError {
    fn from(failure: Failure) -> Self {
        Self::Rule(failure.into())
    }
}

impl From<SignInError> for Stop<SignInError> {
    fn from(error: SignInError) -> Self {
        Self::Refused(error)
    }
}

impl Store {
    /// Returns the organizations that the account opens: one or more. Only reads, and does not use the proof.
    pub async fn sign_in_organizations(&self, request: &SignInRequest) -> Result<Vec<OrgName>, SignInError> {
        let candidates = self.sign_in_candidates(&request.proof).await?;
        if candidates.open.is_empty() {
            return Err(self.refuse_sign_in(request, candidates.closed));
        }
        Ok(candidates.open.into_iter().map(|candidate| candidate.org.name).collect())
    }

    /// Signs a person in to the console: starts a session.
    pub async fn sign_in_to_console(
        &self,
        request: &SignInRequest,
    ) -> Result<SignedIn<SessionKey>, SignInError> {
        let candidate = self.choose_candidate(request).await?;
        self.start_admitted_session(request, candidate).await
    }

    /// Signs a person in on the command line: creates a token.
    pub async fn sign_in_for_token(
        &self,
        request: &SignInRequest,
        token: SignInToken,
    ) -> Result<SignedIn<TokenIssued>, SignInError> {
        let candidate = self.choose_candidate(request).await?;
        self.create_admitted_token(request, candidate, token).await
    }

    /// Records a sign-in that was refused before a person was proved. `reason` is a constant of the program.
    pub fn record_refused_sign_in(
        &self,
        provider: Option<&ProviderName>,
        reason: &'static str,
        source: Option<IpAddr>,
        request: &str,
    ) {
        let event = anonymous_event(AuditAction::SignIn).denied(AuditText::word(reason));
        let event = event.with_request(source, Some(&AuditText::reported_host(request)));
        let event = match provider {
            Some(provider) => event.detail(DetailKey::Provider, provider),
            None => event,
        };
        self.record_denial_in_background(event);
    }

    async fn choose_candidate(&self, request: &SignInRequest) -> Result<Candidate, SignInError> {
        let candidates = self.sign_in_candidates(&request.proof).await?;
        let is_chosen =
            |candidate: &Candidate| request.org.as_ref().is_none_or(|org| *org == candidate.org.name);
        let mut open = candidates.open.into_iter().filter(is_chosen);
        match (open.next(), open.next()) {
            (Some(candidate), None) => Ok(candidate),
            (Some(_), Some(_)) => Err(SignInError::SeveralOrganizations),
            (None, _) => Err(self.refuse_sign_in(request, candidates.closed)),
        }
    }

    /// Records the refusal in each organization that it concerns, and returns the one that says most.
    fn refuse_sign_in(&self, request: &SignInRequest, closed: Vec<ClosedOrg>) -> SignInError {
        let why = closed.iter().map(|closed| closed.why).max().unwrap_or(SignInRefusal::Unknown);
        if closed.is_empty() {
            self.record_denial_in_background(refused_event(request, why));
        }
        for ClosedOrg { org, member, why } in closed {
            let event = refused_event(request, why).org(Some(org));
            self.record_denial_in_background(match member {
                Some((id, name)) => event.about(target::member(id, &name)),
                None => event,
            });
        }
        why.into()
    }
}

/// The entry of a refused sign-in of a person whom the provider has proved.
fn refused_event(request: &SignInRequest, why: SignInRefusal) -> AuditEvent {
    let SignInRequest { proof, source, request, .. } = request;
    anonymous_event(AuditAction::SignIn)
        .denied(AuditText::word(why.reason()))
        .with_request(*source, Some(&AuditText::reported_host(request)))
        .detail(DetailKey::Provider, &proof.account.provider)
        // Which account it was: an admin who wants to add the person needs to know that the right one tried.
        .detail(DetailKey::Subject, &proof.account.subject)
        .detail(DetailKey::Method, proof.method)
}

impl Tx<'_> {
    /// Uses a proof up. Returns why it cannot be used, if so.
    pub(crate) fn use_proof(&mut self, proof: &SignInProof) -> Result<Option<ProofFault>, Halt> {
        let key = linked_accounts::used_proof(proof.id);
        if self.has(&key)? {
            return Ok(Some(ProofFault::Used));
        }
        if proof.expires_at <= self.now() {
            return Ok(Some(ProofFault::Expired));
        }
        // Not stored before this: whoever starts a sign-in is a stranger, and must not make the store write.
        self.put(&key, &UsedProofRecord { expires_at: proof.expires_at })?;
        Ok(None)
    }
}

impl UsedProofRecord {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}
