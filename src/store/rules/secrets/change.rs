//! Editing, deleting and re-encrypting one secret.

use crate::domain::attributes::AttributesPatch;
use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::code::Code;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::role::{Action, ScopeSubject, Subject};
use crate::domain::secret::SecretMeta;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::boots::named_secrets::NamedSecret;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::Reseal;
use crate::store::rules::secrets::describe::{describe_change, describe_secret};
use crate::store::rules::secrets::usage::Charge;
use crate::store::rules::secrets::{Deleted, Secret};
use crate::store::rules::store::Store;
use crate::store::tables::secrets::{self, SecretRecord};
use crate::store::tables::store;

/// How often a secret is sealed again because it has changed meanwhile.
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
        let action = Action::EditSecret(caller.secret_subject(&before.meta));
        self.permit(caller, action, audit_action, Some(about.clone())).await?;
        let key = before.key(self.records());
        let event = caller.event(audit_action).about(about);
        let caller_then = caller.clone();
        let changed = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut record = tx.get(&key)?.ok_or(Error::NotFound { what: "secret" })?;
            // In the transaction, where no replacement can come in between.
            if if_match.is_some_and(|version| version != record.meta.version) {
                return Err(Error::VersionMismatch.into());
            }
            tx.check_change(&caller_then, Action::EditSecret, &record)?;
            let before = record.meta.clone();
            // On what the transaction read: a replacement since the look-up must not be undone.
            change.apply(&mut record.meta.attributes);
            record.meta.updated_at = tx.now();
            tx.put(&key, &record)?;
            tx.audit(describe_change(event.clone(), &before, &record.meta));
            Ok::<_, Stop<Error>>(record)
        });
        let record = changed.await?;
        self.show_secret(caller, record).await
    }

    /// Deletes a secret: future boots do not get it. Returns the boots that still hold it.
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
        let action = Action::DeleteSecret(caller.secret_subject(&before.meta));
        self.permit(caller, action, audit_action, Some(about.clone())).await?;
        // Before the deletion, because the answer shows the secret as it was.
        let secret = self.show_secret(caller, before.clone()).await?;
        let key = before.key(self.records());
        let event = caller.event(audit_action).about(about);
        let caller_then = caller.clone();
        let charge = Charge::deletion(caller, &before);
        let reads = [key.to_vec()].into_iter().chain(charge.reads(self.records())).collect();
        let measured = self.measure_usage(&[charge]).await?;
        let deleted = self.journal().run(reads, move |tx| {
            let record = tx.get(&key)?.ok_or(Error::NotFound { what: "secret" })?;
            if if_match.is_some_and(|version| version != record.meta.version) {
                return Err(Error::VersionMismatch.into());
            }
            tx.check_change(&caller_then, Action::DeleteSecret, &record)?;
            tx.charge(&Charge::deletion(&caller_then, &record), &measured)?;
            tx.delete_secret(&record)?;
            tx.audit(describe_secret(event.clone(), &record.meta));
            Ok::<_, Stop<Error>>(())
        });
        deleted.await?;
        // After the deletion, so that a boot that was faster is listed.
        let held_by = self.holders_of(org, NamedSecret::of(&secret.meta)).await?;
        Ok(Deleted { secret, held_by })
    }

    /// Re-encrypts one secret on an unlocked store: the same value and version under a fresh key and nonces.
    pub async fn reencrypt_secret(&self, caller: &Caller, id: SecretId) -> Result<Secret, Error> {
        let audit_action = AuditAction::SecretReEncrypt;
        let (org, _) = self.require_member(caller, audit_action).await?;
        for _ in 0..TRIES {
            let before = self.visible_secret(caller, org, id).await?;
            let about = target::secret(id, &before.meta.name);
            let action = Action::ReEncryptSecret(caller.secret_subject(&before.meta));
            self.permit(caller, action, audit_action, Some(about.clone())).await?;
            let release = self.release().ok_or(Error::Locked)?;
            // Outside the journal, where opening and sealing a long value would stop all other operations.
            let event = caller.event(audit_action).about(about);
            let resealed = match self.reseal(&release, before.clone()).await? {
                Reseal::Sealed(resealed) => resealed,
                Reseal::Changed => continue,
                Reseal::Unusable => {
                    self.note_unusable(&[&before]).await?;
                    let error = Error::Unusable { name: before.meta.name.clone() };
                    let event = describe_secret(event.failed(Code::SecretUnusable), &before.meta);
                    self.journal().record(vec![event]).await?;
                    return Err(error);
                }
            };
            let generation = AuditText::number(resealed.generation().map_or(0, u64::from));
            let event = event.detail(DetailKey::Generation, generation);
            let reads = vec![before.key(self.records()).to_vec(), store::keys().to_vec()];
            let done = self.journal().run(reads, move |tx| {
                let done = tx.put_resealed(&before, &resealed)?;
                if done {
                    tx.audit(describe_secret(event.clone(), &resealed.record.meta));
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
    /// Decides again about a secret as the transaction has read it: another member may have replaced it, and the caller may
    /// have ceased to manage its owner.
    pub(crate) fn check_change(
        &mut self,
        caller: &Caller,
        action: fn(ScopeSubject) -> Action,
        record: &SecretRecord,
    ) -> Result<(), Stop<Error>> {
        let subject = caller.secret_subject(&record.meta);
        caller.recheck(action(subject))?;
        if let (ScopeSubject::Private(Subject::Managed), Some(owner), Ok((org, own))) =
            (subject, record.meta.scope.owner(), caller.own_member())
        {
            self.check_acts_for(org, own, owner)?;
        }
        Ok(())
    }

    /// Deletes all records of a secret.
    pub(crate) fn delete_secret(&mut self, record: &SecretRecord) -> Result<(), Halt> {
        let records = self.records();
        let SecretMeta { id, name, env, scope, .. } = &record.meta;
        let key = record.key(records);
        self.delete(&secrets::unsettled(&key));
        self.delete(&key);
        self.retire_version(record)?;
        // All indexes in the same commit, or a name would stay taken by nothing.
        self.delete(&records.scopes(record.org).key(id.as_bytes()));
        self.delete(&records.secret_env(record.org, *scope, env));
        self.delete(&records.secret_name(record.org, *scope, name));
        if let Some(place) = record.value.body().place() {
            self.delete(&place);
        }
        Ok(())
    }
}
