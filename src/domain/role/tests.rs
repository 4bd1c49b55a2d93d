//! The whole matrix of decisions, one row per action.

use Denied::*;

use super::*;

const ORG: OrgId = OrgId::from_bytes([1; 16]);
const ME: MemberId = MemberId::from_bytes([2; 16]);
const OTHER: MemberId = MemberId::from_bytes([3; 16]);
const TICKET: TicketId = TicketId::from_bytes([4; 16]);
const STRANGE: TicketId = TicketId::from_bytes([5; 16]);
const MINE: Scope = Scope::Private(ME);
const THEIRS: Scope = Scope::Private(OTHER);

const YES: Result<(), Denied> = Ok(());
const fn no(denied: Denied) -> Result<(), Denied> {
    Err(denied)
}

fn named() -> MemberName {
    MemberName::parse("dev").unwrap()
}

fn is(role: Role) -> Principal {
    Principal::Member { org: ORG, id: ME, name: named(), role }
}

fn ticket_of(role: Role) -> Principal {
    Principal::Ticket { org: ORG, id: TICKET, member: ME, name: named(), role }
}

/// One row per action: operator, admin, member, auditor, ticket of a member.
fn matrix() -> Vec<(Action, [Result<(), Denied>; 5])> {
    use Action::*;
    let store = [YES, no(NeedsOperator), no(NeedsOperator), no(NeedsOperator), no(TicketBootsOnly)];
    let anyone = [YES, YES, YES, YES, no(TicketBootsOnly)];
    let readers = [no(OperatorOutside), YES, YES, YES, no(TicketBootsOnly)];
    let overseers = [no(OperatorOutside), YES, no(NeedsAdmin), YES, no(TicketBootsOnly)];
    let admins = [no(OperatorOutside), YES, no(NeedsAdmin), no(AuditorReads), no(TicketBootsOnly)];
    let own_token = [no(OperatorOutside), YES, YES, YES, no(TicketBootsOnly)];
    let others_token = [no(OperatorOutside), YES, no(NotYours), no(NotYours), no(TicketBootsOnly)];
    let see_own = [no(OperatorOutside), YES, YES, YES, no(TicketBootsOnly)];
    let see_others = [no(OperatorOutside), YES, no(NotYours), YES, no(TicketBootsOnly)];
    let write = [no(OperatorOutside), YES, YES, no(AuditorReads), no(TicketBootsOnly)];
    let write_others =
        [no(OperatorOutside), no(NotYours), no(NotYours), no(AuditorReads), no(TicketBootsOnly)];
    let clean_others = [no(OperatorOutside), YES, no(NotYours), no(AuditorReads), no(TicketBootsOnly)];
    vec![
        (CreateOrg, store),
        (ListOrgs, store),
        (Unlock, store),
        (Lock, store),
        (ListKeyslots, store),
        (EditKeyslots, store),
        (ReEncryptAll, store),
        (Backup, store),
        (ReadMetrics, store),
        (ReadStoreAudit, store),
        (EditOperatorTokens, store),
        (VerifyAudit, [YES, YES, no(NeedsAdmin), YES, no(TicketBootsOnly)]),
        (WhoAmI, anyone),
        (ReadStoreStatus, anyone),
        (ReadDepositKey, anyone),
        (ReadSettings, readers),
        (EditSettings, admins),
        (ReadCatalog, readers),
        (EditCatalog, admins),
        (ListMembers, overseers),
        (EditMembers, admins),
        (ListTokens(ME), see_own),
        (ListTokens(OTHER), see_others),
        (CreateToken(ME), own_token),
        (CreateToken(OTHER), others_token),
        (RevokeToken(ME), own_token),
        (RevokeToken(OTHER), others_token),
        (ListTickets(ME), see_own),
        (ListTickets(OTHER), see_others),
        (CreateTicket(ME), write),
        (CreateTicket(OTHER), clean_others),
        (RevokeTicket(ME), write),
        (RevokeTicket(OTHER), clean_others),
        (ReadAudit, overseers),
        (ReadSecret(Scope::Shared), readers),
        (ReadSecret(MINE), see_own),
        (ReadSecret(THEIRS), see_others),
        (ReadPlainValue(Scope::Shared), write),
        (ReadPlainValue(MINE), write),
        (ReadPlainValue(THEIRS), write_others),
        (Deposit(Scope::Shared), write),
        (Deposit(MINE), write),
        (Deposit(THEIRS), write_others),
        (EditSecret(Scope::Shared), write),
        (EditSecret(MINE), write),
        (EditSecret(THEIRS), write_others),
        (DeleteSecret(Scope::Shared), write),
        (DeleteSecret(MINE), write),
        (DeleteSecret(THEIRS), clean_others),
        (ReEncryptSecret(Scope::Shared), write),
        (ReEncryptSecret(MINE), write),
        (ReEncryptSecret(THEIRS), clean_others),
        (AllowRefusedName, admins),
        (ReadHolders(Scope::Shared), readers),
        (ReadHolders(MINE), see_own),
        (ReadHolders(THEIRS), see_others),
        (Boot, [no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), YES]),
        (Explain(ME), [no(OperatorOutside), YES, YES, YES, YES]),
        (Explain(OTHER), [no(OperatorOutside), YES, no(NotYours), YES, no(NotYours)]),
        (ReportBoot(TICKET), [no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), YES]),
        (
            ReportBoot(STRANGE),
            [no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), no(NeedsTicket), no(NotYours)],
        ),
        (ReadBoots(ME), see_own),
        (ReadBoots(OTHER), see_others),
    ]
}

/// Fails to compile when an action is added, so that it gets a row above.
fn has_row(action: &Action) -> bool {
    use Action::*;
    match action {
        CreateOrg | ListOrgs | ReadStoreStatus | Unlock | Lock | ListKeyslots | EditKeyslots
        | ReEncryptAll | Backup | ReadMetrics | ReadStoreAudit | VerifyAudit | EditOperatorTokens
        | WhoAmI | ReadDepositKey | ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers
        | EditMembers | ListTokens(_) | CreateToken(_) | RevokeToken(_) | ListTickets(_)
        | CreateTicket(_) | RevokeTicket(_) | ReadAudit | ReadSecret(_) | ReadPlainValue(_) | Deposit(_)
        | EditSecret(_) | DeleteSecret(_) | ReEncryptSecret(_) | AllowRefusedName | ReadHolders(_) | Boot
        | Explain(_) | ReportBoot(_) | ReadBoots(_) => true,
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
        ];
        let decided = principals.map(|principal| decide(&principal, &action, &policy));
        assert_eq!(decided, expected, "{action:?}");
    }
}

#[test]
fn a_restricting_organization_keeps_shared_secrets_to_admins() {
    let policy = OrgPolicy { shared_by_members: false, ..OrgPolicy::default() };
    for (action, default) in matrix() {
        let restricted = decide(&is(Role::Member), &action, &policy);
        let changes = [
            Action::Deposit(Scope::Shared),
            Action::EditSecret(Scope::Shared),
            Action::DeleteSecret(Scope::Shared),
            Action::ReEncryptSecret(Scope::Shared),
            Action::ReadHolders(Scope::Shared),
        ];
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
    for (_, [operator, admin, member, auditor, ticket]) in receiving {
        assert!(operator.is_err() && admin.is_err() && member.is_err() && auditor.is_err() && ticket.is_ok());
    }
}

#[test]
fn a_denial_has_a_code_and_no_names() {
    for denied in [
        NeedsOperator,
        OperatorOutside,
        NeedsAdmin,
        NotYours,
        SharedRestricted,
        AuditorReads,
        TicketBootsOnly,
        NeedsTicket,
    ] {
        assert!(denied.reason().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        assert!(!denied.to_string().contains("mem_"));
    }
}
