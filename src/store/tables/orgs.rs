//! Organizations, by id and by name.

use serde_bytes::ByteBuf;

use crate::domain::id::OrgId;
use crate::domain::name::OrgName;
use crate::domain::role::{ByteBudgets, OrgPolicy, RecordQuotas, RetentionDays, SharedChanges};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const ORGS: Table = Table::new(b'o', "organizations");
pub(crate) const ORG_NAMES: Table = Table::new(b'O', "organization name");

pub(crate) fn orgs() -> Prefix<OrgRecord> {
    ORGS.all()
}

pub(crate) fn org(id: OrgId) -> Key<OrgRecord> {
    ORGS.by_id(id.as_bytes())
}

impl Records {
    pub(crate) fn org_name(&self, name: &OrgName) -> Key<OrgId> {
        self.hashed(&ORG_NAMES, &[name.as_str().as_bytes()])
    }
}

/// An organization.
#[derive(Clone)]
pub(crate) struct OrgRecord {
    pub(crate) id: OrgId,
    pub(crate) name: OrgName,
    pub(crate) created_at: Timestamp,
    pub(crate) policy: OrgPolicy,
    /// How many admins it has; never 0.
    pub(crate) admins: u32,
}

stored! {
    StoredOrgPolicyV1 = OrgPolicy { shared_by_members: bool, hints: bool, variable_ceiling: u32 }
    before {
        shared_changes: SharedChanges::Depositor,
        budgets: ByteBudgets::default(),
        quotas: RecordQuotas::default(),
        member_share: 10,
        retention: RetentionDays::default(),
        create_at_sign_in: false,
    }
}

stored! {
    StoredOrgPolicyV2 = OrgPolicy {
        shared_by_members: bool,
        hints: bool,
        variable_ceiling: u32,
        shared_changes: String,
        budgets: StoredByteBudgetsV1,
        quotas: StoredRecordQuotasV1,
        member_share: u8,
        retention: StoredRetentionDaysV1,
    } before { create_at_sign_in: false }
}

stored! {
    StoredOrgPolicyV3 = OrgPolicy {
        shared_by_members: bool,
        hints: bool,
        variable_ceiling: u32,
        shared_changes: String,
        budgets: StoredByteBudgetsV1,
        quotas: StoredRecordQuotasV1,
        member_share: u8,
        retention: StoredRetentionDaysV1,
        create_at_sign_in: bool,
    }
}

stored! {
    StoredByteBudgetsV1 = ByteBudgets {
        shared_variables: u32,
        shared_files: u32,
        private_variables: u32,
        private_files: u32,
    }
}

stored! {
    StoredRecordQuotasV1 = RecordQuotas {
        secrets: u32,
        members: u32,
        tickets: u32,
        tokens: u32,
        boots_per_member: u32,
        min_audit_days: u32,
    }
}

stored! {
    StoredRetentionDaysV1 = RetentionDays { boots: Option<u32>, audit: Option<u32> }
}

// A format of its own inside the record around it, because policies gain fields.
record! { OrgPolicy { 1 => StoredOrgPolicyV1, 2 => StoredOrgPolicyV2, } newest 3 => StoredOrgPolicyV3 }

stored! {
    StoredOrgV1 = OrgRecord {
        id: [u8; 16],
        name: String,
        created_at: i64,
        policy: StoredOrgPolicyV1,
        admins: u32,
    }
}

stored! {
    StoredOrgV2 = OrgRecord {
        id: [u8; 16],
        name: String,
        created_at: i64,
        policy: ByteBuf,
        admins: u32,
    }
}

record! { OrgRecord { 1 => StoredOrgV1, } newest 2 => StoredOrgV2 }
record! { OrgId {} newest 1 => [u8; 16] }
