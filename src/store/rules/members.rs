//! Members of an organization and their roles.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, Denied, MemberKind, Role, Subject};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::Prefix;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::enrolments::{Enrolment, EnrolmentIssued, NewEnrolment};
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::page::{Cursor, Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::members::{self, MemberRecord, RemovalRecord};
use crate::store::tables::usage::CountOf;
use crate::store::tables::{enrolments, orgs};

/// Index records that are read for one page of a filtered list, at most.
const MAX_READ: usize = 5000;

/// A member to add. It has no token at first: a person or launcher redeems an enrolment, and the managers of a service create its
/// tokens.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Its name, unique in the organization.
    pub name: MemberName,
    /// Its role.
    pub role: Role,
    /// Person, service or launcher.
    pub kind: MemberKind,
    /// How long its enrolment can be redeemed. Absent: [`ENROLMENT_TTL`](crate::store::ENROLMENT_TTL).
    pub ttl: Option<Duration>,
    /// The managers of a service.
    pub managers: Vec<MemberName>,
}

impl NewMember {
    /// A person to add.
    pub fn person(name: MemberName, role: Role) -> Self {
        Self { name, role, kind: MemberKind::Person, ttl: None, managers: Vec::new() }
    }

    /// A launcher to add.
    pub fn launcher(name: MemberName) -> Self {
        Self { kind: MemberKind::Launcher, ..Self::person(name, Role::Member) }
    }

    /// A service to add.
    pub fn service(name: MemberName, managers: Vec<MemberName>) -> Self {
        Self { name, role: Role::Member, kind: MemberKind::Service, ttl: None, managers }
    }
}

/// A new member.
#[derive(Debug)]
pub struct MemberCreated {
    /// The member.
    pub member: Member,
    /// How it gets its first token. Absent for a service.
    pub enrolment: Option<EnrolmentIssued>,
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: MemberName,
    /// Its role.
    pub role: Role,
    /// Person, service or launcher.
    pub kind: MemberKind,
    /// When it was added.
    pub created_at: Timestamp,
    /// The member who added it. Absent: the operator, or unknown for a member from an older version.
    pub author: Option<MemberName>,
    /// The managers of a service.
    pub managers: Vec<MemberName>,
    /// Its enrolment. Absent for a service, and for a member from an older version.
    pub enrolment: Option<Enrolment>,
}

impl Store {
    /// Adds a member (an admin). A repeated idempotency key is a conflict, because an enrolment cannot be shown twice.
    pub async fn create_member(
        &self,
        caller: &Caller,
        new: NewMember,
        idempotency: Option<&str>,
    ) -> Result<MemberCreated, Error> {
        self.permit(caller, Action::EditMembers, AuditAction::MemberCreate, None).await?;
        new.check()?;
        let (org, author) = caller.own_member()?;
        let managers = self.manager_ids(org, &new.managers).await?;
        let request = RepeatableRequest { operation: "create member", parts: new.parts(), value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let id = MemberId::from_bytes(self.records().random_bytes());
        let enrolment = new.kind.is_enrolled().then(|| NewEnrolment::new(self, new.ttl));
        let code = enrolment.as_ref().map(|enrolment| enrolment.credential.credential());
        let event = caller.event(AuditAction::MemberCreate).about(target::member(id, &new.name));
        let event = event.detail(DetailKey::Role, new.role).detail(DetailKey::State, new.kind);
        let (measured, quota) =
            (self.measure_records(org, CountOf::Members).await?, caller.policy().quotas.members);
        let mut reads = vec![orgs::org(org).to_vec(), self.records().member_name(org, &new.name).to_vec()];
        reads.extend(managers.iter().map(|manager| self.records().member(org, *manager).to_vec()));
        let made = self.journal().run(reads, move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| {
                let name_key = tx.records().member_name(org, &new.name);
                // The commit requires that the name stays absent, so that two requests cannot both take it.
                if tx.has(&name_key)? {
                    return Err(Error::Taken { what: "member" }.into());
                }
                let record = MemberRecord::new(id, new.name.clone(), new.role, tx.now());
                let mut member = MemberRecord { kind: new.kind, author: Some(author), ..record };
                let mut event = event.clone();
                for (manager, name) in managers.iter().zip(&new.managers) {
                    tx.appoint(org, &mut member, *manager)?;
                    event = event.detail(DetailKey::Manager, name);
                }
                let expires_at = match &enrolment {
                    Some(enrolment) => Some(enrolment.put(tx, org, &mut member, Some(author))?),
                    None => None,
                };
                tx.count_new(org, CountOf::Members, measured, quota)?;
                tx.put(&name_key, &id)?;
                tx.put(&tx.records().member(org, id), &member)?;
                if new.role == Role::Admin {
                    tx.count_admins(org, 1)?;
                }
                tx.audit(
                    expires_at.into_iter().fold(event, |event, at| event.detail(DetailKey::Expires, at)),
                );
                Ok((member, expires_at))
            })
        });
        let (member, expires_at) = made.await?;
        let enrolment = code.zip(expires_at).map(|(credential, expires_at)| EnrolmentIssued {
            member: member.name.clone(),
            expires_at,
            credential,
        });
        Ok(MemberCreated { member: self.show_member(org, member).await?, enrolment })
    }

    /// Lists the members of the caller's organization, ascending by id.
    pub async fn list_members(&self, caller: &Caller, page: PageAsk) -> Result<Page<Member>, Error> {
        self.permit(caller, Action::ListMembers, AuditAction::MemberList, None).await?;
        let org = caller.own_org()?;
        let prefix = self.records().members(org);
        let after = self.page_start(&page)?;
        let scanned = self.records().scan(&prefix, after.as_deref(), page.limit()).await?;
        // From the page before removed members are left out, so that a page of removed ones still leads on.
        let next = scanned.found.last().filter(|_| scanned.more).map(|last| self.cursor(&last.key));
        let members = scanned.found.into_iter().map(|found| found.record).filter(|m| m.removed_at.is_none());
        Ok(Page { items: self.show_members(org, members.collect()).await?, next })
    }

    /// Returns a member by name. Everybody may read their own.
    pub async fn member(&self, caller: &Caller, name: &MemberName) -> Result<Member, Error> {
        // Everybody may see their own role, which decides what the console offers.
        if caller.member().is_none_or(|(_, own)| own != name) {
            self.permit(caller, Action::ListMembers, AuditAction::MemberList, None).await?;
        }
        let org = caller.own_org()?;
        let member = self.member_record(org, name).await?;
        self.show_member(org, member).await
    }

    /// Changes a member's role (an admin). The last admin keeps the role.
    pub async fn set_role(&self, caller: &Caller, name: &MemberName, role: Role) -> Result<Member, Error> {
        self.permit(caller, Action::EditMembers, AuditAction::MemberEdit, None).await?;
        let org = caller.own_org()?;
        // The id and not the name from here on: the name may pass to another member meanwhile.
        let id = self.member_record(org, name).await?.id;
        let event = caller.event(AuditAction::MemberEdit).about(target::member(id, name));
        let event = event.detail(DetailKey::Role, role);
        let key = self.records().member(org, id);
        let changed = self.journal().run(vec![key.to_vec(), orgs::org(org).to_vec()], move |tx| {
            let mut member = tx.get_member(org, id)?;
            if member.kind != MemberKind::Person && role != Role::Member {
                let why = "a service or launcher has the role `member`";
                return Err(Error::Invalid { field: "role", why }.into());
            }
            let before = std::mem::replace(&mut member.role, role);
            tx.count_admins(org, is_admin(role) - is_admin(before))?;
            tx.put(&key, &member)?;
            tx.audit(event.clone().detail(DetailKey::Previous, before));
            Ok::<_, Stop<Error>>(member)
        });
        let member = changed.await?;
        self.show_member(org, member).await
    }

    /// Removes a member (an admin). In one commit, its tokens and tickets stop working, its private secrets disappear and its
    /// name is free again. The background task deletes their records. The last admin cannot be removed.
    pub async fn remove_member(&self, caller: &Caller, name: &MemberName) -> Result<Member, Error> {
        self.permit(caller, Action::EditMembers, AuditAction::MemberDelete, None).await?;
        let org = caller.own_org()?;
        let id = self.member_record(org, name).await?.id;
        let event = caller.event(AuditAction::MemberDelete).about(target::member(id, name));
        let (key, name_key) = (self.records().member(org, id), self.records().member_name(org, name));
        let reads = vec![key.to_vec(), orgs::org(org).to_vec()];
        let removed = self.journal().run(reads, move |tx| {
            let mut member = tx.get_member(org, id)?;
            tx.count_admins(org, -is_admin(member.role))?;
            // Every use of a token, ticket or private secret looks at this, so that one record ends all of them.
            member.removed_at = Some(tx.now());
            tx.count_if_stored(org, CountOf::Members, -1)?;
            tx.put(&key, &member)?;
            // A new member may take the name. The record under the id keeps it for the audit log.
            tx.delete(&name_key);
            tx.put(&members::removal(id), &RemovalRecord { org, member: id })?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(member)
        });
        let removed = removed.await?;
        // Not waited for: the member's credentials have stopped working, even if records remain.
        self.inner.background.notify_one();
        self.show_member(org, removed).await
    }

    pub(crate) async fn show_member(&self, org: OrgId, member: MemberRecord) -> Result<Member, Error> {
        self.show_members(org, vec![member]).await?.pop().ok_or(Failure::Internal.into())
    }

    /// Returns members as callers see them.
    async fn show_members(&self, org: OrgId, members: Vec<MemberRecord>) -> Result<Vec<Member>, Error> {
        let people = members.iter().flat_map(|member| member.author.iter().chain(&member.managers));
        // One read for all names of the list, and one for the enrolments that are pending.
        let people = self.members_by_id(org, people.copied().collect()).await?;
        let pending = members.iter().filter(|member| member.enrolled_at.is_none());
        let keys: Vec<_> = pending.filter_map(|member| member.enrolment).map(enrolments::enrolment).collect();
        let pending: BTreeMap<MemberId, Timestamp> = self
            .records()
            .get_all(&keys)
            .await?
            .into_iter()
            .flatten()
            .map(|enrolment| (enrolment.member, enrolment.expires_at))
            .collect();
        Ok(members.into_iter().map(|member| member.into_member(&people, &pending)).collect())
    }

    pub(crate) async fn member_record(&self, org: OrgId, name: &MemberName) -> Result<MemberRecord, Error> {
        let not_found = || Error::NotFound { what: "member" };
        let id = self.records().get(&self.records().member_name(org, name)).await?.ok_or_else(not_found)?;
        let member = self.records().get(&self.records().member(org, id)).await?;
        member.filter(|member| member.removed_at.is_none()).ok_or_else(not_found)
    }

    /// The member of that name in the caller's organization. Without a name, the caller.
    pub(crate) async fn member_or_self(
        &self,
        caller: &Caller,
        name: Option<&MemberName>,
    ) -> Result<(MemberId, MemberName), Error> {
        let (org, own) = caller.own_member()?;
        match (name, caller.member()) {
            (None, Some((_, own_name))) => Ok((own, own_name.clone())),
            // No look-up for one's own name, which is what most requests name.
            (Some(name), Some((_, own_name))) if name == own_name => Ok((own, own_name.clone())),
            (Some(name), _) => self.member_record(org, name).await.map(|member| (member.id, member.name)),
            (None, None) => Err(Failure::Internal.into()),
        }
    }

    /// As [`member_or_self`](Self::member_or_self), with the caller's relation to the member.
    pub(crate) async fn member_subject(
        &self,
        caller: &Caller,
        name: Option<&MemberName>,
    ) -> Result<(MemberId, MemberName, Subject), Error> {
        let (org, own) = caller.own_member()?;
        match (name, caller.member()) {
            (Some(name), Some((_, own_name))) if name != own_name => {
                let member = self.member_record(org, name).await?;
                let subject = caller.subject_of(&member);
                Ok((member.id, member.name, subject))
            }
            (_, Some((_, own_name))) => Ok((own, own_name.clone(), Subject::Own)),
            (_, None) => Err(Failure::Internal.into()),
        }
    }

    /// The members of these ids, including removed ones.
    pub(crate) async fn members_by_id(
        &self,
        org: OrgId,
        ids: BTreeSet<MemberId>,
    ) -> Result<BTreeMap<MemberId, MemberRecord>, Failure> {
        // One read for all, because lists name the same members again and again.
        let keys: Vec<_> = ids.iter().map(|id| self.records().member(org, *id)).collect();
        let members = self.records().get_all(&keys).await?;
        Ok(members.into_iter().flatten().map(|member| (member.id, member)).collect())
    }

    /// A page of the ids of an index whose records pass `admit`, and the cursor of the next page.
    pub(crate) async fn filtered_ids<T: Record>(
        &self,
        index: &Prefix<T>,
        page: &PageAsk,
        admit: impl Fn(&T) -> bool,
    ) -> Result<(Vec<[u8; 16]>, Option<Cursor>), Error> {
        let limit = page.limit();
        let mut after = self.page_start(page)?;
        let mut ids = Vec::new();
        let mut read = 0;
        loop {
            // Larger steps than the page, because the filter may pass few of them.
            let scanned = self.records().scan(index, after.as_deref(), limit.clamp(100, 1000)).await?;
            for found in scanned.found {
                read += 1;
                if admit(&found.record) {
                    ids.extend(index.id(&found.key));
                }
                after = Some(found.key);
                if ids.len() == limit {
                    return Ok((ids, after.map(|after| self.cursor(&after))));
                }
            }
            if !scanned.more {
                return Ok((ids, None));
            }
            // A short page with a cursor bounds the work of one request.
            if read >= MAX_READ {
                return Ok((ids, after.map(|after| self.cursor(&after))));
            }
        }
    }
}

fn is_admin(role: Role) -> i8 {
    i8::from(role == Role::Admin)
}

impl Tx<'_> {
    /// Returns a member that is not removed. The commit fails if that changes.
    pub(crate) fn get_member(&mut self, org: OrgId, id: MemberId) -> Result<MemberRecord, Stop<Error>> {
        let member = self.get(&self.records().member(org, id))?;
        let there = member.filter(|member| member.removed_at.is_none());
        there.ok_or(Stop::Refused(Error::NotFound { what: "member" }))
    }

    /// Fails unless `author` may act for `member` now. The commit fails if that changes.
    pub(crate) fn check_acts_for(
        &mut self,
        org: OrgId,
        author: MemberId,
        member: MemberId,
    ) -> Result<MemberRecord, Stop<Error>> {
        let member = self.get_member(org, member)?;
        if author == member.id {
            return Ok(member);
        }
        // Both decide: a manager that is removed, and one that is no longer a manager.
        let author = self.get_member(org, author)?;
        match (member.is_represented_by(&author), author.kind) {
            (true, _) => Ok(member),
            (false, MemberKind::Launcher) => Err(Error::Forbidden(Denied::NotAccepted).into()),
            (false, MemberKind::Person | MemberKind::Service) => {
                Err(Error::Forbidden(Denied::NotYours).into())
            }
        }
    }

    /// Changes the count of an organization's admins, and refuses to leave it without one.
    pub(crate) fn count_admins(&mut self, org: OrgId, change: i8) -> Result<(), Stop<Error>> {
        // The record is not written, so that other changes of members do not conflict.
        if change == 0 {
            return Ok(());
        }
        // Counted in the organization's record: two admins who demote each other at once must conflict.
        let key = orgs::org(org);
        let mut record = self.get(&key)?.ok_or(Halt::Failed(Failure::Corrupt))?;
        record.admins = record.admins.saturating_add_signed(change.into());
        if record.admins == 0 {
            return Err(Error::LastAdmin.into());
        }
        Ok(self.put(&key, &record)?)
    }
}

impl NewMember {
    fn check(&self) -> Result<(), Error> {
        // A role is for what a person decides. A service with more than a member's would lend it to its managers.
        if self.kind != MemberKind::Person && self.role != Role::Member {
            return Err(Error::Invalid { field: "role", why: "a service or launcher has the role `member`" });
        }
        if self.kind != MemberKind::Service && !self.managers.is_empty() {
            return Err(Error::Invalid { field: "managers", why: "only a service has managers" });
        }
        if self.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(Error::Invalid { field: "ttl_seconds", why: "it must be at least 1" });
        }
        Ok(())
    }

    fn parts(&self) -> Vec<Vec<u8>> {
        // Only compared for equality, so that any unambiguous encoding will do.
        let all = (&self.name, self.role, self.kind, self.ttl, &self.managers);
        vec![postcard::to_allocvec(&all).unwrap_or_default()]
    }
}
