//! The caller of an operation: who it is, where it asks from, and what it may do.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::audit::{
    Actor, ActorKind, AuditAction, AuditEvent, AuditText, DetailKey, Outcome, Target,
};
use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::role::{Action, Denied, OrgPolicy, Principal, Role, decide};
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::tickets::TicketRecord;

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

    pub(crate) fn new(
        principal: Principal,
        org: Option<OrgName>,
        policy: OrgPolicy,
        source: Option<IpAddr>,
    ) -> Self {
        Self { principal, org, policy, ticket: None, source, request: None }
    }

    /// Adds the record of the ticket that the caller is.
    pub(crate) fn with_ticket(mut self, ticket: TicketRecord) -> Self {
        self.ticket = Some(Arc::new(ticket));
        self
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

    /// An audit event of this caller. The journal sets its time.
    pub(crate) fn event(&self, action: AuditAction) -> AuditEvent {
        let (kind, name, id) = match &self.principal {
            Principal::Operator => (ActorKind::Operator, None, None),
            // Both name and id: the name may pass to another member later.
            Principal::Member { id, name, .. } => (ActorKind::Member, Some(name.into()), Some(id.into())),
            // The name is that of the member that the ticket acts for.
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
    pub(crate) fn record_denial_in_background(&self, event: AuditEvent) {
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
