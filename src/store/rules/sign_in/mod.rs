//! Sign-in of people by OIDC: from an account that a provider has proved to a member, and to a session or a token.
//!
//! A person is bound by issuer and subject, never by a name or an e-mail, which a provider may give to somebody else. A proof is
//! used once. Never talks to a provider, and keeps nothing of one but the subject and a name for people.

mod admission;
mod candidates;
mod error;
mod role;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use self::candidates::{ClosedOrg, OrgCandidate};
pub use self::error::{ProofFault, SignInError, SignInRefusal};
use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::name::{Label, MemberName, OrgName, ProviderName};
use crate::domain::provider::{ProvenAccount, SignInMethod};
use crate::domain::role::Role;
use crate::domain::time::Timestamp;
use crate::store::engine::journal::{Halt, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::auth::anonymous_event;
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

    async fn choose_candidate(&self, request: &SignInRequest) -> Result<OrgCandidate, SignInError> {
        let candidates = self.sign_in_candidates(&request.proof).await?;
        let is_chosen =
            |candidate: &OrgCandidate| request.org.as_ref().is_none_or(|org| *org == candidate.org.name);
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
