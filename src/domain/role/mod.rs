//! Who may do what: one function, exhaustive over principals and actions. Never looks anything up: an action names
//! what the decision needs, and the organization is always the principal's own, so no action can reach another one.

use crate::domain::id::{BootId, MemberId, OrgId, TicketId};
use crate::domain::name::MemberName;
pub use crate::domain::role::action::Action;
use crate::domain::role::of_subject::{accepted, acts_for, change, ends, maintain, own, shared_or_own};
pub use crate::domain::role::policy::{
    BOOT_FILES, BOOT_VARIABLES, BudgetsTooLarge, ByteBudgets, LONGEST_RETENTION, OrgPolicy, OrgQuotas,
    OrgUsage, RecordQuotas, RecordUsage, RetentionDays, ScopeUsage, SharedChanges,
};
pub use crate::domain::role::subject::{BootSubject, ScopeSubject, Subject};
use crate::domain::text;

mod action;
mod boot;
mod metrics;
mod of_subject;
mod policy;
mod subject;
#[cfg(test)]
mod tests;

text::text_enum! {
    /// What a member may do in its organization.
    pub enum Role, "a role: admin, member or auditor" {
        /// Members, settings, shared secrets. Revokes anyone's tickets and tokens, and creates only its own.
        Admin = "admin",
        /// Own private secrets, shared ones unless restricted, own tickets and tokens, and those of managed services.
        Member = "member",
        /// Metadata and the audit log, read only.
        Auditor = "auditor",
    }
}

text::text_enum! {
    /// What a member is.
    pub enum MemberKind, "a kind of member: person, service or launcher" {
        /// A person, whose private scope is theirs alone.
        Person = "person",
        /// A workload or an environment. Its managers act for it.
        Service = "service",
        /// A platform that starts machines for the people who accepted it.
        Launcher = "launcher",
    }
}

/// Who asks, as proved by a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The store's operator.
    Operator,
    /// A monitoring system, with a token that the operator created for it.
    Metrics,
    /// A member of an organization.
    Member {
        org: OrgId,
        id: MemberId,
        name: MemberName,
        /// What the member may do. A launcher may do less than any role.
        role: Role,
        kind: MemberKind,
    },
    /// A boot ticket, which acts for a member.
    Ticket {
        org: OrgId,
        id: TicketId,
        /// The member it acts for.
        member: MemberId,
        /// That member's name.
        name: MemberName,
        /// That member's role now, not when the ticket was made.
        role: Role,
        kind: MemberKind,
    },
    /// A boot, by the credential that can end it.
    Boot {
        org: OrgId,
        id: BootId,
        ticket: TicketId,
        /// The member it acted for.
        member: MemberId,
        /// That member's name at the time.
        name: MemberName,
    },
}

impl Principal {
    /// The organization, if the principal belongs to one.
    pub fn org(&self) -> Option<OrgId> {
        match self {
            Self::Operator | Self::Metrics => None,
            Self::Member { org, .. } | Self::Ticket { org, .. } | Self::Boot { org, .. } => Some(*org),
        }
    }

    /// The member who acts, or for whom a ticket acts.
    pub fn member(&self) -> Option<MemberId> {
        match self {
            Self::Operator | Self::Metrics => None,
            Self::Member { id, .. } => Some(*id),
            Self::Ticket { member, .. } | Self::Boot { member, .. } => Some(*member),
        }
    }
}

/// Why an action is refused. Says nothing of what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// For the operator only.
    #[error("only the store's operator may do this")]
    NeedsOperator,
    /// The operator asks about the inside of an organization.
    #[error("the operator cannot access organization data")]
    OperatorOutside,
    /// For admins only.
    #[error("only an admin may do this")]
    NeedsAdmin,
    /// It belongs to another member.
    #[error("this belongs to another member")]
    NotYours,
    /// Another member deposited the shared secret.
    #[error("another member deposited this shared secret")]
    NotDepositor,
    /// The organization keeps shared secrets to its admins.
    #[error("this organization lets only admins change shared secrets")]
    SharedRestricted,
    /// Auditors change nothing and receive no value.
    #[error("an auditor can only read metadata and the audit log")]
    AuditorReads,
    /// A launcher handles tickets, replaces its token, and no more.
    #[error(
        "a launcher can only replace its token, and handle tickets and boots of the people who accepted it"
    )]
    LauncherTicketsOnly,
    /// The person has not accepted this launcher.
    #[error("this person has not accepted the launcher")]
    NotAccepted,
    /// A service or launcher would accept a launcher.
    #[error("only a person can accept a launcher")]
    PersonsAccept,
    /// A service or launcher would link an account at a provider.
    #[error("only a person can sign in with a provider")]
    PersonsSignIn,
    /// A ticket boots, explains and reports, and no more.
    #[error("a boot ticket can boot, explain and report only")]
    TicketBootsOnly,
    /// The credential of a boot ends that boot, and no more.
    #[error("this credential can only end its own boot")]
    EndsBootOnly,
    /// A token for metrics reads the metrics, and no more.
    #[error("a token for metrics can read the metrics only")]
    MetricsOnly,
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
            Self::NotDepositor => "not_depositor",
            Self::SharedRestricted => "shared_restricted",
            Self::AuditorReads => "auditor_reads",
            Self::LauncherTicketsOnly => "launcher_tickets_only",
            Self::NotAccepted => "not_accepted",
            Self::PersonsAccept => "persons_accept",
            Self::PersonsSignIn => "persons_sign_in",
            Self::TicketBootsOnly => "ticket_boots_only",
            Self::EndsBootOnly => "ends_boot_only",
            Self::MetricsOnly => "metrics_only",
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
            Self::NotYours => Some("only the member can do this, or a manager if the member is a service"),
            Self::NotDepositor => Some("ask the depositor or an admin of the organization"),
            Self::NotAccepted => Some("the person accepts it with `dropsafe launcher accept`"),
            Self::AuditorReads
            | Self::LauncherTicketsOnly
            | Self::PersonsAccept
            | Self::PersonsSignIn
            | Self::TicketBootsOnly
            | Self::EndsBootOnly
            | Self::MetricsOnly => None,
        }
    }
}

/// Whether `principal` may do `action` under the policy of its organization.
pub fn decide(principal: &Principal, action: &Action, policy: &OrgPolicy) -> Result<(), Denied> {
    // None of these functions has a wildcard: a new action does not compile until each of them decides it.
    match principal {
        Principal::Operator => operator(action),
        Principal::Metrics => metrics::decide_metrics(action),
        // Before the roles: a launcher has the role of a member, and may do far less.
        Principal::Member { kind: MemberKind::Launcher, .. } => launcher(action),
        // Its managers answer for a service, and a launcher is for people.
        Principal::Member { kind: MemberKind::Service, .. } if *action == Action::AcceptLauncher => {
            Err(Denied::PersonsAccept)
        }
        // A provider proves people. What a service is given, its managers give it.
        Principal::Member { kind: MemberKind::Service, .. } if *action == Action::LinkAccount => {
            Err(Denied::PersonsSignIn)
        }
        Principal::Member { role: Role::Admin, .. } => admin(action),
        Principal::Member { role: Role::Member, .. } => member(action, policy),
        Principal::Member { role: Role::Auditor, .. } => auditor(action),
        Principal::Ticket { id, role, .. } => ticket(*id, *role, action),
        Principal::Boot { id, .. } => boot::decide_boot(*id, action),
    }
}

fn operator(action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs | EditQuotas => Ok(()),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => Ok(()),
        ReadStoreAudit | VerifyAudit | VerifyState | EditOperatorTokens => Ok(()),
        WhoAmI | ReadStoreStatus | ReadDepositKey => Ok(()),
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers | ReadAudit
        | ReadOwnAudit => Err(Denied::OperatorOutside),
        ListLaunchers | AcceptLauncher | WithdrawAcceptance => Err(Denied::OperatorOutside),
        ListAccounts | LinkAccount | UnlinkAccount => Err(Denied::OperatorOutside),
        ListTokens(_) | CreateToken(_) | RevokeToken(_) | ListTickets(_) | CreateTicket(_)
        | RevokeTicket(_) | ConvertMember(_) => Err(Denied::OperatorOutside),
        ReadSecret(_) | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_)
        | ReEncryptSecret(_) => Err(Denied::OperatorOutside),
        AllowRefusedName | ReadHolders(_) | Explain(_) | ReadBoots(_) => Err(Denied::OperatorOutside),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
        EndBoot(_) => Err(Denied::OperatorOutside),
    }
}

fn admin(action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs | EditQuotas => Err(Denied::NeedsOperator),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::NeedsOperator)
        }
        ReadStoreAudit | VerifyState | EditOperatorTokens => Err(Denied::NeedsOperator),
        WhoAmI | ReadStoreStatus | ReadDepositKey | VerifyAudit | ReadOwnAudit => Ok(()),
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers | ReadAudit => {
            Ok(())
        }
        // Only for oneself, as everybody: no action accepts for another member, or lets another one sign in.
        ListLaunchers | AcceptLauncher | WithdrawAcceptance => Ok(()),
        ListAccounts | LinkAccount | UnlinkAccount => Ok(()),
        // Revoking only removes access. Creating one would read the member's secrets through a machine.
        ListTokens(_) | RevokeToken(_) | ListTickets(_) | RevokeTicket(_) => Ok(()),
        CreateToken(of) | CreateTicket(of) => acts_for(*of),
        // Only the member consents to being represented by others from then on.
        ConvertMember(of) => own(*of),
        // An admin sees that a private secret exists. Without it, the shared secret, which may be the admin's own,
        // would take its place in the owner's machines, so that only the owner deletes it.
        ReadSecret(_) | ReadHolders(_) => Ok(()),
        // The value stays the same, so this is maintenance and not a say over it.
        ReEncryptSecret(_) => Ok(()),
        ReadPlainValue(of) | Deposit(of) | EditSecret(of) | DeleteSecret(of) => shared_or_own(*of),
        AllowRefusedName | Explain(_) | ReadBoots(_) => Ok(()),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
        // Nobody else is left who could.
        EndBoot(of) if of.is_of_removed => Ok(()),
        // Not those of others: an end takes a boot off the list of holders.
        EndBoot(of) => ends(*of),
    }
}

fn member(action: &Action, policy: &OrgPolicy) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs | EditQuotas => Err(Denied::NeedsOperator),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::NeedsOperator)
        }
        ReadStoreAudit | VerifyState | EditOperatorTokens => Err(Denied::NeedsOperator),
        WhoAmI | ReadStoreStatus | ReadDepositKey | ReadSettings | ReadCatalog | ReadOwnAudit => Ok(()),
        EditSettings | EditCatalog | ListMembers | EditMembers | ReadAudit | VerifyAudit => {
            Err(Denied::NeedsAdmin)
        }
        ListLaunchers | AcceptLauncher | WithdrawAcceptance => Ok(()),
        ListAccounts | LinkAccount | UnlinkAccount => Ok(()),
        ListTokens(of) | CreateToken(of) | RevokeToken(of) => acts_for(*of),
        ListTickets(of) | CreateTicket(of) | RevokeTicket(of) => acts_for(*of),
        ConvertMember(of) => own(*of),
        ReadSecret(of) | ReadPlainValue(of) => shared_or_own(*of),
        Deposit(of) | EditSecret(of) | DeleteSecret(of) => change(*of, policy),
        // The value stays the same, so that its depositor does not matter.
        ReEncryptSecret(of) => maintain(*of, policy),
        // A member who may delete a secret needs to know which boots still hold it.
        ReadHolders(of) => maintain(*of, policy),
        AllowRefusedName => Err(Denied::NeedsAdmin),
        Explain(of) | ReadBoots(of) => acts_for(*of),
        EndBoot(of) => ends(*of),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
    }
}

fn auditor(action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        CreateOrg | ListOrgs | EditQuotas => Err(Denied::NeedsOperator),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::NeedsOperator)
        }
        ReadStoreAudit | VerifyState | EditOperatorTokens => Err(Denied::NeedsOperator),
        WhoAmI | ReadStoreStatus | ReadDepositKey | ReadSettings | ReadCatalog | ListMembers | ReadAudit
        | ReadOwnAudit | VerifyAudit => Ok(()),
        EditSettings | EditCatalog | EditMembers => Err(Denied::AuditorReads),
        ListLaunchers | WithdrawAcceptance => Ok(()),
        // How an auditor signs in changes nothing of what the organization holds.
        ListAccounts | LinkAccount | UnlinkAccount => Ok(()),
        // No boot gives an auditor a value, so that a launcher could do nothing for one.
        AcceptLauncher => Err(Denied::AuditorReads),
        ListTokens(_) | ListTickets(_) => Ok(()),
        // Its own tokens carry no more than its own role. A ticket would release values to it.
        CreateToken(of) | RevokeToken(of) | ConvertMember(of) => own(*of),
        CreateTicket(_) | RevokeTicket(_) => Err(Denied::AuditorReads),
        ReadSecret(_) | ReadHolders(_) | Explain(_) | ReadBoots(_) => Ok(()),
        // The value of a setting is not metadata, however plain.
        ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_) | ReEncryptSecret(_) => {
            Err(Denied::AuditorReads)
        }
        AllowRefusedName => Err(Denied::AuditorReads),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
        // Its own boots may still run from when it had another role.
        EndBoot(of) => ends(*of),
    }
}

fn ticket(id: TicketId, role: Role, action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        // A member who has become an auditor since may no longer receive values, not even by an older ticket.
        Boot if role == Role::Auditor => Err(Denied::AuditorReads),
        Boot => Ok(()),
        // It spends no use and has no values, and `dropsafe-agent check` has nothing but the ticket.
        Explain(of) => own(*of),
        // Another ticket's report would confirm a boot that its machine never saw.
        ReportBoot(made_by) if *made_by == id => Ok(()),
        ReportBoot(_) => Err(Denied::NotYours),
        CreateOrg | ListOrgs | EditQuotas => Err(Denied::TicketBootsOnly),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::TicketBootsOnly)
        }
        ReadStoreAudit | VerifyAudit | VerifyState | EditOperatorTokens | WhoAmI | ReadStoreStatus
        | ReadDepositKey | ReadOwnAudit => Err(Denied::TicketBootsOnly),
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers | ReadAudit => {
            Err(Denied::TicketBootsOnly)
        }
        ListLaunchers | AcceptLauncher | WithdrawAcceptance => Err(Denied::TicketBootsOnly),
        ListAccounts | LinkAccount | UnlinkAccount => Err(Denied::TicketBootsOnly),
        ListTokens(_) | CreateToken(_) | RevokeToken(_) | ListTickets(_) | CreateTicket(_)
        | RevokeTicket(_) | ConvertMember(_) => Err(Denied::TicketBootsOnly),
        ReadSecret(_) | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_)
        | ReEncryptSecret(_) => Err(Denied::TicketBootsOnly),
        AllowRefusedName | ReadHolders(_) | ReadBoots(_) => Err(Denied::TicketBootsOnly),
        // A ticket is copied with an image, so that it says nothing about the boots of other machines.
        EndBoot(_) => Err(Denied::TicketBootsOnly),
    }
}

/// What a platform may do for the people who accepted it.
fn launcher(action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        WhoAmI => Ok(()),
        ListTickets(of) | CreateTicket(of) | RevokeTicket(of) => accepted(*of),
        CreateOrg | ListOrgs | EditQuotas => Err(Denied::LauncherTicketsOnly),
        Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll | Backup | ReadMetrics => {
            Err(Denied::LauncherTicketsOnly)
        }
        ReadStoreAudit | VerifyAudit | VerifyState | EditOperatorTokens | ReadStoreStatus
        | ReadDepositKey | ReadOwnAudit => Err(Denied::LauncherTicketsOnly),
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers | ReadAudit => {
            Err(Denied::LauncherTicketsOnly)
        }
        // It accepts nobody, and need not know which other platforms there are.
        ListLaunchers | AcceptLauncher | WithdrawAcceptance => Err(Denied::LauncherTicketsOnly),
        ListAccounts | LinkAccount | UnlinkAccount => Err(Denied::LauncherTicketsOnly),
        // The new one replaces the others, so that a stolen token cannot create one that outlives the theft's discovery.
        CreateToken(Subject::Own) => Ok(()),
        ListTokens(_) | CreateToken(_) | RevokeToken(_) | ConvertMember(_) => {
            Err(Denied::LauncherTicketsOnly)
        }
        ReadSecret(_) | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_)
        | ReEncryptSecret(_) => Err(Denied::LauncherTicketsOnly),
        AllowRefusedName | ReadHolders(_) | Explain(_) => Err(Denied::LauncherTicketsOnly),
        // Those that its own tickets started, so that it can end them. They show no names of secrets.
        ReadBoots(of) => accepted(*of),
        Boot | ReportBoot(_) => Err(Denied::NeedsTicket),
        // Also after a withdrawn acceptance: the end of what it started reveals and releases nothing.
        EndBoot(of) if of.is_author => Ok(()),
        EndBoot(_) => Err(Denied::LauncherTicketsOnly),
    }
}
