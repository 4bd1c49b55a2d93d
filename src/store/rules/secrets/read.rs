//! Reading secrets: everything except encrypted values.

use std::collections::BTreeMap;

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::name::{EnvName, MemberName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::domain::value::Kind;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::Secret;
use crate::store::rules::secrets::describe::describe_secret;
use crate::store::rules::store::Store;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::secrets::{Body, SecretRecord, SecretValueRecord as Stored};

impl Store {
    /// Returns a secret by id.
    pub async fn secret(&self, caller: &Caller, id: SecretId) -> Result<Secret, Error> {
        let (org, _) = self.require_member(caller, AuditAction::SecretRead).await?;
        let record = self.visible_secret(caller, org, id).await?;
        let secret = self.show_secret(caller, record).await?;
        self.record_plain_values(caller, AuditAction::SecretRead, std::slice::from_ref(&secret)).await?;
        Ok(secret)
    }

    /// Refuses to show a value, and records the attempt. A secret that the caller may not see is not found.
    pub async fn refuse_to_show(&self, caller: &Caller, id: SecretId) -> Error {
        let audit_action = AuditAction::SecretRead;
        let seen = async {
            let (org, _) = self.require_member(caller, audit_action).await?;
            self.visible_secret(caller, org, id).await
        };
        match seen.await {
            Ok(record) => {
                let about = target::secret(id, &record.meta.name);
                // Waited for, so that the attempt is on record before it is answered.
                self.record_denial(caller.event(audit_action).about(about).denied(Error::WriteOnly.code()))
                    .await;
                Error::WriteOnly
            }
            Err(error) => error,
        }
    }

    /// Returns the secret with that name, or else with that exported name, in one scope of one owner (absent: the caller).
    pub async fn find_secret(
        &self,
        caller: &Caller,
        name: &str,
        scope: ScopeKind,
        owner: Option<&MemberName>,
    ) -> Result<Secret, Error> {
        let audit_action = AuditAction::SecretRead;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let scope = self.scope(caller, scope, owner).await?;
        self.permit(caller, Action::ReadSecret(caller.scope_subject(scope)), audit_action, None).await?;
        let not_found = || Error::NotFound { what: "secret" };
        let id = self.lookup_name(org, scope, name).await?.ok_or_else(not_found)?;
        let record = self.records().get(&self.records().secret(org, scope, id)).await?;
        // Deleted between the two reads.
        let secret = self.show_secret(caller, record.ok_or_else(not_found)?).await?;
        self.record_plain_values(caller, audit_action, std::slice::from_ref(&secret)).await?;
        Ok(secret)
    }

    /// Records that the caller is about to receive plain values, if there are any among these secrets.
    pub(crate) async fn record_plain_values(
        &self,
        caller: &Caller,
        audit_action: AuditAction,
        secrets: &[Secret],
    ) -> Result<(), Failure> {
        let plain: Vec<&SecretMeta> =
            secrets.iter().filter(|secret| secret.plain.is_some()).map(|secret| &secret.meta).collect();
        let event = caller.event(audit_action);
        let event = match plain.as_slice() {
            [] => return Ok(()),
            [one] => describe_secret(event.about(target::secret(one.id, &one.name)), one),
            // One entry for a list: an entry for each of thousands would make a list a way to fill the log.
            many => event.detail(DetailKey::Values, AuditText::number(many.len() as u64)),
        };
        self.record_read(event).await
    }

    /// Returns a secret of the caller's organization if the caller may see it.
    pub(crate) async fn visible_secret(
        &self,
        caller: &Caller,
        org: OrgId,
        id: SecretId,
    ) -> Result<SecretRecord, Error> {
        let not_found = || Error::NotFound { what: "secret" };
        // The key of the secret itself has its scope in it.
        let scope = self.records().get(&self.records().scopes(org).key(id.as_bytes())).await?;
        let scope = scope.ok_or_else(not_found)?;
        let (action, about) = (Action::ReadSecret(caller.scope_subject(scope)), target::secret_id(id));
        if !self.may_see(caller, action, AuditAction::SecretRead, about) {
            return Err(not_found());
        }
        if let Some(owner) = scope.owner() {
            let owner =
                self.members_by_id(org, [owner].into()).await?.remove(&owner).ok_or_else(not_found)?;
            // Its secrets disappear with the member, before the background task deletes them.
            if owner.removed_at.is_some() {
                return Err(not_found());
            }
        }
        let record = self.records().get(&self.records().secret(org, scope, id)).await?;
        record.ok_or_else(not_found)
    }

    /// Returns the id of the secret that `name` identifies in a scope.
    async fn lookup_name(&self, org: OrgId, scope: Scope, name: &str) -> Result<Option<SecretId>, Failure> {
        // The name first: it may be the exported name of another secret.
        if let Ok(name) = SecretName::parse(name) {
            let found = self.records().get(&self.records().secret_name(org, scope, &name)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        match EnvName::parse(name) {
            Ok(env) => self.records().get(&self.records().secret_env(org, scope, &env)).await,
            Err(_) => Ok(None),
        }
    }

    pub(crate) async fn show_secret(&self, caller: &Caller, record: SecretRecord) -> Result<Secret, Error> {
        let org = record.org;
        let shown = self.show_secrets(caller, org, vec![record]).await?.pop();
        shown.ok_or(Error::NotFound { what: "secret" })
    }

    /// Returns a secret as an earlier commit wrote it. A plain value is included only while that version is current.
    pub(crate) async fn show_written(
        &self,
        caller: &Caller,
        org: OrgId,
        meta: SecretMeta,
        generation: Option<u32>,
    ) -> Result<Secret, Error> {
        // Read again, because the record of an idempotency key has no value.
        if meta.kind == Kind::Plain {
            let now = self.records().get(&self.records().secret(org, meta.scope, meta.id)).await?;
            if let Some(now) = now.filter(|now| now.meta.version == meta.version) {
                return self.show_secret(caller, now).await;
            }
        }
        let members = [Some(meta.author), meta.scope.owner()].into_iter().flatten().collect();
        let members = self.members_by_id(org, members).await?;
        show(meta, None, generation, &members).ok_or(Error::NotFound { what: "secret" })
    }

    /// Returns secrets as callers see them, without those of removed members.
    pub(crate) async fn show_secrets(
        &self,
        caller: &Caller,
        org: OrgId,
        records: Vec<SecretRecord>,
    ) -> Result<Vec<Secret>, Error> {
        let people = |record: &SecretRecord| [Some(record.meta.author), record.meta.scope.owner()];
        // One read for all names of the list.
        let members = records.iter().flat_map(people).flatten().collect();
        let members = self.members_by_id(org, members).await?;
        let mut secrets = Vec::with_capacity(records.len());
        for record in records {
            let SecretRecord { meta, value, .. } = record;
            let generation = value.generation();
            let plain = match value {
                Stored::Plain(body) if caller.may(Action::ReadPlainValue(caller.secret_subject(&meta))) => {
                    self.plain_text(body).await?
                }
                Stored::Plain(_) | Stored::Sealed { .. } => None,
            };
            secrets.extend(show(meta, plain, generation, &members));
        }
        Ok(secrets)
    }

    /// `None` if it was replaced since.
    async fn plain_text(&self, body: Body) -> Result<Option<String>, Failure> {
        let bytes = match body {
            Body::Here(bytes) => bytes,
            Body::Apart(_) => match body.place() {
                Some(place) => match self.records().get(&place).await? {
                    Some(body) => body.bytes,
                    // The secret was replaced between the read of its record and this one.
                    None => return Ok(None),
                },
                None => return Ok(None),
            },
        };
        String::from_utf8(bytes.into_vec()).map(Some).map_err(|_| Failure::Corrupt)
    }
}

/// `None` if its owner was removed.
fn show(
    meta: SecretMeta,
    plain: Option<String>,
    generation: Option<u32>,
    members: &BTreeMap<MemberId, MemberRecord>,
) -> Option<Secret> {
    let owner = match meta.scope.owner() {
        Some(owner) => Some(members.get(&owner).filter(|owner| owner.removed_at.is_none())?.name.clone()),
        None => None,
    };
    let author = members.get(&meta.author).map(|author| author.name.clone());
    Some(Secret { meta, owner, author, plain, generation })
}
