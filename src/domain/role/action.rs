//! Everything that can be asked of a store, with what a decision about it needs and nothing else.

use crate::domain::id::TicketId;
use crate::domain::role::subject::{BootSubject, ScopeSubject, Subject};

/// Everything that can be asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    // The store.
    /// Make an organization with its first admin.
    CreateOrg,
    ListOrgs,
    /// Change the quotas of an organization.
    EditQuotas,
    Unlock,
    Lock,
    ListKeyslots,
    EditKeyslots,
    /// Re-encrypt everything under a new generation.
    ReEncryptAll,
    Backup,
    ReadMetrics,
    /// Read the audit entries that belong to no organization.
    ReadStoreAudit,
    /// Verify the audit log.
    VerifyAudit,
    /// Verify the rows of all organizations beside the audit log.
    VerifyState,
    /// Issue or revoke the operator's own tokens.
    EditOperatorTokens,

    // Anyone with a credential.
    /// Ask who one is, and what one may do.
    WhoAmI,
    /// See whether the store is locked, its key generation, its byte store, and how far a re-encryption is.
    ReadStoreStatus,
    ReadDepositKey,

    // The organization.
    ReadSettings,
    EditSettings,
    /// List plugins, categories and presets.
    ReadCatalog,
    /// Declare, enable or disable plugins; change categories.
    EditCatalog,
    ListMembers,
    /// Add, change or remove a member.
    EditMembers,
    /// List the launchers that an admin authorized.
    ListLaunchers,
    /// Accept a launcher for oneself.
    AcceptLauncher,
    /// Withdraw one's own acceptance of a launcher.
    WithdrawAcceptance,
    /// List the accounts at providers that sign in as oneself.
    ListAccounts,
    /// Link an account at a provider to oneself.
    LinkAccount,
    /// Unlink one's own account at a provider.
    UnlinkAccount,
    /// Turn a person into a service.
    ConvertMember(Subject),
    ListTokens(Subject),
    CreateToken(Subject),
    RevokeToken(Subject),
    /// List the tickets that act for a member.
    ListTickets(Subject),
    /// Make a ticket that acts for a member.
    CreateTicket(Subject),
    /// Revoke a ticket that acts for a member.
    RevokeTicket(Subject),
    ReadAudit,
    /// Read the audit entries about oneself.
    ReadOwnAudit,

    // Secrets.
    /// Read a secret's metadata.
    ReadSecret(ScopeSubject),
    /// Read the value of a secret of type `plain`.
    ReadPlainValue(ScopeSubject),
    /// Create a secret or replace its value.
    Deposit(ScopeSubject),
    /// Change a secret's metadata.
    EditSecret(ScopeSubject),
    DeleteSecret(ScopeSubject),
    /// Re-encrypt one secret: the same value under fresh keys.
    ReEncryptSecret(ScopeSubject),
    /// Allow an exported name that is refused otherwise.
    AllowRefusedName,
    /// See which boots still hold a secret.
    ReadHolders(ScopeSubject),

    // Boots.
    /// Boot: receive the values in scope.
    Boot,
    /// See what a boot for this member would receive, without values.
    Explain(Subject),
    /// Report on a boot that this ticket made.
    ReportBoot(TicketId),
    /// Report the end of a boot.
    EndBoot(BootSubject),
    ReadBoots(Subject),
}
