//! Which organizations an account opens, and as whom. Reads only: the commit of a sign-in checks again what it relies on.

use std::collections::BTreeSet;

use crate::domain::id::{LinkedAccountId, MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::role::{MemberKind, Role};
use crate::store::engine::failure::Failure;
use crate::store::rules::sign_in::{SignInProof, SignInRefusal};
use crate::store::rules::store::Store;
use crate::store::tables::linked_accounts::AccountSubjectRecord;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::orgs::{self, OrgRecord};

/// An organization that an account opens.
#[derive(Clone)]
pub(crate) struct OrgCandidate {
    pub(crate) org: OrgRecord,
    pub(crate) entry: CandidateEntry,
    /// The role that the person's groups give. None: the groups do not decide roles there.
    pub(crate) role: Option<Role>,
}

/// As whom an account opens an organization.
#[derive(Clone, Copy)]
pub(crate) enum CandidateEntry {
    Linked {
        account: LinkedAccountId,
        member: MemberId,
    },
    /// As a member that the sign-in creates.
    New,
}

/// An organization that an account does not open.
pub(crate) struct ClosedOrg {
    pub(crate) org: OrgId,
    pub(crate) member: Option<(MemberId, MemberName)>,
    pub(crate) why: SignInRefusal,
}

/// What an account opens, and what it does not.
#[derive(Default)]
pub(crate) struct Candidates {
    pub(crate) open: Vec<OrgCandidate>,
    pub(crate) closed: Vec<ClosedOrg>,
}

impl Store {
    /// Returns what the account of a proof opens: the members that it is linked to, and the organizations that its groups name.
    pub(crate) async fn sign_in_candidates(&self, proof: &SignInProof) -> Result<Candidates, Failure> {
        let mut candidates = Candidates::default();
        let mut known = BTreeSet::new();
        let account = &proof.account;
        let subjects = self.records().account_subjects(&account.issuer, &account.subject);
        // One for each organization that the person ever belonged to.
        let (subjects, _) = self.records().scan_all(&subjects).await?;
        for found in subjects {
            let AccountSubjectRecord { org, member, .. } = found.record;
            known.insert(org);
            let org = self.records().get(&orgs::org(org)).await?.ok_or(Failure::Corrupt)?;
            let member = self.records().get(&self.records().member(org.id, member)).await?;
            candidates.judge(proof, org, member.ok_or(Failure::Corrupt)?, found.record.account);
        }
        for grant in &account.grants {
            // The configuration may name an organization that does not exist yet.
            let id = self.records().get(&self.records().org_name(&grant.org)).await?;
            let Some(id) = id.filter(|id| !known.contains(id)) else { continue };
            let org = self.records().get(&orgs::org(id)).await?.ok_or(Failure::Corrupt)?;
            if org.policy.create_at_sign_in {
                let (entry, role) = (CandidateEntry::New, Some(grant.role));
                candidates.open.push(OrgCandidate { org, entry, role });
            } else {
                // Recorded there: its admins learn whom they may want to add.
                candidates.closed.push(ClosedOrg { org: id, member: None, why: SignInRefusal::Unknown });
            }
        }
        Ok(candidates)
    }
}

impl Candidates {
    /// Adds an organization in which the account is linked, or was.
    fn judge(
        &mut self,
        proof: &SignInProof,
        org: OrgRecord,
        member: MemberRecord,
        account: Option<LinkedAccountId>,
    ) {
        let granted = proof.account.granted_role(&org.name);
        let is_governed = proof.governed.contains(&org.name);
        let refused = match (&member, account) {
            // First: whatever else is true of a removed member says nothing any more.
            (MemberRecord { removed_at: Some(_), .. }, _) => Err(SignInRefusal::Removed),
            (_, None) => Err(SignInRefusal::Unlinked),
            (MemberRecord { kind: MemberKind::Service | MemberKind::Launcher, .. }, _) => {
                Err(SignInRefusal::NotPerson)
            }
            _ if is_governed && granted.is_none() => Err(SignInRefusal::NoGroup),
            (_, Some(account)) => Ok(account),
        };
        // Both are kept: a refusal is recorded in the organization that it concerns.
        match refused {
            Ok(account) => {
                let entry = CandidateEntry::Linked { account, member: member.id };
                let role = granted.filter(|_| is_governed);
                self.open.push(OrgCandidate { org, entry, role });
            }
            Err(why) => {
                self.closed.push(ClosedOrg { org: org.id, member: Some((member.id, member.name)), why });
            }
        }
    }
}
