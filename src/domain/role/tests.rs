//! The whole matrix of decisions, one row per action.

use Denied::*;

use super::*;

const ORG: OrgId = OrgId::from_bytes([1; 16]);
const ME: MemberId = MemberId::from_bytes([2; 16]);
const TICKET: TicketId = TicketId::from_bytes([4; 16]);
const BOOT: BootId = BootId::from_bytes([6; 16]);
const STRANGE: TicketId = TicketId::from_bytes([5; 16]);
const MINE: ScopeSubject = ScopeSubject::Private(Subject::Own);
const MANAGED: ScopeSubject = ScopeSubject::Private(Subject::Managed);
const THEIRS: ScopeSubject = ScopeSubject::Private(Subject::Other);

const YES: Result<(), Denied> = Ok(());
const fn no(denied: Denied) -> Result<(), Denied> {
    Err(denied)
}

fn named() -> MemberName {
    MemberName::parse("dev").unwrap()
}

fn is(role: Role) -> Principal {
    Principal::Member { org: ORG, id: ME, name: named(), role, kind: MemberKind::Person }
}

fn launcher() -> Principal {
    let (role, kind) = (Role::Member, MemberKind::Launcher);
    Principal::Member { org: ORG, id: ME, name: named(), role, kind }
}

fn ticket_of(role: Role) -> Principal {
    let kind = MemberKind::Person;
    Principal::Ticket { org: ORG, id: TICKET, member: ME, name: named(), role, kind }
}

fn boot_of(member: Subject, is_author: bool) -> BootSubject {
    BootSubject { boot: BOOT, member, is_author, is_of_removed: false }
}

/// One row per action: operator, admin, member, auditor, ticket of a member, launcher.
fn matrix() -> Vec<(Action, [Result<(), Denied>; 6])> {
    use Action::*;
    use Subject::{Accepted, Managed, Other, Own};
    let out = no(OperatorOutside);
    let (tickets, launch) = (no(TicketBootsOnly), no(LauncherTicketsOnly));
    let store = [YES, no(NeedsOperator), no(NeedsOperator), no(NeedsOperator), tickets, launch];
    let anyone = [YES, YES, YES, YES, tickets, launch];
    let readers = [out, YES, YES, YES, tickets, launch];
    let overseers = [out, YES, no(NeedsAdmin), YES, tickets, launch];
    let admins = [out, YES, no(NeedsAdmin), no(AuditorReads), tickets, launch];
    let see_others = [out, YES, no(NotYours), YES, tickets, launch];
    let write = [out, YES, YES, no(AuditorReads), tickets, launch];
    let write_others = [out, no(NotYours), no(NotYours), no(AuditorReads), tickets, launch];
    let maintain_others = [out, YES, no(NotYours), no(AuditorReads), tickets, launch];
    let revoke_others = [out, YES, no(NotYours), no(NotYours), tickets, launch];
    let revoke_managed = [out, YES, YES, no(NotYours), tickets, launch];
    let depositors = [out, YES, no(NotDepositor), no(AuditorReads), tickets, launch];
    let own_only = [out, no(NotYours), no(NotYours), no(NotYours), tickets, launch];
    // The tickets of the people who accepted it are all that a launcher handles.
    let for_launcher = |row: [Result<(), Denied>; 6], of| match of {
        Accepted => [row[0], row[1], row[2], row[3], row[4], YES],
        Own | Managed | Other => [row[0], row[1], row[2], row[3], row[4], no(NotAccepted)],
    };
    let boot = [no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), YES, no(NeedsTicket)];
    let other_boot = [boot[0], boot[1], boot[2], boot[3], no(NotYours), boot[5]];
    let mut rows = vec![
        (CreateOrg, store),
        (ListOrgs, store),
        (EditQuotas, store),
        (Unlock, store),
        (Lock, store),
        (ListKeyslots, store),
        (EditKeyslots, store),
        (ReEncryptAll, store),
        (Backup, store),
        (ReadMetrics, store),
        (ReadStoreAudit, store),
        (EditOperatorTokens, store),
        (VerifyState, store),
        (VerifyAudit, [YES, YES, no(NeedsAdmin), YES, tickets, launch]),
        (WhoAmI, [YES, YES, YES, YES, tickets, YES]),
        (ReadStoreStatus, anyone),
        (ReadDepositKey, anyone),
        (ReadSettings, readers),
        (EditSettings, admins),
        (ReadCatalog, readers),
        (EditCatalog, admins),
        (ListMembers, overseers),
        (EditMembers, admins),
        (ListLaunchers, readers),
        (AcceptLauncher, write),
        (WithdrawAcceptance, readers),
        (ListAccounts, readers),
        (LinkAccount, readers),
        (UnlinkAccount, readers),
        (ReadAudit, overseers),
        (ReadOwnAudit, readers),
        (AllowRefusedName, admins),
        (Boot, boot),
        (ReportBoot(TICKET), boot),
        (ReportBoot(STRANGE), other_boot),
        (EndBoot(boot_of(Own, false)), readers),
        (EndBoot(boot_of(Managed, false)), readers),
        (EndBoot(boot_of(Other, false)), own_only),
        (EndBoot(boot_of(Other, true)), [out, YES, YES, YES, tickets, YES]),
        (Explain(Own), [out, YES, YES, YES, YES, launch]),
        (Explain(Managed), [out, YES, YES, YES, no(NotYours), launch]),
        (Explain(Other), [out, YES, no(NotYours), YES, no(NotYours), launch]),
        (ReadBoots(Own), for_launcher(readers, Own)),
        (ReadBoots(Managed), for_launcher(readers, Managed)),
        (ReadBoots(Accepted), for_launcher(see_others, Accepted)),
        (ReadBoots(Other), for_launcher(see_others, Other)),
        (ConvertMember(Own), readers),
        (ConvertMember(Managed), own_only),
        (ConvertMember(Other), own_only),
        (ListTokens(Own), readers),
        (ListTokens(Managed), readers),
        (ListTokens(Other), see_others),
        (CreateToken(Own), [out, YES, YES, YES, tickets, YES]),
        (CreateToken(Managed), [out, YES, YES, no(NotYours), tickets, launch]),
        (CreateToken(Other), own_only),
        (RevokeToken(Own), readers),
        (RevokeToken(Managed), revoke_managed),
        (RevokeToken(Other), revoke_others),
        (ListTickets(Own), for_launcher(readers, Own)),
        (ListTickets(Managed), for_launcher(readers, Managed)),
        (ListTickets(Accepted), for_launcher(see_others, Accepted)),
        (ListTickets(Other), for_launcher(see_others, Other)),
        (CreateTicket(Own), for_launcher(write, Own)),
        (CreateTicket(Managed), for_launcher(write, Managed)),
        (CreateTicket(Accepted), for_launcher(write_others, Accepted)),
        (CreateTicket(Other), for_launcher(write_others, Other)),
        (RevokeTicket(Own), for_launcher(write, Own)),
        (RevokeTicket(Managed), for_launcher(write, Managed)),
        (RevokeTicket(Accepted), for_launcher(maintain_others, Accepted)),
        (RevokeTicket(Other), for_launcher(maintain_others, Other)),
    ];
    for (of, [read, value, change, maintain]) in [
        (ScopeSubject::Shared, [readers, write, write, write]),
        (ScopeSubject::SharedByOther, [readers, write, depositors, write]),
        (MINE, [readers, write, write, write]),
        (MANAGED, [readers, write, write, write]),
        (THEIRS, [see_others, write_others, write_others, maintain_others]),
    ] {
        rows.extend([
            (ReadSecret(of), read),
            (ReadPlainValue(of), value),
            (Deposit(of), change),
            (EditSecret(of), change),
            (DeleteSecret(of), change),
            (ReEncryptSecret(of), maintain),
            (ReadHolders(of), read),
        ]);
    }
    rows
}

/// Fails to compile when an action is added, so that it gets a row above.
fn has_row(action: &Action) -> bool {
    use Action::*;
    match action {
        CreateOrg | ListOrgs | EditQuotas | ReadStoreStatus | Unlock | Lock | ListKeyslots | EditKeyslots
        | ReEncryptAll | Backup | ReadMetrics | ReadStoreAudit | VerifyAudit | VerifyState
        | EditOperatorTokens | WhoAmI | ReadDepositKey | ReadSettings | EditSettings | ReadCatalog
        | EditCatalog | ListMembers | EditMembers | ListLaunchers | AcceptLauncher | WithdrawAcceptance
        | ListAccounts | LinkAccount | UnlinkAccount | ListTokens(_) | CreateToken(_) | RevokeToken(_)
        | ListTickets(_) | CreateTicket(_) | RevokeTicket(_) | ConvertMember(_) | ReadAudit
        | ReadOwnAudit | ReadSecret(_) | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_)
        | ReEncryptSecret(_) | AllowRefusedName | ReadHolders(_) | Boot | Explain(_) | ReportBoot(_)
        | EndBoot(_) | ReadBoots(_) => true,
    }
}

#[test]
fn the_matrix_holds() {
    let policy = OrgPolicy::default();
    for (action, expected) in matrix() {
        assert!(has_row(&action));
        let principals = [
            Principal::Operator,
            is(Role::Admin),
            is(Role::Member),
            is(Role::Auditor),
            ticket_of(Role::Member),
            launcher(),
        ];
        let decided = principals.map(|principal| decide(&principal, &action, &policy));
        assert_eq!(decided, expected, "{action:?}");
    }
}

#[test]
fn the_credential_of_a_boot_ends_that_boot_and_nothing_else() {
    let policy = OrgPolicy::default();
    let credential = |id| Principal::Boot { org: ORG, id, ticket: TICKET, member: ME, name: named() };
    for (action, _) in matrix() {
        let own = matches!(action, Action::EndBoot(_));
        let expected = if own { Ok(()) } else { Err(EndsBootOnly) };
        assert_eq!(decide(&credential(BOOT), &action, &policy), expected, "{action:?}");
        assert!(decide(&credential(BootId::from_bytes([7; 16])), &action, &policy).is_err(), "{action:?}");
    }
}

#[test]
fn a_service_accepts_no_launcher() {
    let (role, kind) = (Role::Member, MemberKind::Service);
    let service = Principal::Member { org: ORG, id: ME, name: named(), role, kind };
    let decided = decide(&service, &Action::AcceptLauncher, &OrgPolicy::default());
    assert_eq!(decided, Err(PersonsAccept));
}

#[test]
fn a_restricting_organization_keeps_shared_secrets_to_admins() {
    let policy = OrgPolicy { shared_by_members: false, ..OrgPolicy::default() };
    for (action, default) in matrix() {
        let restricted = decide(&is(Role::Member), &action, &policy);
        let changes = [
            Action::Deposit as fn(ScopeSubject) -> Action,
            Action::EditSecret,
            Action::DeleteSecret,
            Action::ReEncryptSecret,
            Action::ReadHolders,
        ];
        let shared = [ScopeSubject::Shared, ScopeSubject::SharedByOther];
        let changes: Vec<Action> = changes.iter().flat_map(|action| shared.map(action)).collect();
        let expected = if changes.contains(&action) { Err(SharedRestricted) } else { default[2] };
        assert_eq!(restricted, expected, "{action:?}");
        assert_eq!(decide(&is(Role::Admin), &action, &policy), default[1], "{action:?}");
    }
}

#[test]
fn a_ticket_of_an_auditor_does_not_boot() {
    let policy = OrgPolicy::default();
    assert_eq!(decide(&ticket_of(Role::Auditor), &Action::Boot, &policy), Err(AuditorReads));
    for role in [Role::Admin, Role::Member] {
        assert_eq!(decide(&ticket_of(role), &Action::Boot, &policy), Ok(()));
        // The role of its member gives a ticket nothing more.
        assert_eq!(decide(&ticket_of(role), &Action::ReadSecret(MINE), &policy), Err(TicketBootsOnly));
    }
}

#[test]
fn nobody_but_a_ticket_receives_a_value_that_is_not_plain() {
    let receiving = matrix().into_iter().filter(|(action, _)| matches!(action, Action::Boot));
    for (_, [operator, admin, member, auditor, ticket, launcher]) in receiving {
        assert!([operator, admin, member, auditor, launcher].iter().all(Result::is_err) && ticket.is_ok());
    }
}

#[test]
fn a_denial_has_a_code_and_no_names() {
    for denied in [
        NeedsOperator,
        OperatorOutside,
        NeedsAdmin,
        NotYours,
        NotDepositor,
        NotAccepted,
        LauncherTicketsOnly,
        PersonsAccept,
        SharedRestricted,
        AuditorReads,
        TicketBootsOnly,
        NeedsTicket,
        EndsBootOnly,
    ] {
        assert!(denied.reason().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        assert!(!denied.to_string().contains("mem_"));
    }
}

#[test]
fn a_token_for_metrics_reads_the_metrics_and_nothing_else() {
    for (action, _) in matrix() {
        let expected = if action == Action::ReadMetrics { YES } else { no(MetricsOnly) };
        assert_eq!(decide(&Principal::Metrics, &action, &OrgPolicy::default()), expected, "{action:?}");
    }
}
