//! Who is asking: credentials to callers.
//!
//! Looked up by public id; the secret part is compared as a hash in constant time, for an unknown id against a made-up
//! one, so that neither time nor answer tells whether an id exists.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::audit::{
    Actor, ActorKind, AuditAction, AuditEvent, AuditText, DetailKey, Outcome, Target,
};
use crate::domain::code::Code;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::role::{Action, Denied, OrgPolicy, Principal, Role, decide};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::{Tell, target};
use crate::store::rules::error::Error;
use crate::store::rules::members::MemberRecord;
use crate::store::rules::store::Store;
use crate::store::rules::tickets::TicketRecord;
use crate::store::rules::tokens::TokenRecord;
use crate::store::tables::keyspace;

/// A principal that has proved itself, and where it asks from. As of that moment: nothing of it is looked up again but
/// what a commit must be sure of.
#[derive(Clone)]
pub struct Caller {
    principal: Principal,
    org: Option<OrgName>,
    policy: OrgPolicy,
    ticket: Option<Arc<TicketRecord>>,
    source: Option<IpAddr>,
    request: Option<AuditText>,
}

impl Caller {
    /// The operator as this very process: for what its own configuration asks for, such as unlocking at the start.
    pub fn this_process() -> Self {
        Self::new(Principal::Operator, None, OrgPolicy::default(), None)
    }

    fn new(principal: Principal, org: Option<OrgName>, policy: OrgPolicy, source: Option<IpAddr>) -> Self {
        Self { principal, org, policy, ticket: None, source, request: None }
    }

    /// With an id of the request, for the audit trail: at most 64 letters, digits and `. _ -`, the rest is dropped.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        self.request = Some(AuditText::reported_host(id));
        self
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The peer's address.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// The organization; none for the operator.
    pub fn org(&self) -> Option<(OrgId, &OrgName)> {
        Some((self.principal.org()?, self.org.as_ref()?))
    }

    /// The policy of its organization when it was authenticated; the default one for the operator.
    pub fn policy(&self) -> &OrgPolicy {
        &self.policy
    }

    /// The member that it is or acts for; none for the operator.
    pub fn member(&self) -> Option<(MemberId, &MemberName)> {
        match &self.principal {
            Principal::Operator => None,
            Principal::Member { id, name, .. } => Some((*id, name)),
            Principal::Ticket { member, name, .. } => Some((*member, name)),
        }
    }

    /// The role of the member that it is or acts for; none for the operator.
    pub fn role(&self) -> Option<Role> {
        match &self.principal {
            Principal::Operator => None,
            Principal::Member { role, .. } | Principal::Ticket { role, .. } => Some(*role),
        }
    }

    /// The ticket, when it is one.
    pub fn ticket(&self) -> Option<TicketId> {
        match &self.principal {
            Principal::Ticket { id, .. } => Some(*id),
            Principal::Operator | Principal::Member { .. } => None,
        }
    }

    pub(crate) fn ticket_record(&self) -> Option<&Arc<TicketRecord>> {
        self.ticket.as_ref()
    }

    /// The organization, which every member and ticket has.
    pub(crate) fn own_org(&self) -> Result<OrgId, Error> {
        self.principal.org().ok_or(Error::Forbidden(Denied::OperatorOutside))
    }

    /// As [`own_org`](Self::own_org), with the member.
    pub(crate) fn own_member(&self) -> Result<(OrgId, MemberId), Error> {
        let member = self.principal.member();
        let member = member.ok_or(Error::Forbidden(Denied::OperatorOutside))?;
        Ok((self.own_org()?, member))
    }

    /// Whether it may, without a record of the question.
    pub(crate) fn may(&self, action: Action) -> bool {
        decide(&self.principal, &action, &self.policy).is_ok()
    }

    /// An event that this caller causes. The journal says when.
    pub(crate) fn event(&self, action: AuditAction) -> AuditEvent {
        let (kind, name, id) = match &self.principal {
            Principal::Operator => (ActorKind::Operator, None, None),
            Principal::Member { id, name, .. } => (ActorKind::Member, Some(name.into()), Some(id.into())),
            Principal::Ticket { id, name, .. } => (ActorKind::Ticket, Some(name.into()), Some(id.into())),
        };
        AuditEvent {
            at: crate::store::rules::audit::unset(),
            org: self.principal.org(),
            actor: Actor { kind, name, id },
            action,
            target: None,
            outcome: Outcome::Allowed,
            details: Default::default(),
        }
        .asked(self.source, self.request.as_ref())
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("principal", &self.principal)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Why a credential was not accepted. All but `Unknown` and `Failure` are told only to who has the secret part.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No such credential, or its secret part is wrong. Count these per source.
    #[error("the credential is not known")]
    Unknown,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
    /// It was revoked, or its member removed.
    #[error("the credential was revoked")]
    Revoked,
    /// A ticket, asked from outside its networks.
    #[error("the credential may not be used from this address")]
    SourceNotAllowed,
    /// The store could not look.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl AuthError {
    /// Whether it counts as a guess, which the API slows per source.
    pub fn is_guess(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl Coded for AuthError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown => Code::Unauthorized,
            Self::Expired => Code::Expired,
            Self::Revoked => Code::Revoked,
            Self::SourceNotAllowed => Code::SourceNotAllowed,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unknown => "check that the credential is whole, and of this store",
            Self::Expired | Self::Revoked => "ask an admin for a new one",
            Self::SourceNotAllowed => "ask an admin for a ticket that this network may use",
            Self::Failure(failure) => return failure.hint(),
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Failure(failure) => failure.retry_after(),
            _ => None,
        }
    }
}

impl Store {
    /// The caller that `credential` stands for. `source` is the peer's address; none on a Unix socket, which no network
    /// restriction of a ticket allows. Denials are in the audit trail, at a bounded rate.
    pub async fn authenticate(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let (about, result) = match credential.kind {
            CredentialKind::Operator | CredentialKind::Member => self.by_token(credential, source).await,
            CredentialKind::Ticket => self.by_ticket(credential, source).await,
        };
        if let Err(error) = &result
            && !matches!(error, AuthError::Failure(_))
        {
            let event = about.denied(error.code()).asked(source, None);
            self.deny_aside(event);
        }
        result
    }

    async fn by_token(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let found = self.records().get(&keyspace::token(credential.token_id())).await;
        let token = match matching(credential, found, |token: &TokenRecord| &token.hash) {
            Ok(token) => token,
            Err(error) => return (nobody(), Err(error)),
        };
        let about = nobody().org(token.member.map(|(org, _)| org)).about(target::token(token.id));
        (about, self.judge_token(token, source).await)
    }

    pub(crate) async fn judge_token(
        &self,
        token: TokenRecord,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        usable(token.revoked_at.is_some(), token.expires_at.is_some_and(|at| at <= self.now()))?;
        let Some((org, member)) = token.member else {
            return Ok(Caller::new(Principal::Operator, None, OrgPolicy::default(), source));
        };
        let (name, policy, member) = self.membership(org, member).await?;
        let MemberRecord { id, name: member, role, .. } = member;
        Ok(Caller::new(Principal::Member { org, id, name: member, role }, Some(name), policy, source))
    }

    async fn by_ticket(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let found = self.records().get(&keyspace::ticket(credential.ticket_id())).await;
        let ticket = match matching(credential, found, |ticket: &TicketRecord| &ticket.hash) {
            Ok(ticket) => ticket,
            Err(error) => return (nobody(), Err(error)),
        };
        let about = nobody().org(Some(ticket.org)).about(target::ticket(ticket.id));
        (about, self.judge_ticket(ticket, source).await)
    }

    async fn judge_ticket(&self, ticket: TicketRecord, source: Option<IpAddr>) -> Result<Caller, AuthError> {
        usable(ticket.revoked_at.is_some(), ticket.expires_at.is_some_and(|at| at <= self.now()))?;
        let inside = |source: IpAddr| ticket.sources.iter().any(|network| network.contains(source));
        if !ticket.sources.is_empty() && !source.is_some_and(inside) {
            return Err(AuthError::SourceNotAllowed);
        }
        let (name, policy, member) = self.membership(ticket.org, ticket.member).await?;
        let principal = Principal::Ticket {
            org: ticket.org,
            id: ticket.id,
            member: member.id,
            name: member.name,
            role: member.role,
        };
        let caller = Caller::new(principal, Some(name), policy, source);
        Ok(Caller { ticket: Some(Arc::new(ticket)), ..caller })
    }

    /// The member and what its organization decided, if it still is one.
    async fn membership(
        &self,
        org: OrgId,
        member: MemberId,
    ) -> Result<(OrgName, OrgPolicy, MemberRecord), AuthError> {
        let (org_key, member_key) = (keyspace::org(org), self.records().member(org, member));
        let snapshot = self.records().snapshot(vec![org_key.to_vec(), member_key.to_vec()]).await?;
        let org = snapshot.read(self.records(), 0, &org_key)?.ok_or(Failure::Corrupt)?;
        let member = snapshot.read(self.records(), 1, &member_key)?.ok_or(Failure::Corrupt)?;
        if member.removed_at.is_some() {
            return Err(AuthError::Revoked);
        }
        Ok((org.name, org.policy, member))
    }

    /// Decides, and records a denial before it answers with it.
    pub(crate) async fn permit(
        &self,
        caller: &Caller,
        action: Action,
        told: AuditAction,
        target: Option<Target>,
    ) -> Result<(), Error> {
        let Err(denied) = decide(&caller.principal, &action, &caller.policy) else { return Ok(()) };
        self.record_denial(caller.event(told).target(target).denied(denied)).await;
        Err(denied.into())
    }

    /// The caller's organization and member; the operator has neither, and its attempt is recorded.
    pub(crate) async fn insider(
        &self,
        caller: &Caller,
        told: AuditAction,
    ) -> Result<(OrgId, MemberId), Error> {
        match caller.own_member() {
            Ok(inside) => Ok(inside),
            Err(error) => {
                self.record_denial(caller.event(told).denied(Denied::OperatorOutside)).await;
                Err(error)
            }
        }
    }

    /// Records a denial, unless there were too many lately. That it could not be stored does not make it less of one.
    pub(crate) async fn record_denial(&self, event: AuditEvent) {
        if let Some(event) = self.few_denials(event) {
            let _ = self.journal().record(vec![event]).await;
        }
    }

    /// Whether the caller may see something; that it may not is recorded, while the caller is told that it is not there.
    pub(crate) fn may_see(&self, caller: &Caller, action: Action, told: AuditAction, target: Target) -> bool {
        match decide(&caller.principal, &action, &caller.policy) {
            Ok(()) => true,
            Err(denied) => {
                self.deny_aside(caller.event(told).about(target).denied(denied));
                false
            }
        }
    }

    /// As [`record_denial`](Self::record_denial), without making the caller wait: a stranger must not learn from the time taken.
    fn deny_aside(&self, event: AuditEvent) {
        if let Some(event) = self.few_denials(event) {
            let journal = self.journal().clone();
            tokio::spawn(async move {
                let _ = journal.record(vec![event]).await;
            });
        }
    }

    fn few_denials(&self, event: AuditEvent) -> Option<AuditEvent> {
        let left_out = self.inner.denials.admit(self.now())?;
        Some(match left_out {
            0 => event,
            more => event.detail(DetailKey::Count, AuditText::number(more + 1)),
        })
    }
}

/// What was found, if the credential is the one it was stored for.
fn matching<T>(
    credential: &Credential,
    found: Result<Option<T>, Failure>,
    hash: impl Fn(&T) -> &[u8; 32],
) -> Result<T, AuthError> {
    // Nothing hashes to zeros: the same work for an id that does not exist.
    let found = found?;
    let expected = found.as_ref().map_or(&[0; 32], hash);
    let matches = credential.matches(expected);
    found.filter(|_| matches).ok_or(AuthError::Unknown)
}

fn usable(revoked: bool, expired: bool) -> Result<(), AuthError> {
    match (revoked, expired) {
        (true, _) => Err(AuthError::Revoked),
        (false, true) => Err(AuthError::Expired),
        (false, false) => Ok(()),
    }
}

fn nobody() -> AuditEvent {
    AuditEvent {
        at: crate::store::rules::audit::unset(),
        org: None,
        actor: Actor { kind: ActorKind::Nobody, name: None, id: None },
        action: AuditAction::Authenticate,
        target: None,
        outcome: Outcome::Denied,
        details: Default::default(),
    }
}
