//! Accounts at OIDC providers that sign in as members: by id, by the provider's subject and by member. And the proofs of
//! sign-ins that were used.
//!
//! What a subject was linked to is never forgotten: an account that was unlinked, or whose member was removed, does not
//! become a new member by itself.

use crate::domain::id::{LinkedAccountId, MemberId, OrgId};
use crate::domain::name::{Label, ProviderIssuer, ProviderName, ProviderSubject};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const LINKED_ACCOUNTS: Table = Table::new(b'F', "linked accounts");
pub(crate) const ACCOUNT_SUBJECTS: Table = Table::new(b'H', "account subjects");
pub(crate) const ACCOUNT_MEMBERS: Table = Table::new(b'Y', "accounts of members");
pub(crate) const USED_PROOFS: Table = Table::new(b'Z', "used proofs");

pub(crate) fn linked_account(id: LinkedAccountId) -> Key<LinkedAccountRecord> {
    LINKED_ACCOUNTS.by_id(id.as_bytes())
}

pub(crate) fn used_proofs() -> Prefix<UsedProofRecord> {
    USED_PROOFS.all()
}

pub(crate) fn used_proof(id: [u8; 16]) -> Key<UsedProofRecord> {
    USED_PROOFS.by_id(&id)
}

impl Records {
    /// Returns the prefix of what a provider's subject is linked to, or was: one record for each organization.
    pub(crate) fn account_subjects(
        &self,
        issuer: &ProviderIssuer,
        subject: &ProviderSubject,
    ) -> Prefix<AccountSubjectRecord> {
        // The issuer and the subject, and nothing else of the provider: its name here may change, an e-mail may pass to somebody.
        self.grouped(&ACCOUNT_SUBJECTS, &[issuer.as_str().as_bytes(), subject.as_str().as_bytes()])
    }

    pub(crate) fn account_subject(
        &self,
        issuer: &ProviderIssuer,
        subject: &ProviderSubject,
        org: OrgId,
    ) -> Key<AccountSubjectRecord> {
        self.account_subjects(issuer, subject).key(org.as_bytes())
    }

    /// Returns the prefix of the accounts that sign in as a member.
    pub(crate) fn accounts_of(&self, org: OrgId, member: MemberId) -> Prefix<LinkedAccountId> {
        self.grouped(&ACCOUNT_MEMBERS, &[org.as_bytes(), member.as_bytes()])
    }
}

/// An account that signs in as a member. It is deleted when it is unlinked, or its member removed.
#[derive(Clone)]
pub(crate) struct LinkedAccountRecord {
    pub(crate) id: LinkedAccountId,
    pub(crate) org: OrgId,
    pub(crate) member: MemberId,
    /// What the operator called the provider when the account was linked.
    pub(crate) provider: ProviderName,
    pub(crate) issuer: ProviderIssuer,
    pub(crate) subject: ProviderSubject,
    /// What the provider called the person, for people.
    pub(crate) shown: Option<Label>,
    pub(crate) created_at: Timestamp,
    /// When somebody last signed in with it.
    pub(crate) used_at: Option<Timestamp>,
}

stored! {
    StoredLinkedAccountV1 = LinkedAccountRecord {
        id: [u8; 16],
        org: [u8; 16],
        member: [u8; 16],
        provider: String,
        issuer: String,
        subject: String,
        shown: Option<String>,
        created_at: i64,
        used_at: Option<i64>,
    }
}

record! { LinkedAccountRecord {} newest 1 => StoredLinkedAccountV1 }
record! { LinkedAccountId {} newest 1 => [u8; 16] }

/// What a provider's subject is linked to in an organization, or was.
#[derive(Clone)]
pub(crate) struct AccountSubjectRecord {
    pub(crate) org: OrgId,
    pub(crate) member: MemberId,
    /// None: it was unlinked.
    pub(crate) account: Option<LinkedAccountId>,
}

stored! {
    StoredAccountSubjectV1 = AccountSubjectRecord { org: [u8; 16], member: [u8; 16], account: Option<[u8; 16]> }
}

record! { AccountSubjectRecord {} newest 1 => StoredAccountSubjectV1 }

/// A proof of a sign-in that was used. It is kept until the proof has expired.
#[derive(Clone)]
pub(crate) struct UsedProofRecord {
    pub(crate) expires_at: Timestamp,
}

stored! {
    StoredUsedProofV1 = UsedProofRecord { expires_at: i64 }
}

record! { UsedProofRecord {} newest 1 => StoredUsedProofV1 }
