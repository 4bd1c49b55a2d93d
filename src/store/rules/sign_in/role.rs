//! The role of a member follows the groups of the person who signs in, where the operator's configuration says so.

use crate::domain::id::OrgId;
use crate::domain::role::Role;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::error::Error;
use crate::store::rules::sign_in::RoleChange;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::orgs;

impl Tx<'_> {
    /// Gives a member the role that the person's groups give, if they decide it. The caller stores the record. The last admin
    /// keeps the role: without an admin, nobody could appoint one, and the provider's groups do not make one by themselves.
    pub(crate) fn follow_role(
        &mut self,
        org: OrgId,
        member: &mut MemberRecord,
        granted: Option<Role>,
    ) -> Result<RoleChange, Stop<Error>> {
        let Some(granted) = granted.filter(|granted| *granted != member.role) else {
            return Ok(RoleChange::Unchanged);
        };
        if member.role == Role::Admin {
            let record = self.get(&orgs::org(org))?.ok_or(Failure::Corrupt)?;
            if record.admins <= 1 {
                return Ok(RoleChange::KeptLastAdmin { granted });
            }
        }
        let is_admin = |role| i8::from(role == Role::Admin);
        let from = std::mem::replace(&mut member.role, granted);
        self.count_admins(org, is_admin(granted) - is_admin(from))?;
        Ok(RoleChange::Changed { from })
    }
}
