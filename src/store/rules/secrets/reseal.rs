//! Sealing again whatever a caller may seal again, in its own organization: same values and versions, fresh keys and
//! nonces. A new generation for the whole store is the operator's.

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::role::Action;
use crate::domain::secret::Scope;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::Resealed;
use crate::store::rules::secrets::deposit::told_of;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::store;

/// Values in one commit, at most.
const BATCH: usize = 50;
/// Bytes of values in one commit, about.
const BATCH_BYTES: usize = 1 << 20;

impl Store {
    /// Seals every secret again that the caller may, and answers how many. Each is recorded; when it breaks off, those
    /// that the trail names are done, and doing it again does no harm. Unlocked only.
    pub async fn reencrypt_own_org(&self, caller: &Caller) -> Result<u64, Error> {
        let audit_action = AuditAction::SecretReEncrypt;
        let (org, member) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::ReEncryptSecret(Scope::Private(member)), audit_action, None).await?;
        let mut count = 0;
        for scope in self.visible_scopes(caller, org, member).await? {
            if !caller.may(Action::ReEncryptSecret(scope)) {
                continue;
            }
            let prefix = self.records().secrets(org, scope);
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.records().scan(&prefix, after.as_deref(), BATCH).await?;
                after = page.found.last().map(|found| found.key.clone());
                let records = page.found.into_iter().map(|found| found.record).collect();
                count += self.reseal_all(caller, records).await?;
                if !page.more {
                    break;
                }
            }
        }
        Ok(count)
    }

    async fn reseal_all(&self, caller: &Caller, records: Vec<SecretRecord>) -> Result<u64, Error> {
        let mut count = 0;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for record in records {
            let release = self.release().ok_or(Error::Locked)?;
            bytes += usize::try_from(record.meta.value_len).unwrap_or(BATCH_BYTES);
            // None: it was replaced meanwhile, hence sealed anew.
            if let Some(resealed) = self.reseal(&release, record.clone()).await? {
                batch.push((record, resealed));
            }
            if bytes >= BATCH_BYTES {
                count += self.put_all_resealed(caller, std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        Ok(count + self.put_all_resealed(caller, batch).await?)
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
                if tx.put_resealed(before, resealed)? {
                    let about = target::secret(before.meta.id, &before.meta.name);
                    let generation = AuditText::number(resealed.generation().map_or(0, u64::from));
                    let event = caller.event(AuditAction::SecretReEncrypt).about(about);
                    let event = event.detail(DetailKey::Generation, generation);
                    tx.audit(told_of(event, &resealed.record));
                    count += 1;
                }
            }
            Ok::<_, Stop<Failure>>(count)
        });
        done.await
    }
}
