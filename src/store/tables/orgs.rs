//! Organizations, by id and by name.

use crate::domain::id::OrgId;
use crate::domain::name::OrgName;
use crate::domain::role::OrgPolicy;
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
}

stored! {
    StoredOrgV1 = OrgRecord {
        id: [u8; 16],
        name: String,
        created_at: i64,
        policy: StoredOrgPolicyV1,
        admins: u32,
    }
}

record! { OrgRecord {} newest 1 => StoredOrgV1 }
record! { OrgId {} newest 1 => [u8; 16] }
