//! Launchers: platforms that start machines for the people who accepted them.
//!
//! An admin authorizes a launcher. Each person accepts it for themselves. An acceptance belongs to the launcher's
//! member id, so another launcher with the same name does not inherit it. A launcher can be accepted only after
//! its enrolment was redeemed, which happens once. Never accepts a launcher for another person, and never revives a
//! ticket that was created before a withdrawal.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, Denied, MemberKind, Role, Subject};
use crate::domain::time::Timestamp;
use crate::kv::Revision;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::launchers::{self, WithdrawalRecord};
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::{self, TicketRecord};

/// How many tickets one commit revokes.
const STEP: usize = 16;

/// A launcher, as the people who may accept it see it.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Its id. A launcher that is added again under the same name has another one.
    pub id: MemberId,
    /// Its name.
    pub name: MemberName,
    /// The admin who authorized it.
    pub author: Option<MemberName>,
    /// When it was authorized.
    pub created_at: Timestamp,
    /// When its enrolment was redeemed. `None` if nobody holds its token yet, and so nobody can accept it.
    pub enrolled_at: Option<Timestamp>,
    /// The address that redeemed it.
    pub enrolled_from: Option<IpAddr>,
    /// When the caller accepted it.
    pub accepted_at: Option<Timestamp>,
}

impl Store {
    /// Lists the launchers of the caller's organization, ascending by id.
    pub async fn list_launchers(&self, caller: &Caller, page: PageAsk) -> Result<Page<Launcher>, Error> {
        self.permit(caller, Action::ListLaunchers, AuditAction::LauncherList, None).await?;
        let (org, own) = caller.own_member()?;
        let index = self.records().members(org);
        let admit =
            |member: &MemberRecord| member.kind == MemberKind::Launcher && member.removed_at.is_none();
        let (ids, next) = self.filtered_ids(&index, &page, admit).await?;
        let ids: BTreeSet<MemberId> = ids.into_iter().map(MemberId::from_bytes).collect();
        let launchers = self.members_by_id(org, ids).await?;
        let authors = launchers.values().filter_map(|launcher| launcher.author);
        let people = self.members_by_id(org, authors.chain([own]).collect()).await?;
        let items = launchers.into_values().map(|launcher| {
            let author = launcher.author.and_then(|author| people.get(&author));
            Launcher::new(launcher, author, people.get(&own))
        });
        Ok(Page { items: items.collect(), next })
    }

    /// Returns a launcher by name.
    pub async fn launcher(&self, caller: &Caller, name: &MemberName) -> Result<Launcher, Error> {
        self.permit(caller, Action::ListLaunchers, AuditAction::LauncherList, None).await?;
        let (org, own) = caller.own_member()?;
        let launcher = self.launcher_record(org, name).await?;
        let people = self.members_by_id(org, launcher.author.into_iter().chain([own]).collect()).await?;
        let author = launcher.author.and_then(|author| people.get(&author));
        Ok(Launcher::new(launcher, author, people.get(&own)))
    }

    /// Accepts a launcher for the caller: the party that runs the platform can then read the caller's secrets. `id` is
    /// the id of the launcher that the caller was shown. If another launcher has the name now, this is a conflict.
    /// Accepting a launcher again changes nothing.
    pub async fn accept_launcher(
        &self,
        caller: &Caller,
        name: &MemberName,
        id: MemberId,
    ) -> Result<Launcher, Error> {
        let audit_action = AuditAction::LauncherAccept;
        self.permit(caller, Action::AcceptLauncher, audit_action, None).await?;
        let (org, own) = caller.own_member()?;
        let launcher = self.launcher_record(org, name).await?;
        if launcher.id != id {
            return Err(Error::Conflict { why: "another launcher has this name now" });
        }
        // An earlier withdrawal is finished first. Otherwise, accepting would revive tickets that are not revoked yet.
        let withdrawal = WithdrawalRecord { org, launcher: id, person: own };
        if self.records().get(&self.records().withdrawal(withdrawal)).await?.is_some() {
            self.finish_withdrawal(withdrawal).await?;
        }
        let event = caller.event(audit_action).about(target::member(id, name));
        let records = self.records();
        let reads = vec![records.member(org, own).to_vec(), records.member(org, id).to_vec()];
        let accepted = self.journal().run(reads, move |tx| {
            let mut person = tx.get_member(org, own)?;
            if person.accept(tx, org, id)? {
                tx.put(&tx.records().member(org, own), &person)?;
                tx.audit(event.clone());
            }
            Ok::<_, Stop<Error>>(())
        });
        accepted.await?;
        self.launcher(caller, name).await
    }

    /// Withdraws the caller's acceptance of a launcher. After this returns, no boot with a ticket that the launcher created
    /// for the caller succeeds; the background task revokes the tickets. Withdrawing it again changes nothing.
    pub async fn withdraw_acceptance(&self, caller: &Caller, name: &MemberName) -> Result<Launcher, Error> {
        let audit_action = AuditAction::LauncherWithdraw;
        self.permit(caller, Action::WithdrawAcceptance, audit_action, None).await?;
        let (org, own) = caller.own_member()?;
        let id = self.launcher_record(org, name).await?.id;
        let event = caller.event(audit_action).about(target::member(id, name));
        let key = self.records().member(org, own);
        let withdrawn = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut person = tx.get_member(org, own)?;
            if person.accepts.remove(&id).is_some() {
                // Every ticket creation, authentication and boot reads this record, so this change stops them all.
                tx.put(&key, &person)?;
                let withdrawal = WithdrawalRecord { org, launcher: id, person: own };
                tx.put(&tx.records().withdrawal(withdrawal), &withdrawal)?;
                tx.audit(event.clone());
            }
            Ok::<_, Stop<Error>>(())
        });
        withdrawn.await?;
        self.inner.background.notify_one();
        self.launcher(caller, name).await
    }

    /// Revokes the tickets that launchers created for people who have withdrawn their acceptance.
    pub(crate) async fn finish_withdrawals(&self) -> Result<(), Failure> {
        let (withdrawals, _) = self.records().scan_all(&launchers::withdrawals()).await?;
        for withdrawal in withdrawals {
            self.finish_withdrawal(withdrawal.record).await?;
        }
        Ok(())
    }

    /// Revokes the tickets that a launcher created for a person, and then deletes the record of the withdrawal.
    async fn finish_withdrawal(&self, withdrawal: WithdrawalRecord) -> Result<(), Failure> {
        let WithdrawalRecord { org, launcher, person } = withdrawal;
        let pending = self.records().withdrawal(withdrawal);
        // A later withdrawal has the same key and another revision. The list that is read below may lack its tickets.
        let Some(written) = self.withdrawal_written(&pending).await? else { return Ok(()) };
        let index = self.records().launcher_tickets(org, launcher);
        let (created, _) = self.records().scan_all(&index).await?;
        let created = created.iter().filter(|found| found.record == person);
        let ids: Vec<_> =
            created.filter_map(|found| index.id(&found.key)).map(TicketId::from_bytes).collect();
        for ids in ids.chunks(STEP) {
            let (pending, keys) = (pending.clone(), ids.iter().copied().map(tickets::ticket));
            let keys: Vec<_> = keys.collect();
            let reads = keys.iter().map(Key::to_vec).chain([pending.to_vec()]).collect();
            let revoked = self.journal().run(reads, move |tx| {
                // Another process may have finished it, and the person may have accepted the launcher again since.
                if !tx.has(&pending)? || tx.written_at(&pending.to_vec())? != Some(written) {
                    return Ok(());
                }
                for key in &keys {
                    // A ticket that was already revoked keeps the time of its revocation.
                    if let Some(ticket) = tx.get(key)?.filter(|ticket| ticket.revoked_at.is_none()) {
                        tx.put(key, &TicketRecord { revoked_at: Some(tx.now()), ..ticket })?;
                    }
                }
                Ok::<_, Stop<Failure>>(())
            });
            revoked.await?;
            self.yield_to_callers().await;
        }
        // The record is deleted last, so that a crash only repeats work.
        let finished = self.journal().run(vec![pending.to_vec()], move |tx| {
            if tx.has(&pending)? && tx.written_at(&pending.to_vec())? == Some(written) {
                tx.delete(&pending);
            }
            Ok::<_, Stop<Failure>>(())
        });
        finished.await.map(|_| ())
    }

    /// Returns the revision at which a withdrawal was written. `None` if it is finished.
    async fn withdrawal_written(&self, pending: &Key<WithdrawalRecord>) -> Result<Option<Revision>, Failure> {
        let pending = pending.clone();
        let reads = vec![pending.to_vec()];
        let written = move |tx: &mut Tx<'_>| Ok::<_, Stop<Failure>>(tx.written_at(&pending.to_vec())?);
        self.journal().run(reads, written).await
    }

    /// Like [`member_subject`](Self::member_subject), but a launcher gets the same error for a member that does not
    /// exist and for one that has not accepted it.
    pub(crate) async fn represented_subject(
        &self,
        caller: &Caller,
        name: Option<&MemberName>,
        audit_action: AuditAction,
    ) -> Result<(MemberId, MemberName, Subject), Error> {
        match self.member_subject(caller, name).await {
            Err(Error::NotFound { .. }) if caller.kind() == Some(MemberKind::Launcher) => {
                self.record_denial(caller.event(audit_action).denied(Denied::NotAccepted)).await;
                Err(Denied::NotAccepted.into())
            }
            found => found,
        }
    }

    /// Returns the ids of launchers, each with its name.
    pub(crate) async fn launchers_named(
        &self,
        org: OrgId,
        names: &[MemberName],
    ) -> Result<Vec<(MemberId, MemberName)>, Error> {
        let mut launchers = Vec::with_capacity(names.len());
        for name in names {
            let launcher = self.launcher_record(org, name).await?;
            launchers.push((launcher.id, launcher.name));
        }
        Ok(launchers)
    }

    async fn launcher_record(&self, org: OrgId, name: &MemberName) -> Result<MemberRecord, Error> {
        let not_found = || Error::NotFound { what: "launcher" };
        match self.member_record(org, name).await {
            Ok(member) if member.kind == MemberKind::Launcher => Ok(member),
            // A person with this name is treated like an unknown name, because the caller may not list members.
            Ok(_) | Err(Error::NotFound { .. }) => Err(not_found()),
            Err(error) => Err(error),
        }
    }
}

impl MemberRecord {
    /// Adds an acceptance to a person's record, which the caller stores. Returns whether it is new.
    pub(crate) fn accept(
        &mut self,
        tx: &mut Tx<'_>,
        org: OrgId,
        launcher: MemberId,
    ) -> Result<bool, Stop<Error>> {
        if self.kind != MemberKind::Person {
            return Err(Error::Forbidden(Denied::PersonsAccept).into());
        }
        // The boots of an auditor receive no values, so a launcher could do nothing for an auditor.
        if self.role == Role::Auditor {
            return Err(Error::Forbidden(Denied::AuditorReads).into());
        }
        let launcher = tx.get_member(org, launcher)?;
        // Until it is redeemed, an admin could replace the enrolment, and the person would not know whom they accept.
        if launcher.kind != MemberKind::Launcher || launcher.enrolled_at.is_none() {
            return Err(Error::Conflict { why: "nobody has redeemed the enrolment of this launcher" }.into());
        }
        let withdrawal = WithdrawalRecord { org, launcher: launcher.id, person: self.id };
        if tx.has(&tx.records().withdrawal(withdrawal))? {
            return Err(Error::Conflict {
                why: "an earlier withdrawal is not finished yet: try again in a moment",
            }
            .into());
        }
        if self.accepts.contains_key(&launcher.id) {
            return Ok(false);
        }
        self.accepts.insert(launcher.id, tx.now());
        Ok(true)
    }
}

impl Launcher {
    fn new(record: MemberRecord, author: Option<&MemberRecord>, person: Option<&MemberRecord>) -> Self {
        let MemberRecord { id, name, created_at, enrolled_at, enrolled_from, .. } = record;
        let author = author.map(|author| author.name.clone());
        let accepted_at = person.and_then(|person| person.accepts.get(&id).copied());
        Self { id, name, author, created_at, enrolled_at, enrolled_from, accepted_at }
    }
}
