//! Organizations and their policies.

use crate::domain::audit::{AuditAction, AuditEvent, DetailKey};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::role::{Action, OrgPolicy, Role};
use crate::domain::time::Timestamp;
use crate::domain::value::MAX_VARIABLE;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::rules::tokens::NewCredential;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::orgs;
use crate::store::tables::orgs::OrgRecord;
use crate::store::tables::tokens::TokenRecord;

/// An organization to create.
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
    /// When it was created.
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

/// A change of a policy. Absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct PolicyChange {
    /// Whether members who are not admins may write shared secrets.
    pub shared_by_members: Option<bool>,
    /// Whether redacted forms of new values are stored.
    pub hints: Option<bool>,
    /// The largest value of a variable, 1 to 131,071 bytes.
    pub variable_ceiling: Option<u32>,
}

impl Store {
    /// Creates an organization (the operator). A repeated idempotency key is a conflict, because the token cannot be shown
    /// twice.
    pub async fn create_org(
        &self,
        caller: &Caller,
        new: NewOrg,
        idempotency: Option<&str>,
    ) -> Result<OrgCreated, Error> {
        self.permit(caller, Action::CreateOrg, AuditAction::OrgCreate, None).await?;
        let parts = vec![new.name.as_str().into(), new.admin.as_str().into()];
        let request = RepeatableRequest { operation: "create organization", parts, value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let event = caller.event(AuditAction::OrgCreate);
        let creation = OrgCreation::new(self, new.name, new.admin);
        let admin_token = creation.admin_token.credential();
        let reads = vec![self.records().org_name(&creation.name).to_vec()];
        let made = self.journal().run(reads, move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| creation.run(tx, event.clone()))
        });
        Ok(OrgCreated { org: made.await?, admin_token })
    }

    /// Lists all organizations, ascending by id (the operator).
    pub async fn list_orgs(&self, caller: &Caller, page: PageAsk) -> Result<Page<Org>, Error> {
        self.permit(caller, Action::ListOrgs, AuditAction::OrgList, None).await?;
        let after = self.page_start(&page)?;
        let scanned = self.records().scan(&orgs::orgs(), after.as_deref(), page.limit()).await?;
        let next = scanned.found.last().filter(|_| scanned.more).map(|last| self.cursor(&last.key));
        Ok(Page { items: scanned.found.into_iter().map(|found| found.record.into()).collect(), next })
    }

    /// Returns the caller's organization.
    pub async fn own_org(&self, caller: &Caller) -> Result<Org, Error> {
        self.permit(caller, Action::ReadSettings, AuditAction::OrgList, None).await?;
        let org = self.records().get(&orgs::org(caller.own_org()?)).await?;
        Ok(org.ok_or(Failure::Corrupt)?.into())
    }

    /// Changes the policy of the caller's organization (its admins).
    pub async fn set_policy(&self, caller: &Caller, change: PolicyChange) -> Result<Org, Error> {
        self.permit(caller, Action::EditSettings, AuditAction::OrgEdit, None).await?;
        let key = orgs::org(caller.own_org()?);
        let event = caller.event(AuditAction::OrgEdit);
        let changed = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut org: OrgRecord = tx.get(&key)?.ok_or(Failure::Corrupt)?;
            // Inside the transaction, so that two changes of different fields both take effect.
            change.apply(&mut org.policy)?;
            tx.put(&key, &org)?;
            tx.audit(event.clone().about(target::org(org.id, &org.name)));
            Ok::<_, Stop<Error>>(org)
        });
        Ok(changed.await?.into())
    }
}

impl PolicyChange {
    fn apply(&self, policy: &mut OrgPolicy) -> Result<(), Error> {
        if let Some(ceiling) = self.variable_ceiling {
            // The kernel's limit of one variable: a higher ceiling would promise what no boot can deliver.
            let most = u32::try_from(MAX_VARIABLE).unwrap_or(u32::MAX);
            if !(1..=most).contains(&ceiling) {
                return Err(Error::Invalid { field: "variable_ceiling", why: "it must be 1 to 131071" });
            }
            policy.variable_ceiling = ceiling;
        }
        policy.shared_by_members = self.shared_by_members.unwrap_or(policy.shared_by_members);
        policy.hints = self.hints.unwrap_or(policy.hints);
        Ok(())
    }
}

impl From<OrgRecord> for Org {
    fn from(record: OrgRecord) -> Self {
        let OrgRecord { id, name, created_at, policy, admins: _ } = record;
        Self { id, name, created_at, policy }
    }
}

/// The creation of an organization with its first admin and that admin's first token.
pub(crate) struct OrgCreation {
    id: OrgId,
    pub(crate) name: OrgName,
    admin: (MemberId, MemberName),
    pub(crate) admin_token: NewCredential,
}

impl OrgCreation {
    pub(crate) fn new(store: &Store, name: OrgName, admin: MemberName) -> Self {
        let id = OrgId::from_bytes(store.records().random_bytes());
        // Ids are drawn before the transaction, which may run more than once.
        let admin = (MemberId::from_bytes(store.records().random_bytes()), admin);
        Self { id, name, admin, admin_token: NewCredential::new(store, CredentialKind::Member) }
    }

    pub(crate) fn run(&self, tx: &mut Tx<'_>, event: AuditEvent) -> Result<Org, Stop<Error>> {
        let records = tx.records();
        let name_key = records.org_name(&self.name);
        // The commit requires that the name stays absent, so that two requests cannot both take it.
        if tx.has(&name_key)? {
            return Err(Error::Taken { what: "organization" }.into());
        }
        // All in one commit: an organization without an admin could never get one.
        let org = OrgRecord {
            id: self.id,
            name: self.name.clone(),
            created_at: tx.now(),
            policy: OrgPolicy::default(),
            admins: 1,
        };
        let (id, name) = self.admin.clone();
        let admin = MemberRecord { id, name, role: Role::Admin, created_at: tx.now(), removed_at: None };
        tx.put(&name_key, &self.id)?;
        tx.put(&orgs::org(self.id), &org)?;
        tx.put(&records.member_name(self.id, &admin.name), &id)?;
        tx.put(&records.member(self.id, id), &admin)?;
        let token = TokenRecord::new(&self.admin_token, Some((self.id, id)), tx.now());
        token.put_new(tx)?;
        let event = event.about(target::org(self.id, &self.name));
        tx.audit(event.detail(DetailKey::Member, &admin.name));
        Ok(org.into())
    }
}
