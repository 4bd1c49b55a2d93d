//! Re-encrypts all secrets of the caller's organization that the caller may change: the same values and versions, fresh keys
//! and nonces. A new generation for the whole store is the operator's.

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::name::SecretName;
use crate::domain::role::Action;
use crate::domain::secret::Scope;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::{Reseal, Resealed};
use crate::store::rules::secrets::describe::describe_secret;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::store;

/// The most values in one commit.
const BATCH: usize = 50;
/// Bytes of values in one commit, about.
const BATCH_BYTES: usize = 1 << 20;

/// The outcome of a re-encryption of an organization.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reencrypted {
    /// How many were re-encrypted.
    pub done: u64,
    /// The names of those whose values do not open. They stay as they are.
    pub left: Vec<SecretName>,
}

impl Store {
    /// Re-encrypts every secret that the caller may, on an unlocked store. If it is interrupted, the audit log names those that
    /// are done, and repeating it does no harm.
    pub async fn reencrypt_own_org(&self, caller: &Caller) -> Result<Reencrypted, Error> {
        let audit_action = AuditAction::SecretReEncrypt;
        let (org, member) = self.require_member(caller, audit_action).await?;
        self.permit(
            caller,
            Action::ReEncryptSecret(caller.scope_subject(Scope::Private(member))),
            audit_action,
            None,
        )
        .await?;
        let mut outcome = Reencrypted::default();
        for scope in self.visible_scopes(caller, org, member).await? {
            // Skipped and not refused: a member may see the shared scope without a right to change it.
            if !caller.may(Action::ReEncryptSecret(caller.scope_subject(scope))) {
                continue;
            }
            let prefix = self.records().secrets(org, scope);
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.records().scan(&prefix, after.as_deref(), BATCH).await?;
                after = page.found.last().map(|found| found.key.clone());
                let records = page.found.into_iter().map(|found| found.record).collect();
                self.reseal_all(caller, records, &mut outcome).await?;
                if !page.more {
                    break;
                }
            }
        }
        Ok(outcome)
    }

    async fn reseal_all(
        &self,
        caller: &Caller,
        records: Vec<SecretRecord>,
        outcome: &mut Reencrypted,
    ) -> Result<(), Error> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for record in records {
            // For each secret, because the store may be locked in between.
            let release = self.release().ok_or(Error::Locked)?;
            bytes += usize::try_from(record.meta.value_len).unwrap_or(BATCH_BYTES);
            match self.reseal(&release, record.clone()).await? {
                Reseal::Sealed(resealed) => batch.push((record, *resealed)),
                // Nothing is left to seal.
                Reseal::Changed => {}
                Reseal::Unusable => {
                    self.note_unusable(&[&record]).await?;
                    outcome.left.push(record.meta.name);
                }
            }
            if bytes >= BATCH_BYTES {
                outcome.done += self.put_all_resealed(caller, std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        outcome.done += self.put_all_resealed(caller, batch).await?;
        Ok(())
    }

    async fn put_all_resealed(
        &self,
        caller: &Caller,
        batch: Vec<(SecretRecord, Resealed)>,
    ) -> Result<u64, Failure> {
        if batch.is_empty() {
            return Ok(0);
        }
        let caller = caller.clone();
        let mut reads: Vec<Vec<u8>> =
            batch.iter().map(|(record, _)| record.key(self.records()).to_vec()).collect();
        reads.push(store::keys().to_vec());
        let done = self.journal().run(reads, move |tx| {
            let mut count = 0;
            for (before, resealed) in &batch {
                // A secret that was replaced meanwhile is not counted: its depositor sealed it.
                if tx.put_resealed(before, resealed)? {
                    let about = target::secret(before.meta.id, &before.meta.name);
                    let generation = AuditText::number(resealed.generation().map_or(0, u64::from));
                    let event = caller.event(AuditAction::SecretReEncrypt).about(about);
                    let event = event.detail(DetailKey::Generation, generation);
                    tx.audit(describe_secret(event, &resealed.record.meta));
                    count += 1;
                }
            }
            Ok::<_, Stop<Failure>>(count)
        });
        done.await
    }
}
