//! Who may act for a member, by its record and the other one's.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::id::MemberId;
use crate::domain::name::MemberName;
use crate::domain::role::{MemberKind, Role};
use crate::domain::time::Timestamp;
use crate::store::rules::enrolments::Enrolment;
use crate::store::rules::members::Member;
use crate::store::tables::members::MemberRecord;

impl MemberRecord {
    pub(crate) fn into_member(
        self,
        people: &BTreeMap<MemberId, MemberRecord>,
        pending: &BTreeMap<MemberId, Timestamp>,
    ) -> Member {
        let name = |id: &MemberId| people.get(id).map(|member| member.name.clone());
        let is_member = |id: &&MemberId| people.get(id).is_some_and(|member| member.removed_at.is_none());
        let enrolment = match self.enrolled_at {
            Some(at) => Some(Enrolment::Redeemed { at, from: self.enrolled_from }),
            None => pending.get(&self.id).map(|expires_at| Enrolment::Pending { expires_at: *expires_at }),
        };
        Member {
            author: self.author.as_ref().and_then(name),
            managers: self.managers.iter().filter(is_member).filter_map(name).collect(),
            id: self.id,
            name: self.name,
            role: self.role,
            kind: self.kind,
            created_at: self.created_at,
            enrolment,
        }
    }

    /// A person, which nobody has enrolled yet.
    pub(crate) fn new(id: MemberId, name: MemberName, role: Role, created_at: Timestamp) -> Self {
        Self {
            id,
            name,
            role,
            created_at,
            removed_at: None,
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

    /// Whether another member may create what acts for this one.
    pub(crate) fn is_represented_by(&self, author: &Self) -> bool {
        match (self.kind, author.kind) {
            (MemberKind::Person, MemberKind::Launcher) => {
                author.enrolled_at.is_some() && self.accepts.contains_key(&author.id)
            }
            (MemberKind::Service, MemberKind::Person | MemberKind::Service) => {
                // An auditor receives no values, also not by what it created as a manager.
                author.manages.contains(&self.id) && author.role != Role::Auditor
            }
            // A person's private scope is theirs alone, and a launcher's credentials are its own.
            (MemberKind::Person, MemberKind::Person | MemberKind::Service)
            | (MemberKind::Service, MemberKind::Launcher)
            | (MemberKind::Launcher, _) => false,
        }
    }

    /// Whether what another member made for this one still works.
    pub(crate) fn honours(&self, author: &Self) -> bool {
        // An admin's tickets and tokens for a person are from before a person's scope was theirs alone.
        let legacy = self.kind == MemberKind::Person && author.kind != MemberKind::Launcher;
        author.removed_at.is_none() && (legacy || self.is_represented_by(author))
    }
}
