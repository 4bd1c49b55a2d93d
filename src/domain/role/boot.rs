//! The credential that a boot received: it ends that boot, and does nothing else.

use crate::domain::id::BootId;
use crate::domain::role::{Action, Denied};

/// What the credential that a boot received may do.
pub(super) fn decide_boot(id: BootId, action: &Action) -> Result<(), Denied> {
    use Action::*;
    match action {
        EndBoot(of) if of.boot == id => Ok(()),
        EndBoot(_) => Err(Denied::NotYours),
        CreateOrg | ListOrgs | EditQuotas | Unlock | Lock | ListKeyslots | EditKeyslots | ReEncryptAll
        | Backup | ReadMetrics => Err(Denied::EndsBootOnly),
        ReadStoreAudit | VerifyAudit | VerifyState | EditOperatorTokens | WhoAmI | ReadStoreStatus
        | ReadDepositKey | ReadSettings | EditSettings | ReadCatalog | EditCatalog | ListMembers
        | EditMembers | ListLaunchers | AcceptLauncher | WithdrawAcceptance | ListAccounts | LinkAccount
        | UnlinkAccount | ConvertMember(_) | ListTokens(_) | CreateToken(_) | RevokeToken(_)
        | ListTickets(_) | CreateTicket(_) | RevokeTicket(_) | ReadAudit | ReadOwnAudit | ReadSecret(_)
        | ReadPlainValue(_) | Deposit(_) | EditSecret(_) | DeleteSecret(_) | ReEncryptSecret(_)
        | AllowRefusedName | ReadHolders(_) | Boot | Explain(_) | ReportBoot(_) | ReadBoots(_) => {
            Err(Denied::EndsBootOnly)
        }
    }
}
