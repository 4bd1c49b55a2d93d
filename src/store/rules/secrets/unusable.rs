//! Values that did not open, or cannot be exported: boots, settling and re-encryption mark them, so that those who may see
//! the secret learn of it. Nothing is opened to find out.

use serde_bytes::ByteBuf;

use crate::domain::id::OrgId;
use crate::domain::secret::Scope;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::rules::boots::named_secrets::NamedSecret;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::{self, SecretRecord, UnusableMark};

/// Secrets that are listed.
const MAX_LISTED: usize = 100;

/// The secrets whose values are known not to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnusableSecrets {
    /// How many.
    pub count: u64,
    /// Those that the caller may see, at most 100.
    pub secrets: Vec<NamedSecret>,
}

impl UnusableSecrets {
    pub(crate) fn of(found: &[SecretRecord]) -> Self {
        let secrets = found.iter().take(MAX_LISTED).map(|record| NamedSecret::of(&record.meta)).collect();
        Self { count: found.len() as u64, secrets }
    }
}

impl Store {
    /// Marks secrets whose values do not open, unless they are marked.
    pub(crate) async fn note_unusable(&self, found: &[&SecretRecord]) -> Result<(), Failure> {
        let keys: Vec<_> = found.iter().map(|record| record.unusable_key(self.records())).collect();
        let known = self.records().get_all(&keys).await?;
        // Boots come by here again and again. Only the first one costs a commit.
        let mark = |record: &SecretRecord| Some(record.unusable_mark(self.records()));
        let unknown = found.iter().zip(known).filter(|(record, known)| *known != mark(record));
        let unknown: Vec<SecretRecord> = unknown.map(|(record, _)| (*record).clone()).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let reads = unknown.iter().map(|record| record.key(self.records()).to_vec()).collect();
        let marked = self.journal().run(reads, move |tx| {
            unknown.iter().try_for_each(|record| tx.mark_unusable(record))?;
            Ok::<_, Stop<Failure>>(())
        });
        marked.await
    }

    /// The marked secrets that the caller should know of: its own, those of services that it manages and shared ones; for
    /// the operator, the number of all.
    pub(crate) async fn unusable_for(&self, caller: &Caller) -> Result<UnusableSecrets, Error> {
        let Ok((org, member)) = caller.own_member() else {
            let count = self.find_unusable(&secrets::all_unusable()).await?.len() as u64;
            return Ok(UnusableSecrets { count, secrets: Vec::new() });
        };
        let private = [member].into_iter().chain(caller.manages().iter().copied()).map(Scope::Private);
        let scopes: Vec<Scope> = [Scope::Shared].into_iter().chain(private).collect();
        Ok(UnusableSecrets::of(&self.unusable_in(org, &scopes).await?))
    }

    /// The marked secrets of some scopes.
    pub(crate) async fn unusable_in(
        &self,
        org: OrgId,
        scopes: &[Scope],
    ) -> Result<Vec<SecretRecord>, Failure> {
        let mut found = self.find_unusable(&self.records().unusable(org)).await?;
        found.retain(|record| scopes.contains(&record.meta.scope));
        Ok(found)
    }

    /// The secrets under a prefix of marks whose marks still count.
    pub(crate) async fn find_unusable(
        &self,
        prefix: &Prefix<UnusableMark>,
    ) -> Result<Vec<SecretRecord>, Failure> {
        let (marks, _) = self.records().scan_all(prefix).await?;
        let keys: Vec<Key<SecretRecord>> = marks.iter().map(|mark| mark.record.secret_key()).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.records().snapshot(keys.iter().map(Key::to_vec).collect()).await?;
        let found = keys.iter().zip(marks).enumerate().filter_map(|(index, (key, mark))| {
            // A damaged record is none that does not open: whatever reads it reports the damage.
            let now = now.read(self.records(), index, key).ok().flatten();
            // A secret that was deleted or replaced leaves its mark behind.
            now.filter(|now| now.unusable_mark(self.records()) == mark.record)
        });
        Ok(found.collect())
    }

    /// Deletes marks that count no more.
    pub(crate) async fn clear_unusable_marks(&self) -> Result<(), Failure> {
        let (marks, _) = self.records().scan_all(&secrets::all_unusable()).await?;
        for marks in marks.chunks(self.records_per_commit()) {
            let pairs: Vec<_> =
                marks.iter().map(|mark| (Key::new(mark.key.clone()), mark.record.secret_key())).collect();
            let both = pairs.iter().flat_map(|(key, secret)| [key.to_vec(), secret.to_vec()]);
            let cleared = self.journal().run(both.collect(), move |tx| {
                for (key, secret) in &pairs {
                    let now = tx.get(secret)?.map(|now| now.unusable_mark(tx.records()));
                    if tx.get(key)? != now {
                        tx.delete(key);
                    }
                }
                Ok::<_, Stop<Failure>>(())
            });
            cleared.await?;
            self.yield_to_callers().await;
        }
        Ok(())
    }
}

impl Tx<'_> {
    /// Marks a secret whose value does not open, if it is still the same.
    pub(crate) fn mark_unusable(&mut self, record: &SecretRecord) -> Result<(), Halt> {
        let key = record.key(self.records());
        let mark = record.unusable_mark(self.records());
        match self.get(&key)? {
            // Not the whole record: it may have been settled or edited, which opens no value that did not open.
            Some(now) if now.unusable_mark(self.records()) == mark => {
                self.put(&record.unusable_key(self.records()), &mark)
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl SecretRecord {
    fn unusable_key(&self, records: &Records) -> Key<UnusableMark> {
        records.unusable(self.org).key(self.meta.id.as_bytes())
    }

    fn unusable_mark(&self, records: &Records) -> UnusableMark {
        let secret = ByteBuf::from(self.key(records).to_vec());
        UnusableMark { secret, version: self.meta.version, generation: self.value.generation() }
    }
}

impl UnusableMark {
    fn secret_key(&self) -> Key<SecretRecord> {
        Key::new(self.secret.to_vec())
    }
}
