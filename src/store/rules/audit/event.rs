//! Building audit events.

use std::net::IpAddr;

use crate::domain::audit::{AuditEvent, AuditText, DetailKey, Outcome, Target};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::time::Timestamp;

/// The time of an event until the journal sets it.
pub(crate) fn unset() -> Timestamp {
    Timestamp::from_millis(0)
}

/// Adds parts to an event.
pub(crate) trait EventBuilder: Sized {
    fn org(self, org: Option<OrgId>) -> Self;
    fn about(self, target: Target) -> Self;
    fn target(self, target: Option<Target>) -> Self;
    fn detail(self, key: DetailKey, text: impl Into<AuditText>) -> Self;
    /// Adds the member that is concerned: the name for people, and the id because the name may pass to another member.
    fn member(self, id: MemberId, name: &MemberName) -> Self;
    /// Adds the address and the id of the request.
    fn with_request(self, source: Option<IpAddr>, request: Option<&AuditText>) -> Self;
    /// Makes it a denial, with its reason.
    fn denied(self, reason: impl Into<AuditText>) -> Self;
    /// Makes it a failure, with its reason.
    fn failed(self, reason: impl Into<AuditText>) -> Self;
}

impl EventBuilder for AuditEvent {
    fn org(mut self, org: Option<OrgId>) -> Self {
        self.org = org;
        self
    }

    fn about(self, target: Target) -> Self {
        self.target(Some(target))
    }

    fn target(mut self, target: Option<Target>) -> Self {
        self.target = target;
        self
    }

    fn detail(mut self, key: DetailKey, text: impl Into<AuditText>) -> Self {
        self.details.insert(key, text.into());
        self
    }

    fn member(self, id: MemberId, name: &MemberName) -> Self {
        self.detail(DetailKey::Member, name).detail(DetailKey::MemberId, id)
    }

    fn with_request(mut self, source: Option<IpAddr>, request: Option<&AuditText>) -> Self {
        // A Unix socket has no address.
        if let Some(source) = source {
            self = self.detail(DetailKey::Source, AuditText::address(source));
        }
        if let Some(request) = request {
            self = self.detail(DetailKey::Request, request.clone());
        }
        self
    }

    fn denied(mut self, reason: impl Into<AuditText>) -> Self {
        self.outcome = Outcome::Denied;
        self.detail(DetailKey::Reason, reason)
    }

    fn failed(mut self, reason: impl Into<AuditText>) -> Self {
        self.outcome = Outcome::Failed;
        self.detail(DetailKey::Reason, reason)
    }
}

/// The objects of events.
pub(crate) mod target {
    use crate::domain::audit::{AuditText, Target, TargetKind};
    use crate::domain::id::{
        BootId, EnrolmentId, IdentityId, LinkedAccountId, MemberId, OrgId, SecretId, SlotId, TicketId,
        TokenId,
    };
    use crate::domain::name::{Category, IssuerName, MemberName, OrgName, PluginName, SecretName};

    pub(crate) fn org(id: OrgId, name: &OrgName) -> Target {
        // Name and id: the name is for people, and may later belong to something else.
        named(TargetKind::Org, name, id)
    }

    pub(crate) fn member(id: MemberId, name: &MemberName) -> Target {
        named(TargetKind::Member, name, id)
    }

    pub(crate) fn secret(id: SecretId, name: &SecretName) -> Target {
        named(TargetKind::Secret, name, id)
    }

    pub(crate) fn secret_named(name: &SecretName) -> Target {
        // For a deposit that is refused: there is no secret with an id yet.
        Target { kind: TargetKind::Secret, name: Some(name.into()), id: None }
    }

    pub(crate) fn secret_id(id: SecretId) -> Target {
        bare(TargetKind::Secret, id)
    }

    pub(crate) fn token(id: TokenId) -> Target {
        bare(TargetKind::Token, id)
    }

    pub(crate) fn enrolment(id: EnrolmentId) -> Target {
        bare(TargetKind::Enrolment, id)
    }

    pub(crate) fn account(id: LinkedAccountId) -> Target {
        bare(TargetKind::Account, id)
    }

    pub(crate) fn ticket(id: TicketId) -> Target {
        bare(TargetKind::Ticket, id)
    }

    pub(crate) fn identity(id: IdentityId) -> Target {
        bare(TargetKind::Identity, id)
    }

    pub(crate) fn issuer(name: &IssuerName) -> Target {
        Target { kind: TargetKind::Issuer, name: Some(name.into()), id: None }
    }

    pub(crate) fn boot(id: BootId) -> Target {
        bare(TargetKind::Boot, id)
    }

    pub(crate) fn plugin(name: &PluginName) -> Target {
        // Plugins and categories have no id: the name alone identifies them.
        Target { kind: TargetKind::Plugin, name: Some(name.into()), id: None }
    }

    pub(crate) fn category(name: &Category) -> Target {
        Target { kind: TargetKind::Category, name: Some(name.into()), id: None }
    }

    pub(crate) fn keyslot(id: SlotId) -> Target {
        bare(TargetKind::Keyslot, id)
    }

    pub(crate) fn store() -> Target {
        Target { kind: TargetKind::Store, name: None, id: None }
    }

    fn named(kind: TargetKind, name: impl Into<AuditText>, id: impl Into<AuditText>) -> Target {
        Target { kind, name: Some(name.into()), id: Some(id.into()) }
    }

    fn bare(kind: TargetKind, id: impl Into<AuditText>) -> Target {
        Target { kind, name: None, id: Some(id.into()) }
    }
}
