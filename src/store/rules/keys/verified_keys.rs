//! The record of the keys, as the audit log proves it. Nothing is unlocked by another one, and nothing is sealed for one.

use std::sync::Arc;

use crate::domain::audit::AuditEvent;
use crate::domain::code::Code;
use crate::store::engine::audit::rows::{self, RowDigest};
use crate::store::engine::audit::verify::Pace;
use crate::store::engine::audit::verify_tables::verify_tables;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::store::{self, IDENTITY, KEYS, KeysRecord, RUN};

/// The tables that say which keys the store has, and which it may drop.
const KEY_TABLES: &[u8] = &[IDENTITY.letter, KEYS.letter, RUN.letter];

/// The record of the keys, and the digest of its row, by which a transaction knows that it has the same one.
pub(crate) struct VerifiedKeys {
    pub(crate) record: KeysRecord,
    pub(crate) row: RowDigest,
}

impl Store {
    /// Returns the record of the keys for the operation of `event`, which is recorded as failed if the record is not the
    /// newest one in the audit log.
    pub(crate) async fn verified_keys(&self, event: &AuditEvent) -> Result<VerifiedKeys, Failure> {
        let verified = self.verify_keys(Pace::Full).await;
        if matches!(verified, Err(Failure::KeysNotVerified)) {
            let event = event.clone().failed(Code::Corrupt);
            // Refused whether or not that can be recorded.
            if let Err(failure) = self.journal().record(vec![event]).await {
                tracing::error!(%failure, "the refusal could not be recorded in the audit log");
            }
        }
        verified
    }

    /// Verifies the log since the last time, and that the record of the keys is the newest one in it.
    pub(crate) async fn verify_keys(&self, pace: Pace) -> Result<VerifiedKeys, Failure> {
        let (verification, stored) = verify_tables(self.records(), KEY_TABLES, pace).await?;
        if !verification.ok {
            self.report_faults(verification).await?;
            return Err(Failure::KeysNotVerified);
        }
        // Each of these tables has one row.
        KEY_TABLES.iter().for_each(|letter| self.records().refused.remove(&[*letter]));
        let key = store::keys();
        let sealed = stored.get(key.bytes()).ok_or(Failure::Corrupt)?;
        // Not read again: it could be another row by then.
        Ok(VerifiedKeys { record: self.records().open(key.bytes(), sealed)?, row: rows::digest(sealed) })
    }

    /// Changes the record of the keys, in one commit with what `change` adds to it. `change` may run several times.
    pub(crate) async fn change_keys<T: Send + 'static>(
        &self,
        event: &AuditEvent,
        change: impl Fn(&mut Tx<'_>, KeysRecord) -> Result<(KeysRecord, T), Stop<Error>> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let change = Arc::new(change);
        loop {
            let VerifiedKeys { record, row } = self.verified_keys(event).await?;
            let change = Arc::clone(&change);
            let changed = self.journal().run(vec![store::keys().to_vec()], move |tx| {
                // Another process may have changed it since. Then it is verified again.
                if !tx.is_row(store::keys().bytes(), &row)? {
                    return Ok(None);
                }
                let (record, answer) = change(tx, record.clone())?;
                tx.put(&store::keys(), &record)?;
                Ok::<_, Stop<Error>>(Some(answer))
            });
            if let Some(answer) = changed.await? {
                return Ok(answer);
            }
        }
    }
}
