//! Members of an organization and their roles.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, Role};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::Prefix;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once};
use crate::store::rules::page::{Cursor, Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::members;
use crate::store::tables::members::{MemberRecord, RemovalRecord};
use crate::store::tables::orgs;

/// Index records that are read for one page of a filtered list, at most.
const MAX_READ: usize = 5000;

/// A member to add. It has no token at first: see [`Store::create_token`].
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Its name, unique in the organization.
    pub name: MemberName,
    /// Its role.
    pub role: Role,
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
    /// When it was added.
    pub created_at: Timestamp,
}

impl Store {
    /// Adds a member (an admin).
    pub async fn create_member(
        &self,
        caller: &Caller,
        new: NewMember,
        idempotency: Option<&str>,
    ) -> Result<Member, Error> {
        self.permit(caller, Action::EditMembers, AuditAction::MemberCreate, None).await?;
        let org = caller.own_org()?;
        let parts = vec![new.name.as_str().into(), new.role.as_str().into()];
        let request = RepeatableRequest { operation: "create member", parts, value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let id = MemberId::from_bytes(self.records().random_bytes());
        let event = caller.event(AuditAction::MemberCreate).about(target::member(id, &new.name));
        let event = event.detail(DetailKey::Role, new.role);
        let reads = vec![orgs::org(org).to_vec(), self.records().member_name(org, &new.name).to_vec()];
        let made = self.journal().run(reads, move |tx| {
            once(tx, repeatable.as_ref(), |tx| {
                let name_key = tx.records().member_name(org, &new.name);
                // The commit requires that the name stays absent, so that two requests cannot both take it.
                if tx.has(&name_key)? {
                    return Err(Error::Taken { what: "member" }.into());
                }
                let member = MemberRecord {
                    id,
                    name: new.name.clone(),
                    role: new.role,
                    created_at: tx.now(),
                    removed_at: None,
                };
                tx.put(&name_key, &id)?;
                tx.put(&tx.records().member(org, id), &member)?;
                if new.role == Role::Admin {
                    tx.count_admins(org, 1)?;
                }
                tx.audit(event.clone());
                Ok(member)
            })
        });
        Ok(made.await?.0.into())
    }

    /// Lists the members of the caller's organization, ascending by id.
    pub async fn list_members(&self, caller: &Caller, page: PageAsk) -> Result<Page<Member>, Error> {
        self.permit(caller, Action::ListMembers, AuditAction::MemberList, None).await?;
        let prefix = self.records().members(caller.own_org()?);
        let after = self.page_start(&page)?;
        let scanned = self.records().scan(&prefix, after.as_deref(), page.limit()).await?;
        // From the page before removed members are left out, so that a page of removed ones still leads on.
        let next = scanned.found.last().filter(|_| scanned.more).map(|last| self.cursor(&last.key));
        let members = scanned.found.into_iter().map(|found| found.record).filter(|m| m.removed_at.is_none());
        Ok(Page { items: members.map(Member::from).collect(), next })
    }

    /// Returns a member by name. Everybody may read their own.
    pub async fn member(&self, caller: &Caller, name: &MemberName) -> Result<Member, Error> {
        // Everybody may see their own role, which decides what the console offers.
        if caller.member().is_none_or(|(_, own)| own != name) {
            self.permit(caller, Action::ListMembers, AuditAction::MemberList, None).await?;
        }
        self.member_record(caller.own_org()?, name).await.map(Member::from)
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
            let before = std::mem::replace(&mut member.role, role);
            tx.count_admins(org, is_admin(role) - is_admin(before))?;
            tx.put(&key, &member)?;
            tx.audit(event.clone().detail(DetailKey::Previous, before));
            Ok::<_, Stop<Error>>(member)
        });
        Ok(changed.await?.into())
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
            tx.put(&key, &member)?;
            // A new member may take the name. The record under the id keeps it for the audit log.
            tx.delete(&name_key);
            tx.put(&members::removal(id), &RemovalRecord { org, member: id })?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(member)
        });
        let removed = removed.await?;
        // Not waited for: nothing of the member works any more, whatever is still stored.
        self.inner.background.notify_one();
        Ok(removed.into())
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

    /// The names of the members of these ids, without removed ones.
    pub(crate) async fn member_names(
        &self,
        org: OrgId,
        ids: BTreeSet<MemberId>,
    ) -> Result<BTreeMap<MemberId, MemberName>, Failure> {
        let members = self.members_by_id(org, ids).await?;
        let there = members.into_iter().filter(|(_, member)| member.removed_at.is_none());
        Ok(there.map(|(id, member)| (id, member.name)).collect())
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

    /// Changes the count of an organization's admins, and refuses to leave it without one.
    fn count_admins(&mut self, org: OrgId, change: i8) -> Result<(), Stop<Error>> {
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

impl From<MemberRecord> for Member {
    fn from(record: MemberRecord) -> Self {
        let MemberRecord { id, name, role, created_at, removed_at: _ } = record;
        Self { id, name, role, created_at }
    }
}
