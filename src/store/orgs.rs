//! Organizations and their policies.

use super::error::Error;
use super::page::{Page, PageAsk};
use super::{Caller, Store};
use crate::domain::credential::Credential;
use crate::domain::id::OrgId;
use crate::domain::name::{MemberName, OrgName};
use crate::domain::role::OrgPolicy;
use crate::domain::time::Timestamp;

/// An organization to be made.
#[derive(Clone, Debug)]
pub struct NewOrg {
    /// Its name, unique in the store.
    pub name: OrgName,
    /// Its first admin's name.
    pub admin: MemberName,
}

/// An organization.
#[derive(Clone, Debug)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: OrgName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its policy.
    pub policy: OrgPolicy,
}

/// A new organization, and its first admin's token, which exists nowhere else.
#[derive(Debug)]
pub struct OrgCreated {
    /// The organization.
    pub org: Org,
    /// The first admin's token (`dsm_…`).
    pub admin_token: Credential,
}

/// What to change of a policy; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct PolicyChange {
    /// Whether members who are not admins may write shared secrets.
    pub shared_by_members: Option<bool>,
    /// Whether redacted forms are kept from now on.
    pub hints: Option<bool>,
    /// Ceiling for a variable's value, 1 to 131,071 bytes.
    pub variable_ceiling: Option<u32>,
}

impl Store {
    /// Makes an organization (the operator). A repeated idempotency key is a conflict: the token cannot be shown twice.
    pub async fn create_org(
        &self,
        caller: &Caller,
        new: NewOrg,
        idempotency: Option<&str>,
    ) -> Result<OrgCreated, Error> {
        let _ = (caller, new, idempotency);
        todo!()
    }

    /// All organizations, ascending by id (the operator).
    pub async fn list_orgs(&self, caller: &Caller, page: PageAsk) -> Result<Page<Org>, Error> {
        let _ = (caller, page);
        todo!()
    }

    /// The caller's own organization.
    pub async fn own_org(&self, caller: &Caller) -> Result<Org, Error> {
        let _ = caller;
        todo!()
    }

    /// Changes the policy of the caller's organization (its admins).
    pub async fn set_policy(&self, caller: &Caller, change: PolicyChange) -> Result<Org, Error> {
        let _ = (caller, change);
        todo!()
    }
}
