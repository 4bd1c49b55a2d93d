//! The credential of a monitoring system: it reads the metrics, and does nothing else.

use crate::domain::role::{Action, Denied};

/// What a token for metrics may do.
pub(super) fn decide_metrics(action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        ReadMetrics => Ok(()),
        CreateOrg | ListOrgs | EditQuotas | Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll
        | Backup | ReadStoreAudit | VerifyAudit | VerifyState | EditOperatorTokens | WhoAmI
        | ReadStoreStatus | ReadDepositKey => Err(Denied::MetricsOnly),
        ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers | EditMembers
        | ListLaunchers | AcceptLauncher | WithdrawAcceptance | ListAccounts | LinkAccount
        | UnlinkAccount | ConvertMember(_) | ListTokens(_) | CreateToken(_) | RevokeToken(_)
        | ListTickets(_) | CreateTicket(_) | RevokeTicket(_) | ReadAudit | ReadOwnAudit | ReadSecret(_)
        | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_) | ReEncryptSecret(_)
        | AllowRefusedName | ReadHolders(_) | Boot | Explain(_) | ReportBoot(_) | EndBoot(_)
        | ReadBoots(_) => Err(Denied::MetricsOnly),
    }
}
