//! Identities as people see them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::id::{MemberId, OrgId};
use crate::domain::identity::IdentityKind;
use crate::domain::jwt::{ClaimCheck, ClaimRule, IssuerSpec};
use crate::domain::name::{IssuerName, MemberName};
use crate::domain::role::MemberKind;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::rules::tickets::Ticket;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::{TicketRecord, TokenRule};

/// An identity of a machine.
#[derive(Clone, Debug)]
pub(crate) struct MachineIdentity {
    /// How the machine proves that it may boot.
    pub(crate) kind: IdentityKind,
    /// The member that it acts for, and its limits.
    pub(crate) grant: Ticket,
    /// The tokens that it accepts. `None` for a ticket.
    pub(crate) tokens: Option<AcceptedTokens>,
}

/// The tokens that an identity accepts.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedTokens {
    /// The template that it was made from.
    pub(crate) template: String,
    /// An issuer of the organization. `None`: the public issuer of the template.
    pub(crate) issuer: Option<IssuerName>,
    /// That issuer's settings as they are now. `None` if it was removed.
    pub(crate) spec: Option<IssuerSpec>,
    /// The audience, which defaults to that of the store.
    pub(crate) audience: String,
    /// What their claims must be.
    pub(crate) claims: Vec<ClaimRule>,
    /// The claim that names the service, and the services that it may name.
    pub(crate) for_each: Option<(String, BTreeSet<MemberName>)>,
    /// Whether each token boots once.
    pub(crate) single_use: bool,
    /// Whether it waits for the person that it acts for to confirm a change of the issuer.
    pub(crate) suspended: bool,
}

/// What an identity demands of a claim, and what a token says.
pub(crate) struct ClaimComparison {
    /// The pointer of the claim.
    pub(crate) what: String,
    pub(crate) passed: bool,
    pub(crate) expected: String,
    pub(crate) found: Option<String>,
}

impl ClaimComparison {
    pub(crate) fn of(rule: &ClaimRule, check: ClaimCheck) -> Self {
        let (passed, found) = match check {
            ClaimCheck::Matched => (true, None),
            ClaimCheck::Absent => (false, None),
            ClaimCheck::Different { found } => (false, Some(found)),
        };
        let more = if rule.prefix { "…" } else { "" };
        Self { what: rule.pointer.clone(), passed, expected: format!("{}{more}", rule.value), found }
    }
}

impl Store {
    /// The audience of tokens for this store, unless an identity names another.
    pub(crate) fn token_audience(&self) -> String {
        format!("dropsafe:{}", self.id())
    }

    pub(crate) async fn show_identity(&self, record: TicketRecord) -> Result<MachineIdentity, Error> {
        let shown = self.show_identities(record.org, vec![record]).await?;
        shown.into_iter().next().ok_or(Error::NotFound { what: "identity" })
    }

    /// Leaves out those whose member was removed.
    pub(crate) async fn show_identities(
        &self,
        org: OrgId,
        records: Vec<TicketRecord>,
    ) -> Result<Vec<MachineIdentity>, Error> {
        let ids = records
            .iter()
            .flat_map(|record| [record.member, record.author].into_iter().chain(record.services()));
        // One read for all names.
        let members = self.members_by_id(org, ids.collect()).await?;
        let mut shown = Vec::with_capacity(records.len());
        for record in records {
            let kind = record.kind();
            let tokens = match &record.token {
                Some(rule) => {
                    let issuer = self.issuer_of(&record).await?;
                    let is_person = is_person(&members, record.member);
                    Some(self.accepted_tokens(rule, issuer.as_ref(), is_person, &members))
                }
                None => None,
            };
            if let Some(grant) = record.into_ticket(&members, self.now()) {
                shown.push(MachineIdentity { kind, grant, tokens });
            }
        }
        Ok(shown)
    }

    fn accepted_tokens(
        &self,
        rule: &TokenRule,
        issuer: Option<&IssuerSpec>,
        is_person: bool,
        members: &BTreeMap<MemberId, MemberRecord>,
    ) -> AcceptedTokens {
        let name = |id: &MemberId| members.get(id).map(|member| member.name.clone());
        AcceptedTokens {
            template: rule.template.clone(),
            issuer: rule.issuer.clone(),
            spec: issuer.cloned(),
            audience: rule.audience.clone().unwrap_or_else(|| self.token_audience()),
            claims: rule.claims.clone(),
            for_each: rule
                .services
                .as_ref()
                .map(|claim| (claim.pointer.clone(), claim.services.iter().filter_map(name).collect())),
            single_use: rule.single_use,
            suspended: rule.is_suspended(issuer, is_person),
        }
    }
}

fn is_person(members: &BTreeMap<MemberId, MemberRecord>, id: MemberId) -> bool {
    members.get(&id).is_some_and(|member| member.kind == MemberKind::Person)
}

impl TokenRule {
    /// Whether a person has not confirmed the issuer as it is now. An admin who changes an issuer could otherwise sign tokens of the
    /// machines of every person who relies on it. The managers of a service answer for the issuers that they use.
    pub(crate) fn is_suspended(&self, issuer: Option<&IssuerSpec>, acts_for_person: bool) -> bool {
        acts_for_person
            && self.services.is_none()
            && issuer.is_some_and(|issuer| issuer.digest() != self.issuer_digest)
    }
}
