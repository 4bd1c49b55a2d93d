//! Members of an organization and their roles.

use super::error::Error;
use super::page::{Page, PageAsk};
use super::{Caller, Store};
use crate::domain::id::MemberId;
use crate::domain::name::MemberName;
use crate::domain::role::Role;
use crate::domain::time::Timestamp;

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

impl Store {
    /// Adds a member (an admin).
    pub async fn create_member(
        &self,
        caller: &Caller,
        new: NewMember,
        idempotency: Option<&str>,
    ) -> Result<Member, Error> {
        let _ = (caller, new, idempotency);
        todo!()
    }

    /// Members of the caller's organization, ascending by id.
    pub async fn list_members(&self, caller: &Caller, page: PageAsk) -> Result<Page<Member>, Error> {
        let _ = (caller, page);
        todo!()
    }

    /// One member, by name.
    pub async fn member(&self, caller: &Caller, name: &MemberName) -> Result<Member, Error> {
        let _ = (caller, name);
        todo!()
    }

    /// Gives a member another role (an admin). The last admin stays one.
    pub async fn set_role(&self, caller: &Caller, name: &MemberName, role: Role) -> Result<Member, Error> {
        let _ = (caller, name, role);
        todo!()
    }

    /// Removes a member (an admin): in one commit its tokens and tickets stop working and its private secrets are gone;
    /// their records follow in bounded batches. The name is free again. The last admin stays.
    pub async fn remove_member(&self, caller: &Caller, name: &MemberName) -> Result<Member, Error> {
        let _ = (caller, name);
        todo!()
    }
}
