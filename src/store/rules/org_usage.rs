//! What an organization uses of its budgets and quotas: for its members, and the numbers of records for the operator.

use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::role::{
    Action, ByteBudgets, OrgPolicy, OrgQuotas, OrgUsage, RecordUsage, Role, ScopeUsage,
};
use crate::domain::secret::Scope;
use crate::store::engine::failure::Failure;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::orgs::{self, OrgRecord};
use crate::store::tables::usage::{CountOf, Usage, UsageOf};

/// Members whose private scopes are read at once.
const CHUNK: usize = 500;
/// Members whose private scopes are compared with their budget, at most: what bounds the work of one request.
const MAX_MEMBERS: usize = 5000;

impl Store {
    /// Returns the quotas of an organization, and how much of them is used (the operator).
    pub async fn org_quotas(&self, caller: &Caller, name: &OrgName) -> Result<OrgQuotas, Error> {
        self.permit(caller, Action::ListOrgs, AuditAction::OrgList, None).await?;
        self.show_quotas(self.org_by_name(name).await?).await
    }

    pub(crate) async fn show_quotas(&self, org: OrgRecord) -> Result<OrgQuotas, Error> {
        let used = self.record_usage(org.id).await?;
        Ok(OrgQuotas { name: org.name, quotas: org.policy.quotas, used })
    }

    /// Returns what the caller's organization uses of its budgets and quotas.
    pub async fn org_usage(&self, caller: &Caller) -> Result<OrgUsage, Error> {
        self.permit(caller, Action::ReadSettings, AuditAction::OrgList, None).await?;
        let (org, member) = caller.own_member()?;
        let policy = self.records().get(&orgs::org(org)).await?.ok_or(Failure::Corrupt)?.policy;
        let is_admin = caller.role() == Some(Role::Admin);
        let budgets = policy.budgets;
        let (shared, private) = (Scope::Shared, Scope::Private(member));
        let part =
            |whole: u32| u64::from(whole) * u64::from(if is_admin { 100 } else { policy.member_share }) / 100;
        let parts = (part(budgets.shared_variables), part(budgets.shared_files));
        let deposited = self.stored_usage(org, UsageOf::Depositor(member)).await?.within(parts);
        let by_caller = async |of| self.record_number(org, of).await;
        Ok(OrgUsage {
            shared: self
                .stored_usage(org, UsageOf::Scope(shared))
                .await?
                .within(budgets_of(&budgets, shared)),
            deposited,
            private: self
                .stored_usage(org, UsageOf::Scope(private))
                .await?
                .within(budgets_of(&budgets, private)),
            members_over_budget: match caller.may(Action::ListMembers) {
                true => self.members_over_budget(org, &policy).await?,
                false => Vec::new(),
            },
            records: self.record_usage(org).await?,
            quotas: policy.quotas,
            own: RecordUsage {
                secrets: deposited.secrets,
                members: 0,
                tickets: by_caller(CountOf::TicketsBy(member)).await?,
                tokens: by_caller(CountOf::TokensBy(member)).await?,
            },
            own_quotas: (!is_admin).then(|| RecordUsage {
                secrets: policy.member_quota(policy.quotas.secrets),
                members: 0,
                tickets: policy.member_quota(policy.quotas.tickets),
                tokens: policy.member_quota(policy.quotas.tokens),
            }),
        })
    }

    async fn record_usage(&self, org: OrgId) -> Result<RecordUsage, Failure> {
        Ok(RecordUsage {
            secrets: self.record_number(org, CountOf::Secrets).await?,
            members: self.record_number(org, CountOf::Members).await?,
            tickets: self.record_number(org, CountOf::Tickets).await?,
            tokens: self.record_number(org, CountOf::Tokens).await?,
        })
    }

    async fn stored_usage(&self, org: OrgId, of: UsageOf) -> Result<Usage, Failure> {
        match self.records().get(&self.records().usage(org, of)).await? {
            Some(usage) => Ok(usage),
            // Of a store of an older version.
            None => self.measure(org, of).await,
        }
    }

    async fn members_over_budget(&self, org: OrgId, policy: &OrgPolicy) -> Result<Vec<MemberName>, Failure> {
        let (prefix, mut after, mut read) = (self.records().members(org), None::<Vec<u8>>, 0);
        let mut over = Vec::new();
        while read < MAX_MEMBERS {
            let page = self.records().scan(&prefix, after.as_deref(), CHUNK).await?;
            after = page.found.last().map(|found| found.key.clone());
            read += page.found.len();
            let members = page.found.into_iter().map(|found| found.record);
            let members: Vec<MemberRecord> = members.filter(|member| member.removed_at.is_none()).collect();
            let usage = |id: MemberId| self.records().usage(org, UsageOf::Scope(Scope::Private(id)));
            let keys: Vec<_> = members.iter().map(|member| usage(member.id)).collect();
            for (member, usage) in members.into_iter().zip(self.records().get_all(&keys).await?) {
                let budgets = budgets_of(&policy.budgets, Scope::Private(member.id));
                // An older store has no counts of scopes that have not changed since. Measuring all of them would read every secret.
                if usage.is_some_and(|usage| usage.within(budgets).over_budget) {
                    over.push(member.name);
                }
            }
            if !page.more {
                break;
            }
        }
        Ok(over)
    }
}

/// The budgets of a scope for variables and files, in bytes.
fn budgets_of(budgets: &ByteBudgets, scope: Scope) -> (u64, u64) {
    let (variables, files) = match scope {
        Scope::Shared => (budgets.shared_variables, budgets.shared_files),
        Scope::Private(_) => (budgets.private_variables, budgets.private_files),
    };
    (variables.into(), files.into())
}

impl Usage {
    fn within(self, (variables_budget, files_budget): (u64, u64)) -> ScopeUsage {
        let Self { secrets, variables, files } = self;
        let over_budget = variables > variables_budget || files > files_budget;
        ScopeUsage { secrets, variables, variables_budget, files, files_budget, over_budget }
    }
}
