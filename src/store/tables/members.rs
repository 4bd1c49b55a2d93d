//! Members of an organization, by id and by name, and removals that are still to be finished.

use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::role::Role;
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const MEMBERS: Table = Table::new(b'm', "members");
pub(crate) const MEMBER_NAMES: Table = Table::new(b'M', "member name");
pub(crate) const REMOVALS: Table = Table::new(b'z', "removals");

pub(crate) fn removals() -> Prefix<RemovalRecord> {
    REMOVALS.all()
}

pub(crate) fn removal(member: MemberId) -> Key<RemovalRecord> {
    REMOVALS.by_id(member.as_bytes())
}

impl Records {
    pub(crate) fn members(&self, org: OrgId) -> Prefix<MemberRecord> {
        self.grouped(&MEMBERS, &[org.as_bytes()])
    }

    pub(crate) fn member(&self, org: OrgId, id: MemberId) -> Key<MemberRecord> {
        self.members(org).key(id.as_bytes())
    }

    pub(crate) fn member_name(&self, org: OrgId, name: &MemberName) -> Key<MemberId> {
        self.hashed(&MEMBER_NAMES, &[org.as_bytes(), name.as_str().as_bytes()])
    }
}

/// A member, or a former member: the record stays, so that what the member wrote still has an author.
#[derive(Clone)]
pub(crate) struct MemberRecord {
    pub(crate) id: MemberId,
    pub(crate) name: MemberName,
    pub(crate) role: Role,
    pub(crate) created_at: Timestamp,
    pub(crate) removed_at: Option<Timestamp>,
}

stored! {
    StoredMemberV1 = MemberRecord {
        id: [u8; 16],
        name: String,
        role: String,
        created_at: i64,
        removed_at: Option<i64>,
    }
}

record! { MemberRecord {} newest 1 => StoredMemberV1 }
record! { MemberId {} newest 1 => [u8; 16] }
// Whose a token is; none is the operator.
record! { Option<MemberId> {} newest 1 => Option<[u8; 16]> }

/// A removed member whose secrets, tokens and tickets are still to be deleted.
#[derive(Clone)]
pub(crate) struct RemovalRecord {
    pub(crate) org: OrgId,
    pub(crate) member: MemberId,
}

stored! {
    StoredRemovalV1 = RemovalRecord { org: [u8; 16], member: [u8; 16] }
}

record! { RemovalRecord {} newest 1 => StoredRemovalV1 }
