//! Verification of a few tables, such as that of the keys: whether their rows are the newest ones in the audit log.
//!
//! It reads the log from where the verification before ended. What that one found is a record in the byte store. Somebody can delete it, or
//! put an older one back: it says what an earlier part of the log names, which stays true, so that more entries are read and nothing else changes.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::kv::{KvEntry, KvSnapshot, Write};
use crate::store::engine::audit::chain_walk::ChainWalk;
use crate::store::engine::audit::row_sums::RowSums;
use crate::store::engine::audit::rows::{self, RowChange};
use crate::store::engine::audit::tables;
use crate::store::engine::audit::verified::{VerifiedTables, key};
use crate::store::engine::audit::verify::{
    Coverage, PAGE, Pace, PartStop, Pass, TRIES, Verification, end_of,
};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::encode;
use crate::store::engine::records::Records;

/// Entries read without storing where the verification ended: fewer cost less than a commit.
const ENTRIES_WITHOUT_RECORD: u64 = 1000;

/// Rows as they are stored, by key.
pub(crate) type TableRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Verifies the log, and that the rows of the tables with these letters are the newest ones in it. Returns these rows too.
pub(crate) async fn verify_tables(
    records: &Records,
    letters: &'static [u8],
    pace: Pace,
) -> Result<(Verification, TableRows), Failure> {
    let mut before = match records.get(&key()).await {
        Ok(before) => before.filter(|before| before.letters == letters).unwrap_or_default(),
        // It only saves time.
        Err(Failure::Corrupt | Failure::NewerFormat) => VerifiedTables::default(),
        Err(failure) => return Err(failure),
    };
    for _ in 0..=TRIES {
        match verify_since(records, letters, &before, pace).await {
            Ok((verification, rows, now)) => {
                if verification.ok && verification.entries > ENTRIES_WITHOUT_RECORD {
                    store(records, &now).await;
                }
                return Ok((verification, rows));
            }
            Err(PartStop::Straddled) => before = VerifiedTables::default(),
            Err(PartStop::Expired) => {}
            // A few tables never have that many rows.
            Err(PartStop::TooManyRows) => return Err(Failure::Internal),
            Err(PartStop::Failed(failure)) => return Err(failure),
        }
    }
    Err(Failure::Unavailable)
}

/// Past the journal, as the record of the regular verification. Whichever server writes last, it is true.
async fn store(records: &Records, verified: &VerifiedTables) {
    let Ok(plain) = encode(verified) else { return };
    let sealed = records.seal(key().bytes(), &plain);
    if let Err(error) = records.kv.commit(Vec::new(), vec![Write::Put(key().to_vec(), sealed)]).await {
        tracing::debug!(%error, "the next verification of the keys has to read more of the log");
    }
}

async fn verify_since(
    records: &Records,
    letters: &'static [u8],
    before: &VerifiedTables,
    pace: Pace,
) -> Result<(Verification, TableRows, VerifiedTables), PartStop> {
    let mut sums = RowSums::of_tables(letters);
    for (key, digest) in &before.rows {
        sums.take_change(&RowChange { key: key.clone(), before: None, after: Some(*digest) });
    }
    let mut pass = Pass::new(records, Coverage::Log, Some(sums));
    pass.verified.clone_from(&before.heads);
    let mut reader = SnapshotReader { snapshot: records.kv.snapshot().await.map_err(Failure::from)?, pace };
    reader.table(tables::HEADS.letter, |page| pass.take_all(page).map(|()| true)).await?;
    for chain in before.heads.keys() {
        // Its head was deleted.
        pass.walks.entry(*chain).or_insert_with(|| ChainWalk::new(None, None));
    }
    if before.heads.is_empty() {
        reader.table(tables::PRUNED.letter, |page| pass.take_all(page).map(|()| true)).await?;
    } else {
        // The others hold the leaves of all entries that were ever pruned.
        for chain in pass.unfinished() {
            let since = before.heads.get(&chain).map_or(0, |(length, _)| *length);
            let (prefix, after) = (tables::all_pruned().key(&chain), tables::pruned(&chain, since).to_vec());
            reader.read(prefix.bytes(), after, |page| pass.take_all(page).map(|()| true)).await?;
        }
    }
    reader.table(tables::REGISTRY.letter, |page| pass.take_all(page).map(|()| true)).await?;
    let mut stored = TableRows::new();
    for letter in letters {
        let take = |page: &[KvEntry]| {
            stored.extend(page.iter().map(|found| (found.key.clone(), found.value.clone())));
            pass.take_all(page).map(|()| true)
        };
        reader.table(*letter, take).await?;
    }
    if !pass.unfinished().is_empty() {
        let take = |page: &[KvEntry]| {
            pass.take_all(page)?;
            Ok(!pass.unfinished().is_empty())
        };
        reader.table(tables::ENTRIES.letter, take).await?;
    }
    let rows = stored.iter().map(|(key, sealed)| (key.clone(), rows::digest(sealed))).collect();
    let now = VerifiedTables { letters: letters.to_vec(), heads: pass.heads(), rows };
    Ok((pass.finish().await?, stored, now))
}

/// Reads parts of a snapshot.
struct SnapshotReader {
    snapshot: Box<dyn KvSnapshot>,
    pace: Pace,
}

impl SnapshotReader {
    async fn table(
        &mut self,
        letter: u8,
        take: impl FnMut(&[KvEntry]) -> Result<bool, PartStop>,
    ) -> Result<(), PartStop> {
        self.read(&[letter], end_of(letter - 1), take).await
    }

    /// Reads the rows under `prefix` that follow the key `after`, page by page, until `take` returns `false`.
    async fn read(
        &mut self,
        prefix: &[u8],
        mut after: Vec<u8>,
        mut take: impl FnMut(&[KvEntry]) -> Result<bool, PartStop>,
    ) -> Result<(), PartStop> {
        loop {
            let began = Instant::now();
            let page = self.snapshot.page(Some(&after), PAGE).await?;
            let within = page.entries.partition_point(|found| found.key.starts_with(prefix));
            let is_last = within < page.entries.len() || !page.more;
            if !take(&page.entries[..within])? || is_last {
                return Ok(());
            }
            if let Some(last) = page.entries.into_iter().next_back() {
                after = last.key;
            }
            self.pace.rest(began.elapsed()).await;
        }
    }
}
