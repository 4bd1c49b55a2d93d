//! Enrolments: the codes that new members redeem once for a first token.

use std::net::IpAddr;

use crate::domain::id::{EnrolmentId, MemberId, OrgId};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::table::Table;

pub(crate) const ENROLMENTS: Table = Table::new(b'E', "enrolment");

pub(crate) fn all_enrolments() -> Prefix<EnrolmentRecord> {
    ENROLMENTS.all()
}

pub(crate) fn enrolment(id: EnrolmentId) -> Key<EnrolmentRecord> {
    ENROLMENTS.by_id(id.as_bytes())
}

/// An enrolment. Only the hash of its secret is stored. It stays after its redemption, so that a second attempt learns when and
/// from where the first one came.
#[derive(Clone)]
pub(crate) struct EnrolmentRecord {
    pub(crate) id: EnrolmentId,
    pub(crate) hash: [u8; 32],
    pub(crate) org: OrgId,
    pub(crate) member: MemberId,
    /// Who created it. None: the operator.
    pub(crate) author: Option<MemberId>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) redeemed_at: Option<Timestamp>,
    pub(crate) redeemed_from: Option<IpAddr>,
}

stored! {
    StoredEnrolmentV1 = EnrolmentRecord {
        id: [u8; 16],
        hash: [u8; 32],
        org: [u8; 16],
        member: [u8; 16],
        author: Option<[u8; 16]>,
        created_at: i64,
        expires_at: i64,
        redeemed_at: Option<i64>,
        redeemed_from: Option<String>,
    }
}

record! { EnrolmentRecord {} newest 1 => StoredEnrolmentV1 }
