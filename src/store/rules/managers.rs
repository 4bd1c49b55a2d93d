//! Managers of services, and the conversion of a person into a service.

use std::collections::BTreeSet;

use crate::domain::audit::{AuditAction, AuditEvent, DetailKey};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, MemberKind, Role, Subject};
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::members::Member;
use crate::store::rules::store::Store;
use crate::store::tables::members::{self, DismissalRecord, MemberRecord};
use crate::store::tables::orgs;

/// Services of one manager at most: every request of a manager reads their ids.
const MAX_SERVICES: usize = 500;
/// Managers of one service at most.
const MAX_MANAGERS: usize = 50;

/// A permitted change of a service's managers.
struct ManagerChange {
    org: OrgId,
    service: MemberId,
    manager: MemberId,
    event: AuditEvent,
}

impl Store {
    /// Appoints a manager of a service (an admin).
    pub async fn add_manager(
        &self,
        caller: &Caller,
        service: &MemberName,
        manager: &MemberName,
    ) -> Result<Member, Error> {
        let change = self.manager_change(caller, AuditAction::ManagerAdd, service, manager).await?;
        let ManagerChange { org, service: of, manager: by, event } = change;
        let records = self.records();
        let reads = vec![records.member(org, of).to_vec(), records.member(org, by).to_vec()];
        let appointed = self.journal().run(reads, move |tx| {
            let mut service = tx.get_member(org, of)?;
            tx.appoint(org, &mut service, by)?;
            tx.put(&tx.records().member(org, of), &service)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(service)
        });
        let service = appointed.await?;
        self.show_member(org, service).await
    }

    /// Dismisses a manager of a service (an admin). What the manager made for the service stops working at once, and the
    /// background task revokes it.
    pub async fn remove_manager(
        &self,
        caller: &Caller,
        service: &MemberName,
        manager: &MemberName,
    ) -> Result<Member, Error> {
        let change = self.manager_change(caller, AuditAction::ManagerRemove, service, manager).await?;
        let ManagerChange { org, service: of, manager: by, event } = change;
        let (records, dismissal) = (self.records(), self.records().random_bytes());
        let (service_key, manager_key) = (records.member(org, of), records.member(org, by));
        let dismissed = self.journal().run(vec![service_key.to_vec(), manager_key.to_vec()], move |tx| {
            let (mut service, mut manager) = (tx.get_member(org, of)?, tx.get_member(org, by)?);
            if !manager.manages.remove(&of) {
                return Err(Error::NotFound { what: "manager" }.into());
            }
            service.managers.remove(&by);
            tx.put(&service_key, &service)?;
            tx.put(&manager_key, &manager)?;
            let record = DismissalRecord { org, author: by, member: of, at: tx.now() };
            tx.put(&members::dismissal(dismissal), &record)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(service)
        });
        let service = dismissed.await?;
        self.start_clearing_dismissals();
        self.show_member(org, service).await
    }

    /// Permits a change of a service's managers, and looks both members up.
    async fn manager_change(
        &self,
        caller: &Caller,
        audit_action: AuditAction,
        service: &MemberName,
        manager: &MemberName,
    ) -> Result<ManagerChange, Error> {
        self.permit(caller, Action::EditMembers, audit_action, None).await?;
        let org = caller.own_org()?;
        let (of, by) = (self.member_record(org, service).await?, self.member_record(org, manager).await?);
        let event = caller.event(audit_action).about(target::member(of.id, service));
        let event = event.detail(DetailKey::Manager, manager);
        Ok(ManagerChange { org, service: of.id, manager: by.id, event })
    }

    /// Turns the caller, a person, into a service with these managers. Its secrets, tokens and tickets stay, and from then on
    /// the managers act for it. An administrator becomes an ordinary member.
    pub async fn convert_to_service(
        &self,
        caller: &Caller,
        name: &MemberName,
        managers: &[MemberName],
    ) -> Result<Member, Error> {
        let audit_action = AuditAction::MemberConvert;
        let (org, own) = self.require_member(caller, audit_action).await?;
        // Another name is denied without a look-up, which would tell whether it exists.
        let is_own = caller.member().is_some_and(|(_, own)| own == name);
        let subject = if is_own { Subject::Own } else { Subject::Other };
        let about = is_own.then(|| target::member(own, name));
        self.permit(caller, Action::ConvertMember(subject), audit_action, about.clone()).await?;
        let appointed = self.manager_ids(org, managers).await?;
        if appointed.is_empty() || appointed.contains(&own) {
            let why = "a service needs a manager, which is another member";
            return Err(Error::Invalid { field: "managers", why });
        }
        let event = managers.iter().fold(caller.event(audit_action).target(about), |event, manager| {
            event.detail(DetailKey::Manager, manager)
        });
        let accounts = self.accounts_of(org, own).await?;
        let key = self.records().member(org, own);
        let converted = self.journal().run(vec![key.to_vec(), orgs::org(org).to_vec()], move |tx| {
            let mut member = tx.get_member(org, own)?;
            let others: Vec<_> = member.manages.iter().chain(&appointed).copied().collect();
            tx.need_members(org, others)?;
            if member.kind != MemberKind::Person {
                return Err(Error::Conflict { why: "only a person can become a service" }.into());
            }
            if std::mem::replace(&mut member.role, Role::Member) == Role::Admin {
                tx.count_admins(org, -1)?;
            }
            member.kind = MemberKind::Service;
            // A service manages nothing and accepts nobody: what it made for others stops with this.
            for service in std::mem::take(&mut member.manages) {
                let key = tx.records().member(org, service);
                // Also one that was removed since, whose record stays.
                let mut service = tx.get(&key)?.ok_or(Failure::Corrupt)?;
                service.managers.remove(&own);
                tx.put(&key, &service)?;
            }
            member.accepts.clear();
            // Nobody signs in as a service. An account that was linked a moment ago is refused by its kind.
            accounts.iter().try_for_each(|account| tx.delete_account(account))?;
            for manager in &appointed {
                tx.appoint(org, &mut member, *manager)?;
            }
            tx.put(&key, &member)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(member)
        });
        let member = converted.await?;
        self.show_member(org, member).await
    }

    /// The names of the services that the caller manages, in their order.
    pub async fn managed_services(&self, caller: &Caller) -> Result<Vec<MemberName>, Error> {
        if caller.manages().is_empty() {
            return Ok(Vec::new());
        }
        let services = self.members_by_id(caller.own_org()?, caller.manages().clone()).await?;
        let there = services.into_values().filter(|service| service.removed_at.is_none());
        let names: BTreeSet<MemberName> = there.map(|service| service.name).collect();
        Ok(names.into_iter().collect())
    }

    pub(crate) async fn manager_ids(
        &self,
        org: OrgId,
        names: &[MemberName],
    ) -> Result<BTreeSet<MemberId>, Error> {
        if names.len() > MAX_MANAGERS {
            return Err(Error::Invalid { field: "managers", why: "there are more than 50" });
        }
        let mut ids = BTreeSet::new();
        for name in names {
            ids.insert(self.member_record(org, name).await?.id);
        }
        Ok(ids)
    }
}

impl Tx<'_> {
    /// Reads all these members in one round, for what looks at them one after another.
    pub(crate) fn need_members(
        &mut self,
        org: OrgId,
        members: impl IntoIterator<Item = MemberId>,
    ) -> Result<(), Halt> {
        let records = self.records();
        let keys: Vec<_> = members.into_iter().map(|id| records.member(org, id).to_vec()).collect();
        self.need(keys)
    }

    /// Makes `manager` a manager of `service`, whose record the caller stores.
    pub(crate) fn appoint(
        &mut self,
        org: OrgId,
        service: &mut MemberRecord,
        manager: MemberId,
    ) -> Result<(), Stop<Error>> {
        if service.kind != MemberKind::Service {
            return Err(Error::Conflict { why: "only a service has managers" }.into());
        }
        let mut by = self.get_member(org, manager)?;
        // Auditors change nothing. A service or launcher answers for nothing.
        if by.kind != MemberKind::Person || by.role == Role::Auditor {
            return Err(Error::Conflict { why: "a manager is a person with the role admin or member" }.into());
        }
        by.manages.insert(service.id);
        service.managers.insert(manager);
        if by.manages.len() > MAX_SERVICES || service.managers.len() > MAX_MANAGERS {
            return Err(Error::Conflict {
                why: "a member manages at most 500 services, which have at most 50 managers",
            }
            .into());
        }
        Ok(self.put(&self.records().member(org, manager), &by)?)
    }
}
