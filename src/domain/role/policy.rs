//! What an organization decides for itself, and the limits that keep one member's deposits from stopping the others.

use serde::{Deserialize, Serialize};

use crate::domain::name::{MemberName, OrgName};
use crate::domain::text;
use crate::domain::value::DEFAULT_VARIABLE_CEILING;

/// The bytes of variables that a boot can be given, as the kernel counts them. A workload that starts with the usual stack limit of
/// 8 MiB has a quarter of it for arguments and environment (execve(2)); an eighth of that stays for the machine's own.
pub const BOOT_VARIABLES: u32 = (2 << 20) - (256 << 10);
/// The bytes of files that a boot can be given. Base64 makes them a third longer, which stays within the longest answer that an agent
/// reads, and they are held in the machine's memory.
pub const BOOT_FILES: u32 = 32 << 20;
/// The longest time that a record can be kept, in days: a century.
pub const LONGEST_RETENTION: u32 = 36_500;
/// The shortest retention of audit entries that an admin can choose, in days, unless the operator allows less. Within it, others
/// notice what an admin did: an admin who could keep entries for less would remove the record of their own acts.
const SHORTEST_AUDIT_RETENTION: u32 = 30;
/// How long tickets and tokens that are inactive are kept, in days, where the organization does not limit how long it keeps boots.
const INACTIVE_RETENTION: u32 = 90;

text::text_enum! {
    /// Who can change a shared secret that exists.
    pub enum SharedChanges, "who changes a shared secret: depositor or everyone" {
        /// The member who deposited it, and admins.
        Depositor = "depositor",
        /// Every member who can deposit shared secrets.
        Everyone = "everyone",
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
    /// Who changes a shared secret that exists.
    pub shared_changes: SharedChanges,
    /// What the values of each scope may take.
    pub budgets: ByteBudgets,
    /// What the operator allows the organization. Only the operator sets them: an admin would only limit themselves.
    pub quotas: RecordQuotas,
    /// The part of what the organization shares that one member who is not an admin can hold, in percent.
    pub member_share: u8,
    /// How long records of the past are kept.
    pub retention: RetentionDays,
    /// Whether a person whom a provider's groups give a role becomes a member at the first sign-in. Otherwise, an admin adds
    /// members.
    pub create_at_sign_in: bool,
}

/// What the values of each scope may take, in bytes. Variables count as the kernel counts them, with their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ByteBudgets {
    /// Variables of the shared scope.
    pub shared_variables: u32,
    /// Files of the shared scope.
    pub shared_files: u32,
    /// Variables of each private scope.
    pub private_variables: u32,
    /// Files of each private scope.
    pub private_files: u32,
}

/// How many records an organization may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RecordQuotas {
    /// Secrets of all scopes.
    pub secrets: u32,
    /// Members.
    pub members: u32,
    /// Active tickets. Those that were revoked, expired or are spent do not count.
    pub tickets: u32,
    /// Active tokens. Those that were revoked or expired do not count.
    pub tokens: u32,
    /// Boots of each member.
    pub boots_per_member: u32,
    /// The shortest retention of audit entries that an admin can choose, in days.
    pub min_audit_days: u32,
}

/// How many records an organization has, as quotas count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RecordUsage {
    /// Secrets of all scopes.
    pub secrets: u64,
    /// Members.
    pub members: u64,
    /// Active tickets.
    pub tickets: u64,
    /// Active tokens.
    pub tokens: u64,
}

/// What the secrets of a scope take, and its budgets. A scope that is over a budget boots all the same, and can only shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ScopeUsage {
    /// How many secrets there are.
    pub secrets: u64,
    /// Bytes of variables, as the kernel counts them.
    pub variables: u64,
    /// The budget for variables, in bytes.
    pub variables_budget: u64,
    /// Bytes of files.
    pub files: u64,
    /// The budget for files, in bytes.
    pub files_budget: u64,
    /// Whether it takes more than a budget allows.
    pub over_budget: bool,
}

/// What an organization uses of its budgets and quotas.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = OrgUsageView))]
pub struct OrgUsage {
    /// The shared scope.
    pub shared: ScopeUsage,
    /// What the caller deposited in it, with the caller's part of its budgets. An administrator's part is the whole.
    pub deposited: ScopeUsage,
    /// The caller's private scope.
    pub private: ScopeUsage,
    /// The members whose private scopes are over a budget, among the first 5,000; empty for callers who cannot list members.
    pub members_over_budget: Vec<MemberName>,
    /// The numbers of records.
    pub records: RecordUsage,
    /// How many records there may be. The operator sets them.
    pub quotas: RecordQuotas,
    /// The active tickets and tokens that the caller created.
    pub own: RecordUsage,
    /// How many of each the caller can have; null for an administrator.
    pub own_quotas: Option<RecordUsage>,
}

/// The quotas of an organization, and the numbers of its records.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = OrgQuotasView))]
pub struct OrgQuotas {
    /// The organization.
    pub name: OrgName,
    /// How many records there may be.
    pub quotas: RecordQuotas,
    /// How many there are.
    pub used: RecordUsage,
}

/// How long records are kept, in days. `None` keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RetentionDays {
    /// Boots, from their end.
    pub boots: Option<u32>,
    /// Audit entries.
    pub audit: Option<u32>,
}

/// Budgets that do not fit together into what a boot can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared and the private budget for {what} make {sum} bytes; a boot can be given {most}")]
pub struct BudgetsTooLarge {
    /// `variables` or `files`.
    pub what: &'static str,
    /// What both make, in bytes.
    pub sum: u64,
    /// What a boot can be given, in bytes.
    pub most: u32,
}

impl Default for OrgPolicy {
    fn default() -> Self {
        Self {
            shared_by_members: true,
            hints: true,
            variable_ceiling: DEFAULT_VARIABLE_CEILING,
            shared_changes: SharedChanges::Depositor,
            budgets: ByteBudgets::default(),
            quotas: RecordQuotas::default(),
            member_share: 10,
            retention: RetentionDays::default(),
            create_at_sign_in: false,
        }
    }
}

impl Default for ByteBudgets {
    fn default() -> Self {
        Self {
            shared_variables: 1 << 20,
            shared_files: 16 << 20,
            private_variables: 768 << 10,
            private_files: 16 << 20,
        }
    }
}

impl Default for RecordQuotas {
    fn default() -> Self {
        // Far above what people need: they stop a program that runs wild before it fills the disk.
        Self {
            secrets: 1_000_000,
            members: 100_000,
            tickets: 1_000_000,
            tokens: 1_000_000,
            boots_per_member: 100_000,
            min_audit_days: SHORTEST_AUDIT_RETENTION,
        }
    }
}

impl OrgPolicy {
    /// The part of a quota that one member who is not an admin can hold: at least one.
    pub fn member_quota(&self, quota: u32) -> u64 {
        // A part of a small quota that is rounded to nothing would exclude all members.
        (u64::from(quota) * u64::from(self.member_share) / 100).max(1)
    }

    /// How long audit entries are kept, in days. `None`: forever.
    pub fn audit_days(&self) -> Option<u32> {
        // The operator may have raised the minimum after the admin chose.
        self.retention.audit.map(|days| days.max(self.quotas.min_audit_days))
    }

    /// How long tickets and tokens that are inactive are kept, in days.
    pub fn inactive_days(&self) -> u32 {
        self.retention.boots.unwrap_or(INACTIVE_RETENTION)
    }
}

impl ByteBudgets {
    /// Checks that the shared budget and any one private budget together fit into what a boot can be given.
    pub fn check(&self) -> Result<(), BudgetsTooLarge> {
        let fits = |what, shared: u32, private: u32, most| {
            // Two of 32 bits, which could wrap around in 32.
            let sum = u64::from(shared) + u64::from(private);
            if sum <= u64::from(most) { Ok(()) } else { Err(BudgetsTooLarge { what, sum, most }) }
        };
        fits("variables", self.shared_variables, self.private_variables, BOOT_VARIABLES)?;
        fits("files", self.shared_files, self.private_files, BOOT_FILES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_budgets_fit_into_a_boot_and_a_byte_more_does_not() {
        let budgets = ByteBudgets::default();
        assert_eq!(budgets.check(), Ok(()));
        let variables = ByteBudgets { private_variables: budgets.private_variables + 1, ..budgets };
        assert_eq!(variables.check().unwrap_err().what, "variables");
        let files = ByteBudgets { shared_files: budgets.shared_files + 1, ..budgets };
        assert_eq!(files.check().unwrap_err().what, "files");
        let wrapped = ByteBudgets { shared_files: u32::MAX, private_files: 2, ..budgets };
        assert_eq!(wrapped.check().unwrap_err().sum, u64::from(u32::MAX) + 2);
    }
}
