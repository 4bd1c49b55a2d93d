//! Identities whose proof is a token of an issuer. Their limits, their lists and their revocation are those of tickets.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::id::{IdentityId, MemberId, OrgId, TicketId};
use crate::domain::identity_template::{IdentityTemplate, TemplateAudience};
use crate::domain::jwt::ClaimRule;
use crate::domain::name::{IssuerName, MemberName};
use crate::domain::role::{Action, MemberKind};
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once};
use crate::store::rules::identity_view::MachineIdentity;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::rules::tickets::{NewProof, NewTicket, TicketGrant};
use crate::store::tables::tickets::{self, ServiceClaim, TicketRecord, TokenRule};

/// Services that one claim may name.
const MAX_SERVICES: usize = 100;
/// Bytes of an audience at most.
const MAX_AUDIENCE: usize = 255;

/// An identity to create.
#[derive(Clone, Debug)]
pub(crate) struct NewIdentity {
    /// The member that it acts for, unless a claim names a service, and its limits.
    pub(crate) limits: NewTicket,
    /// The template, such as `kubernetes`.
    pub(crate) template: String,
    /// An issuer of the organization. Absent: the public issuer of the template.
    pub(crate) issuer: Option<IssuerName>,
    /// The audience of its tokens. Absent: that of the store.
    pub(crate) audience: Option<String>,
    /// What the claims of its tokens must be, by the template's names for them.
    pub(crate) claims: BTreeMap<String, String>,
    /// The claim that names the service, by the template's name for it, and the services that it may name.
    pub(crate) for_each: Option<(String, BTreeSet<MemberName>)>,
    /// Whether each token boots once.
    pub(crate) single_use: bool,
}

/// Whom an identity acts for.
struct Represented {
    /// The member; of an identity whose claim names a service the author, so that it does not end with one of its services.
    member: MemberId,
    name: MemberName,
    services: BTreeSet<MemberId>,
}

impl Store {
    /// Creates an identity: a member for itself and for the services that it manages, a launcher for those who accepted it.
    pub(crate) async fn create_identity(
        &self,
        caller: &Caller,
        new: NewIdentity,
        idempotency: Option<&str>,
    ) -> Result<MachineIdentity, Error> {
        let audit_action = AuditAction::IdentityCreate;
        let represented = self.permit_representation(caller, &new).await?;
        new.limits.check()?;
        let (org, own) = caller.own_member()?;
        let author = caller.author_of_creations().unwrap_or(own);
        let rule = self.token_rule(org, &new, represented.services.clone()).await?;
        let request = RepeatableRequest { operation: "create identity", parts: new.parts(), value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let id = TicketId::from_bytes(self.records().random_bytes());
        let event = caller.event(audit_action).about(target::identity(id.into()));
        let mut event = event.member(represented.member, &represented.name);
        if let Some(issuer) = &rule.issuer {
            event = event.detail(DetailKey::Issuer, issuer);
        }
        let grant = TicketGrant::new(caller, org, author, represented.member);
        self.recount_if_full::<TicketRecord>(org, author, &grant.policy).await?;
        let reads = vec![self.records().member(org, represented.member).to_vec()];
        let services = represented.services;
        let made = self.journal().run(reads, move |tx| {
            once(tx, repeatable.as_ref(), |tx| {
                for service in &services {
                    tx.check_acts_for(org, author, *service)?;
                }
                let proof = NewProof { hash: [0; 32], key: None, token: Some(rule.clone()) };
                let ticket = tx.store_ticket(&grant, id, &new.limits, proof)?;
                tx.audit(ticket.describe_limits(event.clone()));
                Ok(ticket)
            })
        });
        let (record, _) = made.await?;
        self.show_identity(record).await
    }

    /// Lists the identities that the caller may see, of all kinds, ascending by id, or those of `member`.
    pub(crate) async fn list_identities(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
        page: PageAsk,
    ) -> Result<Page<MachineIdentity>, Error> {
        let (found, next) = self.visible_tickets(caller, member, &page, AuditAction::IdentityList).await?;
        Ok(Page { items: self.show_identities(caller.own_org()?, found).await?, next })
    }

    /// Returns one identity of any kind.
    pub(crate) async fn identity(&self, caller: &Caller, id: IdentityId) -> Result<MachineIdentity, Error> {
        let found = self.visible_identity(caller, id.into(), AuditAction::IdentityList).await?;
        self.show_identity(found).await
    }

    /// Revokes an identity. After this returns, no boot with it succeeds.
    pub(crate) async fn revoke_identity(
        &self,
        caller: &Caller,
        id: IdentityId,
    ) -> Result<MachineIdentity, Error> {
        let found = self.visible_identity(caller, id.into(), AuditAction::IdentityList).await?;
        let event = caller.event(AuditAction::IdentityRevoke).about(found.target());
        let revoked = self.revoke_identity_record(caller, found, event).await?;
        self.show_identity(revoked).await
    }

    /// Confirms the settings of the issuer of an identity that have this digest: the person that the identity acts for.
    ///
    /// # Errors
    /// `Conflict` if they have changed since: the person has not seen what the issuer is now.
    pub(crate) async fn confirm_identity(
        &self,
        caller: &Caller,
        id: IdentityId,
        digest: [u8; 32],
    ) -> Result<MachineIdentity, Error> {
        let found = self.visible_identity(caller, id.into(), AuditAction::IdentityList).await?;
        let audit_action = AuditAction::IdentityConfirm;
        let about = Some(target::identity(id));
        // Only the member: whoever changed the issuer must not confirm the change for others.
        self.permit(caller, Action::CreateTicket(caller.subject(found.member)), audit_action, about).await?;
        let spec = self.issuer_of(&found).await?.ok_or(Error::NotFound { what: "issuer" })?;
        if spec.digest() != digest {
            return Err(Error::Conflict {
                why: "the issuer has other settings than these: look at them again",
            });
        }
        let key = tickets::ticket(found.id);
        let event = caller.event(audit_action).about(target::identity(id));
        let confirmed = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut record = tx.get(&key)?.ok_or(Error::NotFound { what: "identity" })?;
            if let Some(token) = &mut record.token {
                token.issuer_digest = digest;
            }
            tx.put(&key, &record)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(record)
        });
        let record = confirmed.await?;
        self.show_identity(record).await
    }

    /// Permits the creation for the member, or for each of the services.
    async fn permit_representation(&self, caller: &Caller, new: &NewIdentity) -> Result<Represented, Error> {
        let audit_action = AuditAction::IdentityCreate;
        let permit_for = async |name: Option<&MemberName>| {
            let (id, name, subject) = self.represented_subject(caller, name, audit_action).await?;
            let about = Some(target::member(id, &name));
            self.permit(caller, Action::CreateTicket(subject), audit_action, about).await?;
            Ok::<_, Error>((id, name))
        };
        let Some((_, names)) = &new.for_each else {
            let (member, name) = permit_for(new.limits.member.as_ref()).await?;
            return Ok(Represented { member, name, services: BTreeSet::new() });
        };
        if names.is_empty() || names.len() > MAX_SERVICES || new.limits.member.is_some() {
            return Err(Error::Invalid {
                field: "services",
                why: "name 1 to 100, and no member, if a claim names it",
            });
        }
        let mut services = BTreeSet::new();
        for name in names {
            let (id, name) = permit_for(Some(name)).await?;
            // A person is never chosen by a claim: whoever can influence a token's claims would choose the person.
            if self.member_record(caller.own_org()?, &name).await?.kind != MemberKind::Service {
                return Err(Error::Invalid { field: "services", why: "a claim can only name services" });
            }
            services.insert(id);
        }
        let (org, own) = caller.own_member()?;
        let author = caller.author_of_creations().unwrap_or(own);
        let author = self.members_by_id(org, BTreeSet::from([author])).await?.into_values().next();
        let author = author.ok_or(Error::NotFound { what: "member" })?;
        Ok(Represented { member: author.id, name: author.name, services })
    }

    /// The stored form of what the tokens must say.
    async fn token_rule(
        &self,
        org: OrgId,
        new: &NewIdentity,
        services: BTreeSet<MemberId>,
    ) -> Result<TokenRule, Error> {
        let template = IdentityTemplate::find(&new.template);
        let unknown = Error::Invalid { field: "template", why: "there is no template of this name" };
        let template = template.ok_or(unknown)?;
        let audience_fits = |audience: &String| {
            (1..=MAX_AUDIENCE).contains(&audience.len())
                && audience.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
        };
        if !new.audience.as_ref().is_none_or(audience_fits) {
            let why = "it must be 1 to 255 visible ASCII characters without #";
            return Err(Error::Invalid { field: "audience", why });
        }
        let has_own_audience = matches!(template.audience, TemplateAudience::Any);
        if new.audience.is_none() && !has_own_audience {
            let why = "this template needs the audience that is registered at the issuer";
            return Err(Error::Invalid { field: "audience", why });
        }
        let (claims, pointer) = new.rules(template)?;
        let rule = TokenRule {
            template: template.name.to_owned(),
            issuer: new.issuer.clone(),
            issuer_digest: [0; 32],
            audience: new.audience.clone(),
            claims,
            services: pointer.map(|pointer| ServiceClaim { pointer, services }),
            single_use: new.single_use,
        };
        let missing = match &new.issuer {
            Some(_) => Error::NotFound { what: "issuer" },
            None => {
                Error::Invalid { field: "issuer", why: "this template needs an issuer of the organization" }
            }
        };
        let spec = self.issuer_spec(org, &rule).await?.ok_or(missing)?;
        Ok(TokenRule { issuer_digest: spec.digest(), ..rule })
    }
}

impl NewIdentity {
    /// The rules of all claims but the one that names the service, whose pointer is returned beside them.
    fn rules(&self, template: &IdentityTemplate) -> Result<(Vec<ClaimRule>, Option<String>), Error> {
        let Some((claim, _)) = &self.for_each else {
            return Ok((template.rules(&self.claims)?, None));
        };
        if self.claims.contains_key(claim) {
            return Err(Error::Invalid { field: "for_each", why: "this claim has a fixed value already" });
        }
        let rules = template.rules_for_each(&self.claims, claim)?;
        Ok((rules, template.flag(claim).map(|flag| flag.pointer.to_owned())))
    }

    fn parts(&self) -> Vec<Vec<u8>> {
        let Self { limits, template, issuer, audience, claims, for_each, single_use } = self;
        let all = (template, issuer, audience, claims, for_each, single_use);
        let mut parts = limits.parts();
        // Only compared for equality, so that any unambiguous encoding will do.
        parts.push(postcard::to_allocvec(&all).unwrap_or_default());
        parts
    }
}
