//! Opens and seals records: a format byte and postcard, bound to the key that they are stored at.
//!
//! Only this file of the engine opens or seals a record. It never returns a record that does not open.

use std::sync::Arc;

use crate::crypto::SecretBytes;
use crate::crypto::random::Random;
use crate::crypto::record::RecordKey;
use crate::kv::{self, Kv, Revision};
use crate::store::engine::audit::refused::RefusedRows;
use crate::store::engine::clock::Entropy;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Record, decode};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::row_digest::RowVersion;

/// Reads records from the byte store.
pub(crate) struct Records {
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) key: RecordKey,
    pub(crate) random: Arc<dyn Entropy>,
    /// The rows that failed the last verification.
    pub(crate) refused: RefusedRows,
}

/// A record that a scan found.
pub(crate) struct Found<T> {
    pub(crate) key: Vec<u8>,
    pub(crate) record: T,
}

/// A page of a scan.
pub(crate) struct Scanned<T> {
    pub(crate) found: Vec<Found<T>>,
    pub(crate) more: bool,
    pub(crate) revision: Revision,
}

/// The records at some keys, of one revision.
pub(crate) struct Snapshot {
    entries: Vec<Option<kv::KvEntry>>,
}

impl Records {
    pub(crate) fn new(kv: Arc<dyn Kv>, key: RecordKey, random: Arc<dyn Entropy>) -> Self {
        Self { kv, key, random, refused: RefusedRows::default() }
    }

    /// The record at `key`.
    pub(crate) async fn get<T: Record>(&self, key: &Key<T>) -> Result<Option<T>, Failure> {
        self.snapshot(vec![key.to_vec()]).await?.read(self, 0, key)
    }

    /// As [`get`](Self::get), also of a row that failed the last verification: for a status that says so.
    pub(crate) async fn get_unverified<T: Record>(&self, key: &Key<T>) -> Result<Option<T>, Failure> {
        let (mut found, _) = self.kv.get(&[key.to_vec()]).await?;
        let Some(entry) = found.pop().flatten() else { return Ok(None) };
        let plain = self.key.open_record(key.bytes(), &entry.value).map_err(|_| Failure::Corrupt)?;
        decode(&plain).map(Some)
    }

    /// The records at `keys`, in their order, of one snapshot.
    pub(crate) async fn get_all<T: Record>(&self, keys: &[Key<T>]) -> Result<Vec<Option<T>>, Failure> {
        // A read of nothing would still be a round trip to a remote byte store.
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot(keys.iter().map(Key::to_vec).collect()).await?;
        keys.iter().enumerate().map(|(i, key)| snapshot.read(self, i, key)).collect()
    }

    /// The entries at keys of any types, of one snapshot.
    pub(crate) async fn snapshot(&self, keys: Vec<Vec<u8>>) -> Result<Snapshot, Failure> {
        let (entries, _) = self.kv.get(&keys).await?;
        Ok(Snapshot { entries })
    }

    /// A page of the records under `prefix` after the key `after`.
    pub(crate) async fn scan<T: Record>(
        &self,
        prefix: &Prefix<T>,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Scanned<T>, Failure> {
        let page = self.kv.scan(prefix.bytes(), after, limit).await?;
        let mut found = Vec::with_capacity(page.entries.len());
        for kv::KvEntry { key, value, .. } in page.entries {
            // One damaged record fails the page: leaving it out would look like a deletion.
            let record = self.open(&key, &value)?;
            found.push(Found { key, record });
        }
        Ok(Scanned { found, more: page.more, revision: page.revision })
    }

    /// All records under `prefix`, and the revision of the last page. For prefixes of bounded size.
    pub(crate) async fn scan_all<T: Record>(
        &self,
        prefix: &Prefix<T>,
    ) -> Result<(Vec<Found<T>>, Revision), Failure> {
        let mut all: Vec<Found<T>> = Vec::new();
        loop {
            let after = all.last().map(|found| found.key.clone());
            let page = self.scan(prefix, after.as_deref(), 1000).await?;
            if all.is_empty() {
                // One page is the usual case, and is returned without a copy.
                all = page.found;
            } else {
                all.extend(page.found);
            }
            if !page.more {
                return Ok((all, page.revision));
            }
        }
    }

    /// Calls `each` for every record under `prefix`, a page at a time, so that no more than a page is in memory.
    pub(crate) async fn for_each<T: Record>(
        &self,
        prefix: &Prefix<T>,
        mut each: impl FnMut(T),
    ) -> Result<(), Failure> {
        self.for_each_row(prefix, |key, sealed| {
            each(self.open(key, sealed)?);
            Ok(())
        })
        .await
    }

    /// As [`for_each`](Self::for_each), with the key of each row and the row as it is stored.
    pub(crate) async fn for_each_row<T>(
        &self,
        prefix: &Prefix<T>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.kv.scan(prefix.bytes(), after.as_deref(), 1000).await?;
            page.entries.iter().try_for_each(|found| each(&found.key, &found.value))?;
            after = page.entries.into_iter().next_back().map(|last| last.key);
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Opens and decodes the record at `key`.
    pub(crate) fn open<T: Record>(&self, key: &[u8], sealed: &[u8]) -> Result<T, Failure> {
        decode(&self.unseal(key, sealed)?)
    }

    pub(crate) fn unseal(&self, key: &[u8], sealed: &[u8]) -> Result<SecretBytes, Failure> {
        if self.refused.contains(key) {
            return Err(Failure::RolledBack);
        }
        // One failure for every cause: the caller cannot act differently on a moved record than on a changed one.
        self.key.open_record(key, sealed).map_err(|_| Failure::Corrupt)
    }

    pub(crate) fn seal(&self, key: &[u8], plain: &[u8]) -> Vec<u8> {
        self.key.seal_record(key, plain, &mut self.rng())
    }

    /// The source of randomness, as `crypto` needs it.
    pub(crate) fn rng(&self) -> impl Random + '_ {
        |bytes: &mut [u8]| self.random.fill(bytes)
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}

impl Snapshot {
    /// The commit that wrote the `index`-th requested key.
    pub(crate) fn written_at(&self, index: usize) -> Option<Revision> {
        self.entries.get(index).and_then(Option::as_ref).map(|entry| entry.revision)
    }

    /// Which write of the `index`-th requested key is stored.
    pub(crate) fn version(&self, index: usize) -> Option<RowVersion> {
        let entry = self.entries.get(index).and_then(Option::as_ref);
        entry.map(|entry| RowVersion::new(entry.revision, &entry.value))
    }

    /// The record at `key`, which is the `index`-th requested key.
    pub(crate) fn read<T: Record>(
        &self,
        records: &Records,
        index: usize,
        key: &Key<T>,
    ) -> Result<Option<T>, Failure> {
        match self.entries.get(index).and_then(Option::as_ref) {
            Some(entry) => records.open(key.bytes(), &entry.value).map(Some),
            // Somebody has deleted it.
            None if records.refused.contains(key.bytes()) => Err(Failure::RolledBack),
            None => Ok(None),
        }
    }
}
