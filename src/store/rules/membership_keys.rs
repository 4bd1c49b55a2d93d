//! The keys of the records that a member's credential depends on, besides its own record. They never change, so that they are
//! cached from the credential's first request on.

use crate::domain::id::{MemberId, OrgId};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::orgs::{self, OrgRecord};

/// The keys of these records.
pub(crate) struct MembershipKeys {
    pub(crate) org: Key<OrgRecord>,
    pub(crate) member: Key<MemberRecord>,
    /// `None` if the member created the credential, or nobody knows who did.
    pub(crate) author: Option<Key<MemberRecord>>,
}

impl MembershipKeys {
    pub(crate) fn new(records: &Records, org: OrgId, member: MemberId, author: Option<MemberId>) -> Self {
        let author = author.filter(|author| *author != member).map(|id| records.member(org, id));
        Self { org: orgs::org(org), member: records.member(org, member), author }
    }

    /// In the order of the fields.
    pub(crate) fn to_vecs(&self) -> impl Iterator<Item = Vec<u8>> {
        let author = self.author.as_ref().map(Key::to_vec);
        [self.org.to_vec(), self.member.to_vec()].into_iter().chain(author)
    }
}
