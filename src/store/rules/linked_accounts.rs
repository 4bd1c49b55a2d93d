//! The accounts at providers that sign in as a member. Only the person links and unlinks them, in a session or with a token of
//! their own: an admin who could link an account would sign in as anybody.

use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::id::{LinkedAccountId, MemberId, OrgId};
use crate::domain::name::ProviderName;
use crate::domain::provider::ProvenAccount;
use crate::domain::role::{Action, Denied, MemberKind};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::sign_in::{ProofFault, SignInProof};
use crate::store::rules::store::Store;
use crate::store::tables::linked_accounts::{self, AccountSubjectRecord, LinkedAccountRecord};

/// The accounts of one member, at most. Each is another way in.
const MAX_ACCOUNTS: usize = 10;

/// An account at a provider that signs in as the caller.
#[derive(Clone, Debug)]
pub struct LinkedAccount {
    /// Its id.
    pub id: LinkedAccountId,
    /// What the operator called the provider when it was linked.
    pub provider: ProviderName,
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's identifier of the person.
    pub subject: String,
    /// What the provider called the person.
    pub shown: Option<String>,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When it was last used.
    pub used_at: Option<Timestamp>,
}

impl Store {
    /// Lists the caller's linked accounts, ascending by id.
    pub async fn linked_accounts(&self, caller: &Caller) -> Result<Vec<LinkedAccount>, Error> {
        self.permit(caller, Action::ListAccounts, AuditAction::AccountList, None).await?;
        let (org, own) = caller.own_member()?;
        let accounts = self.accounts_of(org, own).await?;
        Ok(accounts.into_iter().map(LinkedAccount::from).collect())
    }

    /// Refuses a caller who cannot link accounts. The API calls it before it reads the proof.
    pub async fn permit_linking(&self, caller: &Caller) -> Result<(), Error> {
        self.permit(caller, Action::LinkAccount, AuditAction::AccountLink, None).await
    }

    /// Links the account of a proof to the caller. Linking it again changes nothing.
    pub async fn link_account(&self, caller: &Caller, proof: SignInProof) -> Result<LinkedAccount, Error> {
        self.permit_linking(caller).await?;
        let (org, own) = caller.own_member()?;
        let count = self.accounts_of(org, own).await?.len();
        let id = LinkedAccountId::from_bytes(self.records().random_bytes());
        let account = proof.account.clone();
        let event = caller.event(AuditAction::AccountLink).detail(DetailKey::Provider, &account.provider);
        let event = event.detail(DetailKey::Subject, &account.subject);
        let event = event.detail(DetailKey::Method, proof.method);
        let subject_key = self.records().account_subject(&account.issuer, &account.subject, org);
        let reads = vec![self.records().member(org, own).to_vec(), subject_key.to_vec()];
        let linked = self.journal().run(reads, move |tx| {
            if let Some(fault) = tx.use_proof(&proof)? {
                return Err(fault.into());
            }
            // It may have been removed, or become a service, since the token was checked.
            let member = tx.get_member(org, own)?;
            if member.kind != MemberKind::Person {
                return Err(Error::Forbidden(Denied::PersonsSignIn).into());
            }
            if let Some(linked) = tx.linked_elsewhere(&subject_key, own)? {
                return Ok(linked);
            }
            if count >= MAX_ACCOUNTS {
                return Err(Error::Conflict { why: "a member has at most 10 linked accounts" }.into());
            }
            let record = LinkedAccountRecord::of(&account, id, (org, own), tx.now());
            tx.put_account(&record)?;
            tx.audit(event.clone().about(target::account(id)));
            Ok::<_, Stop<Error>>(record)
        });
        Ok(linked.await?.into())
    }

    /// Unlinks one of the caller's accounts. Sessions that it started end with it; tokens stay.
    pub async fn unlink_account(&self, caller: &Caller, id: LinkedAccountId) -> Result<LinkedAccount, Error> {
        let (audit_action, about) = (AuditAction::AccountUnlink, Some(target::account(id)));
        self.permit(caller, Action::UnlinkAccount, audit_action, about.clone()).await?;
        let (org, own) = caller.own_member()?;
        let event = caller.event(audit_action).target(about);
        let key = linked_accounts::linked_account(id);
        let unlinked = self.journal().run(vec![key.to_vec()], move |tx| {
            // Another member's account is as absent as one that does not exist.
            let account = tx.get(&key)?.filter(|account| (account.org, account.member) == (org, own));
            let account = account.ok_or(Error::NotFound { what: "linked account" })?;
            tx.delete_account(&account)?;
            let event = event.clone().detail(DetailKey::Provider, &account.provider);
            tx.audit(event.detail(DetailKey::Subject, &account.subject));
            Ok::<_, Stop<Error>>(account)
        });
        Ok(unlinked.await?.into())
    }

    /// The accounts of a member, ascending by id.
    pub(crate) async fn accounts_of(
        &self,
        org: OrgId,
        member: MemberId,
    ) -> Result<Vec<LinkedAccountRecord>, Failure> {
        let (found, _) = self.records().scan_all(&self.records().accounts_of(org, member)).await?;
        let ids = found.into_iter().map(|found| found.record);
        let keys: Vec<_> = ids.map(linked_accounts::linked_account).collect();
        Ok(self.records().get_all(&keys).await?.into_iter().flatten().collect())
    }

    /// Deletes the accounts of a member who was removed. What they were linked to stays on record.
    pub(crate) async fn delete_accounts(&self, org: OrgId, member: MemberId) -> Result<(), Failure> {
        for account in self.accounts_of(org, member).await? {
            let key = linked_accounts::linked_account(account.id);
            let deleted = self.journal().run(vec![key.to_vec()], move |tx| {
                // Another process may run the same task.
                if let Some(account) = tx.get(&key)? {
                    tx.delete_account(&account)?;
                }
                Ok::<_, Stop<Failure>>(())
            });
            deleted.await?;
        }
        Ok(())
    }
}

impl Tx<'_> {
    pub(crate) fn put_account(&mut self, account: &LinkedAccountRecord) -> Result<(), Halt> {
        let LinkedAccountRecord { id, org, member, issuer, subject, .. } = account;
        let records = self.records();
        let linked = AccountSubjectRecord { org: *org, member: *member, account: Some(*id) };
        self.put(&records.account_subject(issuer, subject, *org), &linked)?;
        self.put(&records.accounts_of(*org, *member).key(id.as_bytes()), id)?;
        self.put(&linked_accounts::linked_account(*id), account)
    }

    /// Deletes an account. The record of its subject stays, so that it does not become a new member by itself.
    pub(crate) fn delete_account(&mut self, account: &LinkedAccountRecord) -> Result<(), Halt> {
        let LinkedAccountRecord { id, org, member, issuer, subject, .. } = account;
        let records = self.records();
        let subject_key = records.account_subject(issuer, subject, *org);
        self.delete(&linked_accounts::linked_account(*id));
        self.delete(&records.accounts_of(*org, *member).key(id.as_bytes()));
        // It may be linked to another member since.
        if self.get(&subject_key)?.is_some_and(|linked| linked.account == Some(*id)) {
            let unlinked = AccountSubjectRecord { org: *org, member: *member, account: None };
            self.put(&subject_key, &unlinked)?;
        }
        Ok(())
    }

    /// Returns the account if the subject is linked to this member already. Fails if it is linked to another one.
    fn linked_elsewhere(
        &mut self,
        subject: &Key<AccountSubjectRecord>,
        own: MemberId,
    ) -> Result<Option<LinkedAccountRecord>, Stop<Error>> {
        let Some(AccountSubjectRecord { org, member, account: Some(account) }) = self.get(subject)? else {
            return Ok(None);
        };
        if member == own {
            return Ok(self.get(&linked_accounts::linked_account(account))?);
        }
        // A member who was removed signs in no more, even before the background task has deleted its accounts.
        let other = self.get(&self.records().member(org, member))?;
        if other.is_some_and(|other| other.removed_at.is_none() && other.kind == MemberKind::Person) {
            let why = "this account is linked to another member of the organization";
            return Err(Error::Conflict { why }.into());
        }
        Ok(None)
    }
}

impl LinkedAccountRecord {
    /// A proven account that is linked to a member now.
    pub(crate) fn of(
        account: &ProvenAccount,
        id: LinkedAccountId,
        (org, member): (OrgId, MemberId),
        now: Timestamp,
    ) -> Self {
        let ProvenAccount { provider, issuer, subject, shown, .. } = account.clone();
        Self { id, org, member, provider, issuer, subject, shown, created_at: now, used_at: None }
    }
}

impl From<LinkedAccountRecord> for LinkedAccount {
    fn from(record: LinkedAccountRecord) -> Self {
        let LinkedAccountRecord { id, provider, issuer, subject, shown, created_at, used_at, .. } = record;
        let (issuer, subject) = (issuer.to_string(), subject.to_string());
        Self {
            id,
            provider,
            issuer,
            subject,
            shown: shown.map(|shown| shown.to_string()),
            created_at,
            used_at,
        }
    }
}

impl From<ProofFault> for Stop<Error> {
    fn from(fault: ProofFault) -> Self {
        let why = match fault {
            ProofFault::Used => "this sign-in was already used: sign in again",
            ProofFault::Expired => "this sign-in has expired: sign in again",
        };
        Error::Conflict { why }.into()
    }
}
