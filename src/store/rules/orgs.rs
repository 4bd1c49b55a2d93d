//! Organizations and their policies.

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::credential::Credential;
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::role::{
    Action, BudgetsTooLarge, ByteBudgets, LONGEST_RETENTION, OrgPolicy, OrgQuotas, RecordQuotas,
    RetentionDays, Role, SharedChanges,
};
use crate::domain::time::Timestamp;
use crate::domain::value::MAX_VARIABLE;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::enrolments::{ENROLMENT_TTL, EnrolmentIssued, NewEnrolment};
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::rules::tokens::NewCredential;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::orgs::{self, OrgRecord};
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

/// A new organization, and its first admin's enrolment: the operator never sees the token.
#[derive(Debug)]
pub struct OrgCreated {
    /// The organization.
    pub org: Org,
    /// The first admin's enrolment.
    pub enrolment: EnrolmentIssued,
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
    /// Who changes a shared secret that exists.
    pub shared_changes: Option<SharedChanges>,
    /// What the values of each scope may take.
    pub budgets: BudgetsChange,
    /// The part of what the organization shares that one member can hold, 1 to 100 percent.
    pub member_share: Option<u8>,
    /// How long records are kept.
    pub retention: RetentionChange,
    /// Whether people become members at their first sign-in.
    pub create_at_sign_in: Option<bool>,
}

/// A change of byte budgets. Absent fields stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct BudgetsChange {
    /// Variables of the shared scope.
    pub shared_variables: Option<u32>,
    /// Files of the shared scope.
    pub shared_files: Option<u32>,
    /// Variables of each private scope.
    pub private_variables: Option<u32>,
    /// Files of each private scope.
    pub private_files: Option<u32>,
}

/// A change of retention, in days. Absent fields stay; 0 keeps records forever.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetentionChange {
    /// Boots, from their end.
    pub boots: Option<u32>,
    /// Audit entries.
    pub audit: Option<u32>,
}

/// A change of an organization's quotas. Absent fields stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuotasChange {
    /// Secrets of all scopes.
    pub secrets: Option<u32>,
    /// Members.
    pub members: Option<u32>,
    /// Active tickets.
    pub tickets: Option<u32>,
    /// Active tokens.
    pub tokens: Option<u32>,
    /// Boots of each member.
    pub boots_per_member: Option<u32>,
    /// The shortest retention of audit entries that an admin can choose, in days.
    pub min_audit_days: Option<u32>,
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
        let first = FirstCredential::Enrolment(NewEnrolment::new(self, None));
        let creation = OrgCreation::new(self, new.name, new.admin, first);
        let (credential, member) = (creation.credential(), creation.admin.1.clone());
        let reads = vec![self.records().org_name(&creation.name).to_vec()];
        let made = self.journal().run(reads, move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| creation.run(tx, event.clone()))
        });
        let org = made.await?;
        let expires_at = org.created_at.plus(ENROLMENT_TTL);
        Ok(OrgCreated { org, enrolment: EnrolmentIssued { member, expires_at, credential } })
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
        // Organizations are never deleted, and the caller belongs to this one.
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

    /// Changes the quotas of an organization (the operator).
    pub async fn set_quotas(
        &self,
        caller: &Caller,
        name: &OrgName,
        change: QuotasChange,
    ) -> Result<OrgQuotas, Error> {
        self.permit(caller, Action::EditQuotas, AuditAction::OrgQuotas, None).await?;
        let key = orgs::org(self.org_by_name(name).await?.id);
        let event = caller.event(AuditAction::OrgQuotas);
        let changed = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut org: OrgRecord = tx.get(&key)?.ok_or(Failure::Corrupt)?;
            org.policy.quotas = change.apply(org.policy.quotas)?;
            tx.put(&key, &org)?;
            let event = event.clone().about(target::org(org.id, &org.name));
            let event = event.detail(DetailKey::Changed, AuditText::words(&change.names()));
            // In the operator's log and in the organization's: its admins see what limits them, and since when.
            tx.audit(event.clone().org(Some(org.id)));
            tx.audit(event);
            Ok::<_, Stop<Error>>(org)
        });
        self.show_quotas(changed.await?).await
    }

    pub(crate) async fn org_by_name(&self, name: &OrgName) -> Result<OrgRecord, Error> {
        let not_found = || Error::NotFound { what: "organization" };
        let id = self.records().get(&self.records().org_name(name)).await?.ok_or_else(not_found)?;
        self.records().get(&orgs::org(id)).await?.ok_or_else(not_found)
    }
}

impl PolicyChange {
    fn apply(&self, policy: &mut OrgPolicy) -> Result<(), Error> {
        if let Some(ceiling) = self.variable_ceiling {
            // The kernel's limit of one variable: a higher ceiling would promise what no boot can deliver.
            let most = u32::try_from(MAX_VARIABLE).unwrap_or(u32::MAX);
            // With a ceiling of 0, only empty variables could be deposited.
            if !(1..=most).contains(&ceiling) {
                return Err(Error::Invalid { field: "variable_ceiling", why: "it must be 1 to 131071" });
            }
            policy.variable_ceiling = ceiling;
        }
        if let Some(share) = self.member_share {
            // With a share of 0, a member could not deposit at all, which `shared_by_members` says more clearly.
            if !(1..=100).contains(&share) {
                return Err(Error::Invalid { field: "member_share", why: "it must be 1 to 100 percent" });
            }
            policy.member_share = share;
        }
        policy.shared_by_members = self.shared_by_members.unwrap_or(policy.shared_by_members);
        policy.hints = self.hints.unwrap_or(policy.hints);
        policy.shared_changes = self.shared_changes.unwrap_or(policy.shared_changes);
        policy.budgets = self.budgets.apply(policy.budgets)?;
        policy.create_at_sign_in = self.create_at_sign_in.unwrap_or(policy.create_at_sign_in);
        policy.retention = self.retention.apply(policy.retention, policy.quotas.min_audit_days)?;
        Ok(())
    }
}

impl QuotasChange {
    /// The names of the quotas that are set.
    fn names(&self) -> Vec<&'static str> {
        let Self { secrets, members, tickets, tokens, boots_per_member, min_audit_days } = self;
        let all = [
            ("secrets", secrets),
            ("members", members),
            ("tickets", tickets),
            ("tokens", tokens),
            ("boots_per_member", boots_per_member),
            ("min_audit_days", min_audit_days),
        ];
        all.into_iter().filter_map(|(name, set)| set.map(|_| name)).collect()
    }

    fn apply(self, quotas: RecordQuotas) -> Result<RecordQuotas, Error> {
        let min_audit_days = self.min_audit_days.unwrap_or(quotas.min_audit_days);
        if min_audit_days > LONGEST_RETENTION {
            return Err(Error::Invalid { field: "min_audit_days", why: "it must be at most 36500 days" });
        }
        Ok(RecordQuotas {
            secrets: self.secrets.unwrap_or(quotas.secrets),
            members: self.members.unwrap_or(quotas.members),
            tickets: self.tickets.unwrap_or(quotas.tickets),
            tokens: self.tokens.unwrap_or(quotas.tokens),
            boots_per_member: self.boots_per_member.unwrap_or(quotas.boots_per_member),
            min_audit_days,
        })
    }
}

impl BudgetsChange {
    fn apply(self, budgets: ByteBudgets) -> Result<ByteBudgets, BudgetsTooLarge> {
        let changed = ByteBudgets {
            shared_variables: self.shared_variables.unwrap_or(budgets.shared_variables),
            shared_files: self.shared_files.unwrap_or(budgets.shared_files),
            private_variables: self.private_variables.unwrap_or(budgets.private_variables),
            private_files: self.private_files.unwrap_or(budgets.private_files),
        };
        // What is stored together: one that is raised may need another that is lowered.
        changed.check().map(|()| changed)
    }
}

impl RetentionChange {
    fn apply(self, retention: RetentionDays, min_audit: u32) -> Result<RetentionDays, Error> {
        // Also refuses a value that is set already: an admin who sends it again learns that it has no effect.
        if self.audit.is_some_and(|days| days > 0 && days < min_audit) {
            return Err(Error::RetentionTooShort { days: min_audit });
        }
        let days = |asked: Option<u32>, now| match asked {
            None => Ok(now),
            // A field that is absent stays, so that another value has to stand for "keep".
            Some(0) => Ok(None),
            Some(days) if days <= LONGEST_RETENTION => Ok(Some(days)),
            Some(_) => Err(Error::Invalid { field: "retention", why: "it must be at most 36500 days" }),
        };
        Ok(RetentionDays {
            boots: days(self.boots, retention.boots)?,
            audit: days(self.audit, retention.audit)?,
        })
    }
}

impl From<OrgRecord> for Org {
    fn from(record: OrgRecord) -> Self {
        let OrgRecord { id, name, created_at, policy, admins: _ } = record;
        Self { id, name, created_at, policy }
    }
}

/// How the first admin of an organization gets in.
pub(crate) enum FirstCredential {
    /// A token at once, for `init`: the operator is the first admin.
    Token(NewCredential),
    /// An enrolment.
    Enrolment(NewEnrolment),
}

/// The creation of an organization with its first admin and that admin's first credential.
pub(crate) struct OrgCreation {
    id: OrgId,
    pub(crate) name: OrgName,
    admin: (MemberId, MemberName),
    first: FirstCredential,
}

impl OrgCreation {
    pub(crate) fn new(store: &Store, name: OrgName, admin: MemberName, first: FirstCredential) -> Self {
        let id = OrgId::from_bytes(store.records().random_bytes());
        // Ids are drawn before the transaction, which may run more than once.
        let admin = (MemberId::from_bytes(store.records().random_bytes()), admin);
        Self { id, name, admin, first }
    }

    pub(crate) fn credential(&self) -> Credential {
        match &self.first {
            FirstCredential::Token(token) => token.credential(),
            FirstCredential::Enrolment(enrolment) => enrolment.credential.credential(),
        }
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
        let mut admin = MemberRecord::new(id, name, Role::Admin, tx.now());
        match &self.first {
            FirstCredential::Token(token) => {
                TokenRecord::new(token, Some((self.id, id)), Some(id), tx.now()).put_new(tx)?;
            }
            // Without an author, which stands for the operator.
            FirstCredential::Enrolment(enrolment) => {
                enrolment.put(tx, self.id, &mut admin, None)?;
            }
        }
        tx.put(&name_key, &self.id)?;
        tx.put(&orgs::org(self.id), &org)?;
        tx.put(&records.member_name(self.id, &admin.name), &id)?;
        tx.put(&records.member(self.id, id), &admin)?;
        let event = event.about(target::org(self.id, &self.name));
        tx.audit(event.member(admin.id, &admin.name));
        Ok(org.into())
    }
}
