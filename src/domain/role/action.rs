//! Everything that can be asked of a store, with what a decision about it needs and nothing else.

use crate::domain::id::{MemberId, TicketId};
use crate::domain::secret::Scope;

/// Everything that can be asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    // The store.
    /// Make an organization with its first admin.
    CreateOrg,
    /// List organizations.
    ListOrgs,
    /// Unlock.
    Unlock,
    /// Lock.
    Lock,
    /// List key slots.
    ListKeyslots,
    /// Add or remove a key slot.
    EditKeyslots,
    /// Re-encrypt everything under a new generation.
    ReEncryptAll,
    /// Take a backup.
    Backup,
    /// Read metrics.
    ReadMetrics,
    /// Read the audit entries that belong to no organization.
    ReadStoreAudit,
    /// Verify the audit chain.
    VerifyAudit,
    /// Issue or revoke the operator's own tokens.
    EditOperatorTokens,

    // Anyone with a credential.
    /// Ask who one is, and what one may do.
    WhoAmI,
    /// See whether the store is locked, its key generation, its byte store, and how far a re-encryption is.
    ReadStoreStatus,
    /// See the deposit key.
    ReadDepositKey,

    // The organization.
    /// Read the organization's settings.
    ReadSettings,
    /// Change the organization's settings.
    EditSettings,
    /// List plugins, categories and presets.
    ReadCatalog,
    /// Declare, enable or disable plugins; change categories.
    EditCatalog,
    /// List members.
    ListMembers,
    /// Add, change or remove a member.
    EditMembers,
    /// List the tokens of a member.
    ListTokens(MemberId),
    /// Make a token for a member.
    CreateToken(MemberId),
    /// Revoke a token of a member.
    RevokeToken(MemberId),
    /// List the tickets that act for a member.
    ListTickets(MemberId),
    /// Make a ticket that acts for a member.
    CreateTicket(MemberId),
    /// Revoke a ticket that acts for a member.
    RevokeTicket(MemberId),
    /// Read the organization's audit trail.
    ReadAudit,

    // Secrets.
    /// Read a secret's metadata.
    ReadSecret(Scope),
    /// Read the value of a secret of type `plain`.
    ReadPlainValue(Scope),
    /// Create a secret or replace its value.
    Deposit(Scope),
    /// Change a secret's metadata.
    EditSecret(Scope),
    /// Delete a secret.
    DeleteSecret(Scope),
    /// Re-encrypt one secret: the same value under fresh keys.
    ReEncryptSecret(Scope),
    /// Allow an exported name that is refused otherwise.
    AllowRefusedName,
    /// See which boots still hold a secret.
    ReadHolders(Scope),

    // Boots.
    /// Boot: receive the values in scope.
    Boot,
    /// See what a boot for this member would receive, without values.
    Explain(MemberId),
    /// Report on a boot that this ticket made.
    ReportBoot(TicketId),
    /// Read the boots of a member.
    ReadBoots(MemberId),
}
