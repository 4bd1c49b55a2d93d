//! Authentication: from a credential to a caller.
//!
//! A credential is looked up by its public id, and the hash of its secret part is compared in constant time. An unknown id is
//! compared with zeros, so that neither the time nor the answer reveals whether an id exists.

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
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::error::Error;
use crate::store::rules::members::MemberRecord;
use crate::store::rules::store::Store;
use crate::store::rules::tickets::TicketRecord;
use crate::store::rules::tokens::TokenRecord;
use crate::store::tables::keyspace;

/// An authenticated principal and its address, as of its authentication. A commit reads again only what it depends on.
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
    /// The operator, for what this process does by its own configuration, such as unlocking at its start.
    pub fn this_process() -> Self {
        Self::new(Principal::Operator, None, OrgPolicy::default(), None)
    }

    fn new(principal: Principal, org: Option<OrgName>, policy: OrgPolicy, source: Option<IpAddr>) -> Self {
        Self { principal, org, policy, ticket: None, source, request: None }
    }

    /// Adds the id of the request for the audit log: at most 64 letters, digits and `. _ -`. Other characters are dropped.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        self.request = Some(AuditText::reported_host(id));
        self
    }

    /// The principal.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The peer's address.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// The organization. `None` for the operator.
    pub fn org(&self) -> Option<(OrgId, &OrgName)> {
        Some((self.principal.org()?, self.org.as_ref()?))
    }

    /// The policy of its organization at its authentication. The operator has the default policy.
    pub fn policy(&self) -> &OrgPolicy {
        &self.policy
    }

    /// The member, or the member that the ticket acts for. `None` for the operator.
    pub fn member(&self) -> Option<(MemberId, &MemberName)> {
        match &self.principal {
            Principal::Operator => None,
            Principal::Member { id, name, .. } => Some((*id, name)),
            Principal::Ticket { member, name, .. } => Some((*member, name)),
        }
    }

    /// The role of that member. `None` for the operator.
    pub fn role(&self) -> Option<Role> {
        match &self.principal {
            Principal::Operator => None,
            Principal::Member { role, .. } | Principal::Ticket { role, .. } => Some(*role),
        }
    }

    /// The ticket's id. `None` for other callers.
    pub fn ticket(&self) -> Option<TicketId> {
        match &self.principal {
            Principal::Ticket { id, .. } => Some(*id),
            Principal::Operator | Principal::Member { .. } => None,
        }
    }

    pub(crate) fn ticket_record(&self) -> Option<&Arc<TicketRecord>> {
        self.ticket.as_ref()
    }

    /// The organization. Fails for the operator.
    pub(crate) fn own_org(&self) -> Result<OrgId, Error> {
        self.principal.org().ok_or(Error::Forbidden(Denied::OperatorOutside))
    }

    /// The organization and the member. Fails for the operator.
    pub(crate) fn own_member(&self) -> Result<(OrgId, MemberId), Error> {
        let member = self.principal.member();
        let member = member.ok_or(Error::Forbidden(Denied::OperatorOutside))?;
        Ok((self.own_org()?, member))
    }

    /// The names of the organization and the member. Fails for the operator.
    pub(crate) fn own_names(&self) -> Result<(OrgName, MemberName), Error> {
        match (&self.org, self.member()) {
            (Some(org), Some((_, member))) => Ok((org.clone(), member.clone())),
            _ => Err(Error::Forbidden(Denied::OperatorOutside)),
        }
    }

    /// Whether it may do this. A denial is not recorded.
    pub(crate) fn may(&self, action: Action) -> bool {
        decide(&self.principal, &action, &self.policy).is_ok()
    }

    /// An audit event of this caller. The journal sets its time.
    pub(crate) fn event(&self, action: AuditAction) -> AuditEvent {
        let (kind, name, id) = match &self.principal {
            Principal::Operator => (ActorKind::Operator, None, None),
            // Both name and id: the name may pass to another member later.
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
        .with_request(self.source, self.request.as_ref())
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

/// Why a credential was not accepted. All but `Unknown` and `Failure` require the secret part.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// There is no such credential, or its secret part is wrong. The API counts these for each source.
    #[error("the credential is not known")]
    Unknown,
    /// It has expired.
    #[error("the credential has expired")]
    Expired,
    /// It was revoked, or its member was removed.
    #[error("the credential was revoked")]
    Revoked,
    /// The address is outside the ticket's networks.
    #[error("the credential may not be used from this address")]
    SourceNotAllowed,
    /// The store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl AuthError {
    /// Whether it counts as a guess, which the API slows down for each source.
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
    /// Authenticates a credential. `source` is the peer's address, and `None` on a Unix socket, which is outside every
    /// ticket's networks. Denials are recorded in the audit log, at a bounded rate.
    pub async fn authenticate(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let (about, result) = match credential.kind {
            CredentialKind::Operator | CredentialKind::Member => {
                self.authenticate_token(credential, source).await
            }
            CredentialKind::Ticket => self.authenticate_ticket(credential, source).await,
        };
        // A failure of the store is no denial, and could not be recorded either.
        if let Err(error) = &result
            && !matches!(error, AuthError::Failure(_))
        {
            let event = about.denied(error.code()).with_request(source, None);
            self.record_denial_in_background(event);
        }
        result
    }

    async fn authenticate_token(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let found = self.records().get(&keyspace::token(credential.token_id())).await;
        let token = match verify_secret(credential, found, |token: &TokenRecord| &token.hash) {
            Ok(token) => token,
            Err(error) => return (anonymous_event(), Err(error)),
        };
        let about = anonymous_event().org(token.member.map(|(org, _)| org)).about(target::token(token.id));
        (about, self.check_token(token, source).await)
    }

    pub(crate) async fn check_token(
        &self,
        token: TokenRecord,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        refuse_unusable(token.revoked_at.is_some(), token.expires_at.is_some_and(|at| at <= self.now()))?;
        // The operator belongs to no organization, so that there is nothing else to read.
        let Some((org, member)) = token.member else {
            return Ok(Caller::new(Principal::Operator, None, OrgPolicy::default(), source));
        };
        let (name, policy, member) = self.membership(org, member).await?;
        let MemberRecord { id, name: member, role, .. } = member;
        Ok(Caller::new(Principal::Member { org, id, name: member, role }, Some(name), policy, source))
    }

    async fn authenticate_ticket(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let found = self.records().get(&keyspace::ticket(credential.ticket_id())).await;
        let ticket = match verify_secret(credential, found, |ticket: &TicketRecord| &ticket.hash) {
            Ok(ticket) => ticket,
            Err(error) => return (anonymous_event(), Err(error)),
        };
        let about = anonymous_event().org(Some(ticket.org)).about(target::ticket(ticket.id));
        (about, self.check_ticket(ticket, source).await)
    }

    async fn check_ticket(&self, ticket: TicketRecord, source: Option<IpAddr>) -> Result<Caller, AuthError> {
        refuse_unusable(ticket.revoked_at.is_some(), ticket.expires_at.is_some_and(|at| at <= self.now()))?;
        // A Unix socket has no address, and a ticket with networks is for the network only.
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

    /// The member, and the name and policy of its organization. Fails if the member was removed.
    async fn membership(
        &self,
        org: OrgId,
        member: MemberId,
    ) -> Result<(OrgName, OrgPolicy, MemberRecord), AuthError> {
        let (org_key, member_key) = (keyspace::org(org), self.records().member(org, member));
        // One read for both, because every request pays for it.
        let snapshot = self.records().snapshot(vec![org_key.to_vec(), member_key.to_vec()]).await?;
        let org = snapshot.read(self.records(), 0, &org_key)?.ok_or(Failure::Corrupt)?;
        let member = snapshot.read(self.records(), 1, &member_key)?.ok_or(Failure::Corrupt)?;
        // The member's credentials stop working with its removal, before the background task revokes them.
        if member.removed_at.is_some() {
            return Err(AuthError::Revoked);
        }
        Ok((org.name, org.policy, member))
    }

    /// Refuses an action that the caller may not do. The denial is recorded first, as an attempt at `audit_action`.
    ///
    /// The API calls it too, for what it answers without a rule of the store: the caller's identity and the metrics.
    pub(crate) async fn permit(
        &self,
        caller: &Caller,
        action: Action,
        audit_action: AuditAction,
        target: Option<Target>,
    ) -> Result<(), Error> {
        let Err(denied) = decide(&caller.principal, &action, &caller.policy) else { return Ok(()) };
        // Waited for: a denial that was answered is on record, unless the limit dropped it.
        self.record_denial(caller.event(audit_action).target(target).denied(denied)).await;
        Err(denied.into())
    }

    /// Returns the caller's organization and member. Refuses the operator, and records the attempt.
    pub(crate) async fn require_member(
        &self,
        caller: &Caller,
        audit_action: AuditAction,
    ) -> Result<(OrgId, MemberId), Error> {
        match caller.own_member() {
            Ok(inside) => Ok(inside),
            Err(error) => {
                self.record_denial(caller.event(audit_action).denied(Denied::OperatorOutside)).await;
                Err(error)
            }
        }
    }

    /// Records a denial, at a bounded rate.
    pub(crate) async fn record_denial(&self, event: AuditEvent) {
        if let Some(event) = self.limit_denials(event) {
            // The caller is denied even when this cannot be stored: nothing was done that must be on record.
            let _ = self.journal().record(vec![event]).await;
        }
    }

    /// Whether the caller may see something. A denial is recorded, while the caller gets "not found".
    pub(crate) fn may_see(
        &self,
        caller: &Caller,
        action: Action,
        audit_action: AuditAction,
        target: Target,
    ) -> bool {
        match decide(&caller.principal, &action, &caller.policy) {
            Ok(()) => true,
            Err(denied) => {
                self.record_denial_in_background(caller.event(audit_action).about(target).denied(denied));
                false
            }
        }
    }

    /// Records a denial, at a bounded rate, without making the caller wait.
    fn record_denial_in_background(&self, event: AuditEvent) {
        if let Some(event) = self.limit_denials(event) {
            // In a task: the time of a commit would tell a stranger that an id exists.
            let journal = self.journal().clone();
            tokio::spawn(async move {
                let _ = journal.record(vec![event]).await;
            });
        }
    }

    fn limit_denials(&self, event: AuditEvent) -> Option<AuditEvent> {
        let left_out = self.inner.denials.admit(self.now())?;
        // The next entry counts those that were dropped, so that a flood is visible in the log.
        Some(match left_out {
            0 => event,
            more => event.detail(DetailKey::Count, AuditText::number(more + 1)),
        })
    }
}

/// Returns what was found if the credential's secret part matches its hash.
fn verify_secret<T>(
    credential: &Credential,
    found: Result<Option<T>, Failure>,
    hash: impl Fn(&T) -> &[u8; 32],
) -> Result<T, AuthError> {
    let found = found?;
    // No secret hashes to zeros, so that an unknown id takes the same work and never matches.
    let expected = found.as_ref().map_or(&[0; 32], hash);
    let matches = credential.matches(expected);
    found.filter(|_| matches).ok_or(AuthError::Unknown)
}

fn refuse_unusable(revoked: bool, expired: bool) -> Result<(), AuthError> {
    // Revoked first: that is what the holder of a leaked credential is told, also after it has expired.
    match (revoked, expired) {
        (true, _) => Err(AuthError::Revoked),
        (false, true) => Err(AuthError::Expired),
        (false, false) => Ok(()),
    }
}

fn anonymous_event() -> AuditEvent {
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
