//! Editing, deleting and re-encrypting one secret.

use crate::domain::attributes::AttributesPatch;
use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::id::{SecretId, VersionId};
use crate::domain::role::Action;
use crate::domain::secret::SecretMeta;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::deposit::told_of;
use crate::store::rules::secrets::{Deleted, Secret};
use crate::store::rules::store::Store;
use crate::store::tables::secrets;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::store;

/// Tries when a secret changes while it is sealed again.
const TRIES: usize = 5;

impl Store {
    /// Changes attributes; the version stays.
    pub async fn change_secret(
        &self,
        caller: &Caller,
        id: SecretId,
        if_match: Option<VersionId>,
        change: AttributesPatch,
    ) -> Result<Secret, Error> {
        let audit_action = AuditAction::SecretEdit;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let before = self.visible_secret(caller, org, id).await?;
        let about = target::secret(id, &before.meta.name);
        self.permit(caller, Action::EditSecret(before.meta.scope), audit_action, Some(about.clone())).await?;
        let key = before.key(self.records());
        let event = caller.event(audit_action).about(about);
        let changed = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut record = tx.get(&key)?.ok_or(Error::NotFound { what: "secret" })?;
            if if_match.is_some_and(|version| version != record.meta.version) {
                return Err(Error::VersionMismatch.into());
            }
            change.apply(&mut record.meta.attributes);
            record.meta.updated_at = tx.now();
            tx.put(&key, &record)?;
            tx.audit(told_of(event.clone(), &record));
            Ok::<_, Stop<Error>>(record)
        });
        let record = changed.await?;
        self.show_secret(caller, record).await
    }

    /// Deletes a secret: future boots do not get it. Says which boots still hold it.
    pub async fn delete_secret(
        &self,
        caller: &Caller,
        id: SecretId,
        if_match: Option<VersionId>,
    ) -> Result<Deleted, Error> {
        let audit_action = AuditAction::SecretDelete;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let before = self.visible_secret(caller, org, id).await?;
        let about = target::secret(id, &before.meta.name);
        self.permit(caller, Action::DeleteSecret(before.meta.scope), audit_action, Some(about.clone()))
            .await?;
        let secret = self.show_secret(caller, before.clone()).await?;
        let key = before.key(self.records());
        let event = caller.event(audit_action).about(about);
        let deleted = self.journal().run(vec![key.to_vec()], move |tx| {
            let record = tx.get(&key)?.ok_or(Error::NotFound { what: "secret" })?;
            if if_match.is_some_and(|version| version != record.meta.version) {
                return Err(Error::VersionMismatch.into());
            }
            tx.delete_secret(&record);
            tx.audit(told_of(event.clone(), &record));
            Ok::<_, Stop<Error>>(())
        });
        deleted.await?;
        Ok(Deleted { secret, held_by: self.holders_of(org, id).await? })
    }

    /// Seals one secret's value again: same value and version, fresh key and nonces. Unlocked only.
    pub async fn reencrypt_secret(&self, caller: &Caller, id: SecretId) -> Result<Secret, Error> {
        let audit_action = AuditAction::SecretReEncrypt;
        let (org, _) = self.require_member(caller, audit_action).await?;
        for _ in 0..TRIES {
            let before = self.visible_secret(caller, org, id).await?;
            let about = target::secret(id, &before.meta.name);
            self.permit(
                caller,
                Action::ReEncryptSecret(before.meta.scope),
                audit_action,
                Some(about.clone()),
            )
            .await?;
            let release = self.release().ok_or(Error::Locked)?;
            let Some(resealed) = self.reseal(&release, before.clone()).await? else { continue };
            let event = caller.event(audit_action).about(about);
            let generation = AuditText::number(resealed.generation().map_or(0, u64::from));
            let event = event.detail(DetailKey::Generation, generation);
            let reads = vec![before.key(self.records()).to_vec(), store::keys().to_vec()];
            let done = self.journal().run(reads, move |tx| {
                let done = tx.put_resealed(&before, &resealed)?;
                if done {
                    tx.audit(told_of(event.clone(), &resealed.record));
                }
                Ok::<_, Stop<Error>>(done.then(|| resealed.record.clone()))
            });
            if let Some(record) = done.await? {
                return self.show_secret(caller, record).await;
            }
        }
        Err(Failure::Conflict.into())
    }
}

impl Tx<'_> {
    /// Deletes all records of a secret.
    pub(crate) fn delete_secret(&mut self, record: &SecretRecord) {
        let records = self.records();
        let SecretMeta { id, name, env, scope, .. } = &record.meta;
        let key = record.key(records);
        self.delete(&secrets::unsettled(&key));
        self.delete(&key);
        self.delete(&records.scopes(record.org).key(id.as_bytes()));
        self.delete(&records.secret_env(record.org, *scope, env));
        self.delete(&records.secret_name(record.org, *scope, name));
        if let Some(place) = record.value.body().place() {
            self.delete(&place);
        }
    }
}
