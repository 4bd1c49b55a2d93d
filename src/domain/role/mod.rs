//! Who may do what: one function, exhaustive over principals and actions. Never looks anything up: an action names
//! what the decision needs, and the organization is always the principal's own, so no action can reach another one.

use serde::{Deserialize, Serialize};

use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::name::MemberName;
pub use crate::domain::role::action::Action;
use crate::domain::secret::Scope;
use crate::domain::text;
use crate::domain::value::DEFAULT_VARIABLE_CEILING;

mod action;
#[cfg(test)]
mod tests;

text::text_enum! {
    /// What a member may do in its organization.
    pub enum Role, "a role: admin, member or auditor" {
        /// Members, settings, anyone's tickets and tokens, shared secrets.
        Admin = "admin",
        /// Own private secrets, shared ones unless restricted, own tickets and tokens.
        Member = "member",
        /// Metadata and the audit trail, read only.
        Auditor = "auditor",
    }
}

/// Who asks, as proved by a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The store's operator.
    Operator,
    /// A member of an organization.
    Member {
        /// The organization.
        org: OrgId,
        /// The member.
        id: MemberId,
        /// The member's name.
        name: MemberName,
        /// What the member may do.
        role: Role,
    },
    /// A boot ticket, which acts for a member.
    Ticket {
        /// The organization.
        org: OrgId,
        /// The ticket.
        id: TicketId,
        /// The member it acts for.
        member: MemberId,
        /// That member's name.
        name: MemberName,
        /// That member's role now, not when the ticket was made.
        role: Role,
    },
}

impl Principal {
    /// The organization, if the principal belongs to one.
    pub fn org(&self) -> Option<OrgId> {
        match self {
            Self::Operator => None,
            Self::Member { org, .. } | Self::Ticket { org, .. } => Some(*org),
        }
    }

    /// The member who acts, or for whom a ticket acts.
    pub fn member(&self) -> Option<MemberId> {
        match self {
            Self::Operator => None,
            Self::Member { id, .. } => Some(*id),
            Self::Ticket { member, .. } => Some(*member),
        }
    }
}

/// What an organization decides for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgPolicy {
    /// Whether members, and not only admins, may change shared secrets.
    pub shared_by_members: bool,
    /// Whether redacted displays of values are kept.
    pub hints: bool,
    /// The largest value of a variable, in bytes.
    pub variable_ceiling: u32,
}

impl Default for OrgPolicy {
    fn default() -> Self {
        Self { shared_by_members: true, hints: true, variable_ceiling: DEFAULT_VARIABLE_CEILING }
    }
}

/// Why an action is refused. Says nothing of what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// For the operator only.
    #[error("only the store's operator may do this")]
    NeedsOperator,
    /// The operator asks about the inside of an organization.
    #[error("the operator has no say inside an organization")]
    OperatorOutside,
    /// For admins only.
    #[error("only an admin may do this")]
    NeedsAdmin,
    /// It belongs to another member.
    #[error("this belongs to another member")]
    NotYours,
    /// The organization keeps shared secrets to its admins.
    #[error("this organization lets only admins change shared secrets")]
    SharedRestricted,
    /// Auditors change nothing and receive no value.
    #[error("an auditor reads metadata and the audit trail only")]
    AuditorReads,
    /// A ticket boots, explains and reports, and no more.
    #[error("a boot ticket can boot, explain and report only")]
    TicketBootsOnly,
    /// Values are released to boots only.
    #[error("only a boot ticket may do this")]
    NeedsTicket,
}

impl Denied {
    /// The stable word for it in the audit log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NeedsOperator => "needs_operator",
            Self::OperatorOutside => "operator_outside",
            Self::NeedsAdmin => "needs_admin",
            Self::NotYours => "not_yours",
            Self::SharedRestricted => "shared_restricted",
            Self::AuditorReads => "auditor_reads",
            Self::TicketBootsOnly => "ticket_boots_only",
            Self::NeedsTicket => "needs_ticket",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NeedsOperator => Some("use the operator's token, which `init` printed"),
            Self::OperatorOutside => Some("use the token of a member"),
            Self::NeedsAdmin | Self::SharedRestricted => Some("ask an admin of the organization"),
            Self::NeedsTicket => Some("make a ticket with `dropsafe ticket new`"),
            Self::NotYours | Self::AuditorReads | Self::TicketBootsOnly => None,
        }
    }
}

/// Whether `principal` may do `action` under the policy of its organization.
pub fn decide(principal: &Principal, action: &Action, policy: &OrgPolicy) -> Result<(), Denied> {
    match principal {
        Principal::Operator => operator(action),
        Principal::Member { id, role: Role::Admin, .. } => admin(*id, action),
        Principal::Member { id, role: Role::Member, .. } => member(*id, action, policy),
        Principal::Member { id, role: Role::Auditor, .. } => auditor(*id, action),
        Principal::Ticket { id, member, role, .. } => ticket(*id, *member, *role, action),
    }
}

fn operator(action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs => Ok(()),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => Ok(()),
        ReadStoreAudit | VerifyAudit | EditOperatorTokens => Ok(()),
        WhoAmI | ReadStoreStatus | ReadDepositKey => Ok(()),
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers | ReadAudit => {
            Err(Denied::OperatorOutside)
        }
        ListTokens(_) | CreateToken(_) | RevokeToken(_) | ListTickets(_) | CreateTicket(_)
        | RevokeTicket(_) => Err(Denied::OperatorOutside),
        ReadSecret(_) | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_)
        | ReEncryptSecret(_) => Err(Denied::OperatorOutside),
        AllowRefusedName | ReadHolders(_) | Explain(_) | ReadBoots(_) => Err(Denied::OperatorOutside),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
    }
}

fn admin(own: MemberId, action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs => Err(Denied::NeedsOperator),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::NeedsOperator)
        }
        ReadStoreAudit | EditOperatorTokens => Err(Denied::NeedsOperator),
        WhoAmI | ReadStoreStatus | ReadDepositKey | VerifyAudit => Ok(()),
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers | ReadAudit => {
            Ok(())
        }
        ListTokens(_) | CreateToken(_) | RevokeToken(_) | ListTickets(_) | CreateTicket(_)
        | RevokeTicket(_) => Ok(()),
        // An admin cleans up after members who left: sees that a private secret exists, and deletes it. What it holds
        // stays its owner's to say: a value or a changed name put in by another would run in the owner's machines
        // under the owner's name.
        ReadSecret(_) | DeleteSecret(_) | ReadHolders(_) => Ok(()),
        // The value stays the same, so this is maintenance and not a say over it.
        ReEncryptSecret(_) => Ok(()),
        ReadPlainValue(scope) | Deposit(scope) | EditSecret(scope) => shared_or_own(own, *scope),
        AllowRefusedName | Explain(_) | ReadBoots(_) => Ok(()),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
    }
}

fn member(own: MemberId, action: &Action, policy: &OrgPolicy) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs => Err(Denied::NeedsOperator),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::NeedsOperator)
        }
        ReadStoreAudit | EditOperatorTokens => Err(Denied::NeedsOperator),
        WhoAmI | ReadStoreStatus | ReadDepositKey | ReadSettings | ReadCatalog => Ok(()),
        EditSettings | EditCatalog | ListMembers | EditMembers | ReadAudit | VerifyAudit => {
            Err(Denied::NeedsAdmin)
        }
        ListTokens(of) | CreateToken(of) | RevokeToken(of) => mine(own, *of),
        ListTickets(of) | CreateTicket(of) | RevokeTicket(of) => mine(own, *of),
        ReadSecret(scope) | ReadPlainValue(scope) => shared_or_own(own, *scope),
        Deposit(scope) | EditSecret(scope) | DeleteSecret(scope) | ReEncryptSecret(scope) => {
            change(own, *scope, policy)
        }
        // Whoever may delete a secret is told who still holds it.
        ReadHolders(scope) => change(own, *scope, policy),
        AllowRefusedName => Err(Denied::NeedsAdmin),
        Explain(of) | ReadBoots(of) => mine(own, *of),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
    }
}

fn auditor(own: MemberId, action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs => Err(Denied::NeedsOperator),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::NeedsOperator)
        }
        ReadStoreAudit | EditOperatorTokens => Err(Denied::NeedsOperator),
        WhoAmI | ReadStoreStatus | ReadDepositKey | ReadSettings | ReadCatalog | ListMembers | ReadAudit
        | VerifyAudit => Ok(()),
        EditSettings | EditCatalog | EditMembers => Err(Denied::AuditorReads),
        ListTokens(_) | ListTickets(_) => Ok(()),
        // Its own tokens carry no more than its own role. A ticket would release values to it.
        CreateToken(of) | RevokeToken(of) => mine(own, *of),
        CreateTicket(_) | RevokeTicket(_) => Err(Denied::AuditorReads),
        ReadSecret(_) | ReadHolders(_) | Explain(_) | ReadBoots(_) => Ok(()),
        // The value of a setting is not metadata, however plain.
        ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_) | ReEncryptSecret(_) => {
            Err(Denied::AuditorReads)
        }
        AllowRefusedName => Err(Denied::AuditorReads),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
    }
}

fn ticket(own: TicketId, member: MemberId, role: Role, action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        // A member who has become an auditor since may no longer receive values, not even by an older ticket.
        Boot if role == Role::Auditor => Err(Denied::AuditorReads),
        Boot => Ok(()),
        Explain(of) => mine(member, *of),
        ReportBoot(made_by) if *made_by == own => Ok(()),
        ReportBoot(_) => Err(Denied::NotYours),
        CreateOrg | ListOrgs => Err(Denied::TicketBootsOnly),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::TicketBootsOnly)
        }
        ReadStoreAudit | VerifyAudit | EditOperatorTokens | WhoAmI | ReadStoreStatus | ReadDepositKey => {
            Err(Denied::TicketBootsOnly)
        }
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers | ReadAudit => {
            Err(Denied::TicketBootsOnly)
        }
        ListTokens(_) | CreateToken(_) | RevokeToken(_) | ListTickets(_) | CreateTicket(_)
        | RevokeTicket(_) => Err(Denied::TicketBootsOnly),
        ReadSecret(_) | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_)
        | ReEncryptSecret(_) => Err(Denied::TicketBootsOnly),
        AllowRefusedName | ReadHolders(_) | ReadBoots(_) => Err(Denied::TicketBootsOnly),
    }
}

fn mine(own: MemberId, of: MemberId) -> Result<(), Denied> {
    if own == of { Ok(()) } else { Err(Denied::NotYours) }
}

fn shared_or_own(own: MemberId, scope: Scope) -> Result<(), Denied> {
    match scope {
        Scope::Shared => Ok(()),
        Scope::Private(owner) => mine(own, owner),
    }
}

fn change(own: MemberId, scope: Scope, policy: &OrgPolicy) -> Result<(), Denied> {
    match scope {
        Scope::Shared if !policy.shared_by_members => Err(Denied::SharedRestricted),
        Scope::Shared | Scope::Private(_) => shared_or_own(own, scope),
    }
}
