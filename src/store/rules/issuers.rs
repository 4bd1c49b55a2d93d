//! The issuers of tokens that an organization trusts. An admin manages them; whoever may create an identity may use them.

use crate::domain::audit::AuditAction;
use crate::domain::id::OrgId;
use crate::domain::identity_template::IdentityTemplate;
use crate::domain::jwt::IssuerSpec;
use crate::domain::name::IssuerName;
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::issuers::IssuerRecord;
use crate::store::tables::tickets::{TicketRecord, TokenRule};

/// Issuers of an organization at most: a list of identities reads all of them.
const MAX_ISSUERS: usize = 20;
/// Bytes of the certificates, or of the keys, of one issuer at most.
const MAX_DOCUMENT: usize = 64 << 10;

/// An issuer of tokens.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// Its name in the organization.
    pub(crate) name: IssuerName,
    /// Its URL, its algorithms, and how its keys are found.
    pub(crate) spec: IssuerSpec,
    /// When it was last changed.
    pub(crate) updated_at: Timestamp,
}

impl Store {
    /// Lists the issuers by name.
    pub(crate) async fn issuers(&self, caller: &Caller) -> Result<Vec<Issuer>, Error> {
        let (org, _) = self.require_member(caller, AuditAction::IssuerList).await?;
        self.permit(caller, Action::ReadSettings, AuditAction::IssuerList, None).await?;
        let (found, _) = self.records().scan_all(&self.records().issuers(org)).await?;
        let mut all: Vec<Issuer> = found.into_iter().map(|found| found.record.into()).collect();
        // The keys are hashes of the names.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Returns one issuer.
    pub(crate) async fn issuer(&self, caller: &Caller, name: &IssuerName) -> Result<Issuer, Error> {
        let (org, _) = self.require_member(caller, AuditAction::IssuerList).await?;
        self.permit(caller, Action::ReadSettings, AuditAction::IssuerList, Some(target::issuer(name)))
            .await?;
        let found = self.records().get(&self.records().issuer(org, name)).await?;
        found.map(Issuer::from).ok_or(Error::NotFound { what: "issuer" })
    }

    /// Adds an issuer, or changes one (an admin). After a change of its URL, authorities or keys, identities that act for persons do not
    /// boot until these persons confirm it.
    pub(crate) async fn put_issuer(
        &self,
        caller: &Caller,
        name: &IssuerName,
        spec: IssuerSpec,
    ) -> Result<Issuer, Error> {
        let audit_action = AuditAction::IssuerEdit;
        let (org, _) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::EditSettings, audit_action, Some(target::issuer(name))).await?;
        let too_large = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MAX_DOCUMENT);
        for (field, text) in [("authorities", &spec.authorities), ("keys", &spec.keys)] {
            if too_large(text) {
                return Err(Error::Invalid { field, why: "it is longer than 64 KiB" });
            }
        }
        let prefix = self.records().issuers(org);
        let key = self.records().issuer(org, name);
        // Not in the transaction: two admins who add the last one at once may exceed the limit by one.
        let (all, _) = self.records().scan_all(&prefix).await?;
        if all.len() >= MAX_ISSUERS && all.iter().all(|found| found.key != key.bytes()) {
            return Err(Error::Conflict { why: "an organization has at most 20 issuers: remove one first" });
        }
        let event = caller.event(audit_action).about(target::issuer(name));
        let name = name.clone();
        let put = self.journal().run(vec![key.to_vec()], move |tx| {
            let record = IssuerRecord { name: name.clone(), spec: spec.clone(), updated_at: tx.now() };
            tx.put(&key, &record)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(record)
        });
        Ok(put.await?.into())
    }

    /// Removes an issuer (an admin). Identities that rely on it boot no more.
    pub(crate) async fn remove_issuer(&self, caller: &Caller, name: &IssuerName) -> Result<Issuer, Error> {
        let audit_action = AuditAction::IssuerDelete;
        let (org, _) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::EditSettings, audit_action, Some(target::issuer(name))).await?;
        let key = self.records().issuer(org, name);
        let event = caller.event(audit_action).about(target::issuer(name));
        let removed = self.journal().run(vec![key.to_vec()], move |tx| {
            let record = tx.get(&key)?.ok_or(Error::NotFound { what: "issuer" })?;
            tx.delete(&key);
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(record)
        });
        Ok(removed.await?.into())
    }

    /// The issuer that an identity relies on, as it is now. `None` if it was removed.
    pub(crate) async fn issuer_of(&self, identity: &TicketRecord) -> Result<Option<IssuerSpec>, Error> {
        match &identity.token {
            Some(rule) => self.issuer_spec(identity.org, rule).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn issuer_spec(
        &self,
        org: OrgId,
        rule: &TokenRule,
    ) -> Result<Option<IssuerSpec>, Error> {
        let Some(name) = &rule.issuer else {
            return Ok(IdentityTemplate::find(&rule.template).and_then(public_issuer));
        };
        let found = self.records().get(&self.records().issuer(org, name)).await?;
        Ok(found.map(|record| record.spec))
    }
}

/// The issuer of a platform that has one for everybody.
fn public_issuer(template: &IdentityTemplate) -> Option<IssuerSpec> {
    let url = template.issuer(None).ok()?;
    let algorithms = template.algorithms.iter().copied().collect();
    Some(IssuerSpec { url, algorithms, authorities: None, keys: None })
}

impl From<IssuerRecord> for Issuer {
    fn from(record: IssuerRecord) -> Self {
        let IssuerRecord { name, spec, updated_at } = record;
        Self { name, spec, updated_at }
    }
}
