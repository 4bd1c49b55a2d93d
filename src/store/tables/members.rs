//! Members of an organization, by id and by name, and removals that are still to be finished.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::domain::id::{EnrolmentId, MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::role::{MemberKind, Role};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const MEMBERS: Table = Table::new(b'm', "members");
pub(crate) const MEMBER_NAMES: Table = Table::new(b'M', "member name");
pub(crate) const REMOVALS: Table = Table::new(b'z', "removals");
pub(crate) const DISMISSALS: Table = Table::new(b'g', "dismissals");

pub(crate) fn removals() -> Prefix<RemovalRecord> {
    REMOVALS.all()
}

pub(crate) fn removal(member: MemberId) -> Key<RemovalRecord> {
    REMOVALS.by_id(member.as_bytes())
}

pub(crate) fn dismissals() -> Prefix<DismissalRecord> {
    DISMISSALS.all()
}

pub(crate) fn dismissal(id: [u8; 16]) -> Key<DismissalRecord> {
    DISMISSALS.by_id(&id)
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
    pub(crate) kind: MemberKind,
    /// Who added it. None: the operator, or a program that did not store it.
    pub(crate) author: Option<MemberId>,
    /// The services that it manages. This decides: every use of what a manager made reads the manager's record.
    pub(crate) manages: BTreeSet<MemberId>,
    /// The managers of a service, for lists. Changed in the same commit as their records.
    pub(crate) managers: BTreeSet<MemberId>,
    /// The launchers that it accepted, and when.
    pub(crate) accepts: BTreeMap<MemberId, Timestamp>,
    /// The enrolment that it can redeem, or has redeemed. None: a service, or a member from before enrolments.
    pub(crate) enrolment: Option<EnrolmentId>,
    pub(crate) enrolled_at: Option<Timestamp>,
    /// The address that redeemed it.
    pub(crate) enrolled_from: Option<IpAddr>,
}

stored! {
    StoredMemberV1 = MemberRecord {
        id: [u8; 16],
        name: String,
        role: String,
        created_at: i64,
        removed_at: Option<i64>,
    } before {
        kind: MemberKind::Person,
        author: None,
        manages: BTreeSet::new(),
        managers: BTreeSet::new(),
        accepts: BTreeMap::new(),
        enrolment: None,
        enrolled_at: None,
        enrolled_from: None,
    }
}

stored! {
    StoredMemberV2 = MemberRecord {
        id: [u8; 16],
        name: String,
        role: String,
        created_at: i64,
        removed_at: Option<i64>,
        kind: String,
        author: Option<[u8; 16]>,
        manages: Vec<[u8; 16]>,
        managers: Vec<[u8; 16]>,
        accepts: Vec<([u8; 16], i64)>,
        enrolment: Option<[u8; 16]>,
        enrolled_at: Option<i64>,
        enrolled_from: Option<String>,
    }
}

record! { MemberRecord { 1 => StoredMemberV1, } newest 2 => StoredMemberV2 }
record! { MemberId {} newest 1 => [u8; 16] }
// The owner of a token. `None` is the operator.
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

/// A member who no longer acts for another one. What it made for the other one is still to be revoked.
#[derive(Clone)]
pub(crate) struct DismissalRecord {
    pub(crate) org: OrgId,
    pub(crate) author: MemberId,
    pub(crate) member: MemberId,
    /// What was made later belongs to a new appointment.
    pub(crate) at: Timestamp,
}

stored! {
    StoredDismissalV1 = DismissalRecord { org: [u8; 16], author: [u8; 16], member: [u8; 16], at: i64 }
}

record! { DismissalRecord {} newest 1 => StoredDismissalV1 }
