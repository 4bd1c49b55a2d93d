//! The caller of an operation: who it is, its source address, and its permissions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::crypto::sealed_release::statement::StatementHash;
use crate::domain::audit::{
    Actor, ActorKind, AuditAction, AuditEvent, AuditText, DetailKey, Outcome, Target,
};
use crate::domain::id::{MemberId, OrgId, TicketId, TokenId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::resolve::{ResolveRequest, SharedAddresses};
use crate::domain::role::{
    Action, BootSubject, Denied, MemberKind, OrgPolicy, Principal, Role, ScopeSubject, Subject, decide,
};
use crate::domain::secret::{Scope, SecretMeta};
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::boots::BootRecord;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::TicketRecord;

/// An authenticated principal and its address, as of its authentication. A commit reads again only what it depends on.
#[derive(Clone)]
pub struct Caller {
    principal: Principal,
    org: Option<OrgName>,
    policy: OrgPolicy,
    ticket: Option<Arc<TicketRecord>>,
    credential: Option<ActingCredential>,
    /// The services that the member manages.
    manages: Arc<BTreeSet<MemberId>>,
    source: Option<IpAddr>,
    request: Option<AuditText>,
    /// What a caller with a proof states. It is executed once.
    statement: Option<StatementHash>,
}

/// The credential that authenticated a caller, as every audit entry names it.
#[derive(Clone)]
struct ActingCredential {
    id: AuditText,
    author: AuditText,
    author_id: Option<MemberId>,
}

impl Caller {
    /// The operator, for what this process does by its own configuration, such as unlocking at its start.
    pub fn this_process() -> Self {
        Self::new(Principal::Operator, None, OrgPolicy::default(), None)
    }

    pub(crate) fn new(
        principal: Principal,
        org: Option<OrgName>,
        policy: OrgPolicy,
        source: Option<IpAddr>,
    ) -> Self {
        let (ticket, credential, request, manages) = (None, None, None, Arc::default());
        Self { principal, org, policy, ticket, credential, manages, source, request, statement: None }
    }

    /// Adds the record of the ticket that the caller is.
    pub(crate) fn with_ticket(mut self, ticket: TicketRecord) -> Self {
        self.ticket = Some(Arc::new(ticket));
        self
    }

    /// Adds what the caller's proof states.
    pub(crate) fn with_statement(mut self, statement: StatementHash) -> Self {
        self.statement = Some(statement);
        self
    }

    /// What the caller's proof states. `None` for a bearer credential.
    pub(crate) fn statement(&self) -> Option<StatementHash> {
        self.statement
    }

    /// Adds the id of the credential that was presented, and who created it. A member's credential without an author is
    /// from before authors were stored.
    pub(crate) fn with_credential(mut self, id: impl Into<AuditText>, author_id: Option<MemberId>) -> Self {
        let author = match (author_id, &self.principal) {
            (Some(author), _) => author.into(),
            (None, Principal::Operator | Principal::Metrics) => AuditText::word("operator"),
            (None, Principal::Member { .. } | Principal::Ticket { .. } | Principal::Boot { .. }) => {
                AuditText::word("unknown")
            }
        };
        self.credential = Some(ActingCredential { id: id.into(), author, author_id });
        self
    }

    /// The author of what the caller creates. A service has no will of its own: what it creates with a token is by the
    /// manager who created the token, so that it ends with what that manager created.
    pub(crate) fn author_of_creations(&self) -> Option<MemberId> {
        let own = self.principal.member();
        let of_token = self.credential.as_ref().and_then(|credential| credential.author_id);
        if self.kind() == Some(MemberKind::Service) { of_token.or(own) } else { own }
    }

    /// Adds the services that the member manages.
    pub(crate) fn with_managed(mut self, manages: BTreeSet<MemberId>) -> Self {
        self.manages = Arc::new(manages);
        self
    }

    /// Adds the id of the request for the audit log: at most 64 letters, digits and `. _ -`. Other characters are dropped.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        // With the characters of a host name only, so that a client cannot forge lines of a log.
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
            Principal::Operator | Principal::Metrics => None,
            Principal::Member { id, name, .. } => Some((*id, name)),
            Principal::Ticket { member, name, .. } | Principal::Boot { member, name, .. } => {
                Some((*member, name))
            }
        }
    }

    /// The role of that member. `None` for the operator.
    pub fn role(&self) -> Option<Role> {
        match &self.principal {
            Principal::Operator | Principal::Metrics | Principal::Boot { .. } => None,
            Principal::Member { role, .. } | Principal::Ticket { role, .. } => Some(*role),
        }
    }

    /// What that member is. `None` for the operator.
    pub fn kind(&self) -> Option<MemberKind> {
        match &self.principal {
            Principal::Operator | Principal::Metrics | Principal::Boot { .. } => None,
            Principal::Member { kind, .. } | Principal::Ticket { kind, .. } => Some(*kind),
        }
    }

    /// A boot's request, as the member that it acts for needs it.
    pub(crate) fn restrict(&self, request: ResolveRequest) -> ResolveRequest {
        match self.kind() {
            // The managers of a service answer for its private secrets and for the addresses.
            Some(MemberKind::Service) => {
                let referenced_as = BTreeMap::new();
                ResolveRequest { addresses: SharedAddresses::All, referenced_as, ..request }
            }
            Some(MemberKind::Person | MemberKind::Launcher) | None => request,
        }
    }

    /// The services that it manages.
    pub fn manages(&self) -> &BTreeSet<MemberId> {
        &self.manages
    }

    /// The caller's relation to a member, as of the caller's authentication. Commits check it again.
    pub fn subject(&self, member: MemberId) -> Subject {
        if self.principal.member() == Some(member) {
            Subject::Own
        } else if self.manages.contains(&member) {
            Subject::Managed
        } else {
            Subject::Other
        }
    }

    /// As [`subject`](Self::subject), for a member whose record was read: a launcher learns whether it was accepted.
    pub(crate) fn subject_of(&self, member: &MemberRecord) -> Subject {
        let launcher = self.kind() == Some(MemberKind::Launcher);
        let accepted = self.principal.member().is_some_and(|own| member.accepts.contains_key(&own));
        if launcher && accepted { Subject::Accepted } else { self.subject(member.id) }
    }

    /// The caller's relation to a boot.
    pub(crate) fn boot_subject(&self, boot: &BootRecord) -> BootSubject {
        let is_author = match &self.principal {
            Principal::Member { id, .. } => boot.author == Some(*id),
            Principal::Operator | Principal::Metrics | Principal::Ticket { .. } | Principal::Boot { .. } => {
                false
            }
        };
        BootSubject { boot: boot.id, member: self.subject(boot.member.0), is_author, is_of_removed: false }
    }

    /// The caller's relation to a ticket or boot that acts for a member. A launcher's is `Accepted` if it created it, and `Other`
    /// otherwise.
    pub(crate) fn subject_of_creation(&self, member: MemberId, author: Option<MemberId>) -> Subject {
        match (self.kind(), &self.principal) {
            (Some(MemberKind::Launcher), Principal::Member { id, .. }) if author == Some(*id) => {
                Subject::Accepted
            }
            (Some(MemberKind::Launcher), _) => Subject::Other,
            _ => self.subject(member),
        }
    }

    /// The caller's relation to a scope, and to a new secret in it.
    pub fn scope_subject(&self, scope: Scope) -> ScopeSubject {
        match scope {
            Scope::Shared => ScopeSubject::Shared,
            Scope::Private(owner) => ScopeSubject::Private(self.subject(owner)),
        }
    }

    /// The caller's relation to a secret.
    pub fn secret_subject(&self, secret: &SecretMeta) -> ScopeSubject {
        match secret.scope {
            // Who deposited the current value: a secret that an admin took over is the admin's.
            Scope::Shared if self.principal.member() != Some(secret.author) => ScopeSubject::SharedByOther,
            scope @ (Scope::Shared | Scope::Private(_)) => self.scope_subject(scope),
        }
    }

    /// The id of the credential that was presented. `None` for this process itself.
    pub(crate) fn credential_id(&self) -> Option<&AuditText> {
        self.credential.as_ref().map(|credential| &credential.id)
    }

    /// The id of the token that was presented. `None` for other credentials.
    pub(crate) fn token(&self) -> Option<TokenId> {
        self.credential.as_ref()?.id.as_str().parse().ok()
    }

    /// The ticket's id. `None` for other callers.
    pub fn ticket(&self) -> Option<TicketId> {
        match &self.principal {
            Principal::Ticket { id, .. } => Some(*id),
            Principal::Operator | Principal::Metrics | Principal::Member { .. } | Principal::Boot { .. } => {
                None
            }
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
        // Both or neither: every principal with an organization is or acts for a member.
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

    /// Refuses an action inside a commit, about what the commit has read. The attempt is not recorded: the decision before the
    /// commit was another one, so that this caller lost a race.
    pub(crate) fn recheck(&self, action: Action) -> Result<(), Error> {
        decide(&self.principal, &action, &self.policy).map_err(Error::Forbidden)
    }

    /// An audit event of this caller. The journal sets its time.
    pub(crate) fn event(&self, action: AuditAction) -> AuditEvent {
        let (kind, name, id) = match &self.principal {
            // The operator is a role and no member: there is no name to record.
            Principal::Operator => (ActorKind::Operator, None, None),
            Principal::Metrics => (ActorKind::Metrics, None, None),
            // Both name and id: the name may pass to another member later.
            Principal::Member { id, name, .. } => (ActorKind::Member, Some(name.into()), Some(id.into())),
            // The name is that of the member that the ticket acts for.
            Principal::Ticket { id, name, .. } => (ActorKind::Ticket, Some(name.into()), Some(id.into())),
            Principal::Boot { id, name, .. } => (ActorKind::Boot, Some(name.into()), Some(id.into())),
        };
        let event = AuditEvent {
            at: crate::store::rules::audit::unset(),
            org: self.principal.org(),
            actor: Actor { kind, name, id },
            action,
            target: None,
            outcome: Outcome::Allowed,
            details: Default::default(),
        }
        .with_request(self.source, self.request.as_ref());
        let event = match &self.principal {
            // By id, so that the member finds every boot that acted for it.
            Principal::Ticket { member, .. } | Principal::Boot { member, .. } => {
                event.detail(DetailKey::MemberId, member)
            }
            Principal::Operator | Principal::Metrics | Principal::Member { .. } => event,
        };
        // Absent only for what this process does by its own configuration.
        let Some(ActingCredential { id, author, .. }) = &self.credential else { return event };
        event.detail(DetailKey::Credential, id.clone()).detail(DetailKey::Author, author.clone())
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

impl Store {
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
        // Waited for: a denial that was answered is on record, or counted.
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
}
