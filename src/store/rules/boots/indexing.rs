//! Indexes once, in the background, the boots that an older version of the program stored. Any process continues where another
//! one stopped.

use std::sync::atomic::Ordering;

use serde_bytes::ByteBuf;

use crate::domain::id::OrgId;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::Stop;
use crate::store::engine::keys::Key;
use crate::store::rules::store::Store;
use crate::store::tables::boots::BootRecord;
use crate::store::tables::holders::{self, IndexingRecord, RunningRecord};
use crate::store::tables::orgs;

/// Boots in one commit.
const STEP: usize = 32;

impl Store {
    /// Whether every running boot has its rows in the index.
    pub(crate) async fn is_indexed(&self) -> Result<bool, Failure> {
        if self.inner.indexed.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let done = self.records().get(&holders::indexing()).await?.is_some_and(|record| record.done);
        // Remembered: once everything is indexed, each boot indexes itself.
        self.inner.indexed.store(done, Ordering::Relaxed);
        Ok(done)
    }

    /// Indexes what an older version stored.
    pub(crate) async fn index_older_boots(&self) -> Result<(), Failure> {
        if self.is_indexed().await? {
            return Ok(());
        }
        let (orgs, _) = self.records().scan_all(&orgs::orgs()).await?;
        let orgs: Vec<OrgId> = orgs.into_iter().map(|org| org.record.id).collect();
        let record = self.records().get(&holders::indexing()).await?.unwrap_or_default();
        let mut cursor = record.cursor.map(ByteBuf::into_vec);
        // Organizations are always read in the same order. A new one has no boots of an older version.
        let begun = orgs.iter().position(|org| {
            let prefix = self.records().boots(*org);
            cursor.as_ref().is_some_and(|cursor| cursor.starts_with(prefix.bytes()))
        });
        for org in orgs.into_iter().skip(begun.unwrap_or(0)) {
            let prefix = self.records().boots(org);
            let mut after = cursor.take();
            loop {
                let page = self.records().scan(&prefix, after.as_deref(), STEP).await?;
                let keys: Vec<Key<BootRecord>> =
                    page.found.into_iter().map(|found| Key::new(found.key)).collect();
                let Some(last) = keys.last().map(Key::to_vec) else { break };
                after = Some(last.clone());
                let progress = IndexingRecord { cursor: Some(ByteBuf::from(last)), done: false };
                let reads = keys.iter().map(Key::to_vec).collect();
                let indexed = self.journal().run(reads, move |tx| {
                    for key in &keys {
                        // Read again: the boot may have ended since.
                        let Some(boot) = tx.get(key)?.filter(|boot| boot.status(tx.now()).is_running())
                        else {
                            continue;
                        };
                        let row = RunningRecord::of(&boot);
                        for content in boot.contents() {
                            tx.put(&tx.records().running_boot(org, &content, boot.id), &row)?;
                        }
                    }
                    tx.put(&holders::indexing(), &progress)?;
                    Ok::<_, Stop<Failure>>(())
                });
                indexed.await?;
                if !page.more {
                    break;
                }
                self.yield_to_callers().await;
            }
        }
        let done = IndexingRecord { cursor: None, done: true };
        let finished = self.journal().run(Vec::new(), move |tx| {
            tx.put(&holders::indexing(), &done)?;
            Ok::<_, Stop<Failure>>(())
        });
        finished.await
    }
}
