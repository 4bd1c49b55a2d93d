//! Members of an organization and their roles.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, Role};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::Prefix;
use crate::store::engine::records::Record;
use crate::store::rules::audit::{Tell, target};
use crate::store::rules::auth::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{Request, once};
use crate::store::rules::page::{Cursor, Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::keyspace;

/// Index records looked at for one page of a filtered list.
const LOOK_AT: usize = 5000;

/// A member to be added. It has no token yet: see [`Store::create_token`].
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

/// A member, or one who was: the record stays, so that what the member wrote still has an author.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    pub(crate) id: MemberId,
    pub(crate) name: MemberName,
    pub(crate) role: Role,
    pub(crate) created_at: Timestamp,
    pub(crate) removed_at: Option<Timestamp>,
}

/// A removed member whose secrets, tokens and tickets are still to be deleted.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RemovalRecord {
    pub(crate) org: OrgId,
    pub(crate) member: MemberId,
}

impl Record for MemberRecord {}
impl Record for RemovalRecord {}

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
        let request = Request { operation: "create member", parts, value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let id = MemberId::from_bytes(self.records().random_bytes());
        let event = caller.event(AuditAction::MemberCreate).about(target::member(id, &new.name));
        let event = event.detail(DetailKey::Role, new.role);
        let reads = vec![keyspace::org(org).to_vec(), self.records().member_name(org, &new.name).to_vec()];
        let made = self.journal().run(reads, move |tx| {
            once(tx, repeatable.as_ref(), |tx| {
                let name_key = tx.records().member_name(org, &new.name);
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

    /// Members of the caller's organization, ascending by id.
    pub async fn list_members(&self, caller: &Caller, page: PageAsk) -> Result<Page<Member>, Error> {
        self.permit(caller, Action::ListMembers, AuditAction::MemberList, None).await?;
        let prefix = self.records().members(caller.own_org()?);
        let after = self.start_of(&page)?;
        let scanned = self.records().scan(&prefix, after.as_deref(), page.limit()).await?;
        let next = scanned.found.last().filter(|_| scanned.more).map(|last| self.cursor(&last.key));
        let there = scanned.found.into_iter().map(|found| found.record).filter(|m| m.removed_at.is_none());
        Ok(Page { items: there.map(Member::from).collect(), next })
    }

    /// One member, by name: anyone's own, and any for who may list them.
    pub async fn member(&self, caller: &Caller, name: &MemberName) -> Result<Member, Error> {
        if caller.member().is_none_or(|(_, own)| own != name) {
            self.permit(caller, Action::ListMembers, AuditAction::MemberList, None).await?;
        }
        self.member_record(caller.own_org()?, name).await.map(Member::from)
    }

    /// Gives a member another role (an admin). The last admin stays one.
    pub async fn set_role(&self, caller: &Caller, name: &MemberName, role: Role) -> Result<Member, Error> {
        self.permit(caller, Action::EditMembers, AuditAction::MemberEdit, None).await?;
        let org = caller.own_org()?;
        let id = self.member_record(org, name).await?.id;
        let event = caller.event(AuditAction::MemberEdit).about(target::member(id, name));
        let event = event.detail(DetailKey::Role, role);
        let key = self.records().member(org, id);
        let changed = self.journal().run(vec![key.to_vec(), keyspace::org(org).to_vec()], move |tx| {
            let mut member = tx.get_member(org, id)?;
            let before = std::mem::replace(&mut member.role, role);
            tx.count_admins(org, is_admin(role) - is_admin(before))?;
            tx.put(&key, &member)?;
            tx.audit(event.clone().detail(DetailKey::Previous, before));
            Ok::<_, Stop<Error>>(member)
        });
        Ok(changed.await?.into())
    }

    /// Removes a member (an admin): in one commit its tokens and tickets stop working and its private secrets are gone;
    /// their records follow in bounded batches. The name is free again. The last admin stays.
    pub async fn remove_member(&self, caller: &Caller, name: &MemberName) -> Result<Member, Error> {
        self.permit(caller, Action::EditMembers, AuditAction::MemberDelete, None).await?;
        let org = caller.own_org()?;
        let id = self.member_record(org, name).await?.id;
        let event = caller.event(AuditAction::MemberDelete).about(target::member(id, name));
        let (key, name_key) = (self.records().member(org, id), self.records().member_name(org, name));
        let reads = vec![key.to_vec(), keyspace::org(org).to_vec()];
        let removed = self.journal().run(reads, move |tx| {
            let mut member = tx.get_member(org, id)?;
            tx.count_admins(org, -is_admin(member.role))?;
            member.removed_at = Some(tx.now());
            tx.put(&key, &member)?;
            tx.delete(&name_key);
            tx.put(&keyspace::removal(id), &RemovalRecord { org, member: id })?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(member)
        });
        let removed = removed.await?;
        self.inner.chores.notify_one();
        Ok(removed.into())
    }

    pub(crate) async fn member_record(&self, org: OrgId, name: &MemberName) -> Result<MemberRecord, Error> {
        let not_found = || Error::NotFound { what: "member" };
        let id = self.records().get(&self.records().member_name(org, name)).await?.ok_or_else(not_found)?;
        let member = self.records().get(&self.records().member(org, id)).await?;
        member.filter(|member| member.removed_at.is_none()).ok_or_else(not_found)
    }

    /// The member of that name in the caller's organization; without a name the caller.
    pub(crate) async fn member_or_self(
        &self,
        caller: &Caller,
        name: Option<&MemberName>,
    ) -> Result<(MemberId, MemberName), Error> {
        let (org, own) = caller.own_member()?;
        match (name, caller.member()) {
            (None, Some((_, own_name))) => Ok((own, own_name.clone())),
            (Some(name), Some((_, own_name))) if name == own_name => Ok((own, own_name.clone())),
            (Some(name), _) => self.member_record(org, name).await.map(|member| (member.id, member.name)),
            (None, None) => Err(Failure::Internal.into()),
        }
    }

    /// Names of the members that are there.
    pub(crate) async fn member_names(
        &self,
        org: OrgId,
        ids: BTreeSet<MemberId>,
    ) -> Result<BTreeMap<MemberId, MemberName>, Failure> {
        let members = self.members_by_id(org, ids).await?;
        let there = members.into_iter().filter(|(_, member)| member.removed_at.is_none());
        Ok(there.map(|(id, member)| (id, member.name)).collect())
    }

    /// The members of these ids, removed ones among them.
    pub(crate) async fn members_by_id(
        &self,
        org: OrgId,
        ids: BTreeSet<MemberId>,
    ) -> Result<BTreeMap<MemberId, MemberRecord>, Failure> {
        let keys: Vec<_> = ids.iter().map(|id| self.records().member(org, *id)).collect();
        let members = self.records().get_all(&keys).await?;
        Ok(members.into_iter().flatten().map(|member| (member.id, member)).collect())
    }

    /// A page of the ids under an index whose records `admit`, and the cursor of the next.
    pub(crate) async fn filtered_ids<T: Record>(
        &self,
        index: &Prefix<T>,
        page: &PageAsk,
        admit: impl Fn(&T) -> bool,
    ) -> Result<(Vec<[u8; 16]>, Option<Cursor>), Error> {
        let limit = page.limit();
        let mut after = self.start_of(page)?;
        let mut ids = Vec::new();
        let mut looked_at = 0;
        loop {
            let scanned = self.records().scan(index, after.as_deref(), limit.clamp(100, 1000)).await?;
            for found in scanned.found {
                looked_at += 1;
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
            if looked_at >= LOOK_AT {
                return Ok((ids, after.map(|after| self.cursor(&after))));
            }
        }
    }
}

fn is_admin(role: Role) -> i8 {
    i8::from(role == Role::Admin)
}

impl Tx<'_> {
    /// A member that is there, and still is when this commits.
    pub(crate) fn get_member(&mut self, org: OrgId, id: MemberId) -> Result<MemberRecord, Stop<Error>> {
        let member = self.get(&self.records().member(org, id))?;
        let there = member.filter(|member| member.removed_at.is_none());
        there.ok_or(Stop::Refused(Error::NotFound { what: "member" }))
    }

    /// Notes that an organization has one admin more or less; never none.
    fn count_admins(&mut self, org: OrgId, change: i8) -> Result<(), Stop<Error>> {
        if change == 0 {
            return Ok(());
        }
        let key = keyspace::org(org);
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
