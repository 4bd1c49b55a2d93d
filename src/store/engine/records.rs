//! Records on their way to and from the byte store: a format byte and postcard, sealed for the key they are kept under.
//!
//! The only file of this room that opens or seals a record. Nothing that does not open is ever answered.

use std::sync::Arc;

use crate::crypto::SecretBytes;
use crate::crypto::random::Random;
use crate::crypto::record::RecordKey;
use crate::kv::{self, Kv, Revision};
use crate::store::engine::clock::Entropy;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Record, decode};
use crate::store::engine::keys::{Key, Prefix};

/// The byte store as records.
pub(crate) struct Records {
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) key: RecordKey,
    pub(crate) random: Arc<dyn Entropy>,
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

/// Some keys as they were at one revision.
pub(crate) struct Snapshot {
    entries: Vec<Option<kv::KvEntry>>,
}

impl Records {
    /// The record at `key`.
    pub(crate) async fn get<T: Record>(&self, key: &Key<T>) -> Result<Option<T>, Failure> {
        self.snapshot(vec![key.to_vec()]).await?.read(self, 0, key)
    }

    /// The records at `keys`, in their order, of one snapshot.
    pub(crate) async fn get_all<T: Record>(&self, keys: &[Key<T>]) -> Result<Vec<Option<T>>, Failure> {
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
            let record = self.open(&key, &value)?;
            found.push(Found { key, record });
        }
        Ok(Scanned { found, more: page.more, revision: page.revision })
    }

    /// All records under `prefix`, and the revision of the last page. For prefixes whose size is bounded by their nature.
    pub(crate) async fn scan_all<T: Record>(
        &self,
        prefix: &Prefix<T>,
    ) -> Result<(Vec<Found<T>>, Revision), Failure> {
        let mut all: Vec<Found<T>> = Vec::new();
        loop {
            let after = all.last().map(|found| found.key.clone());
            let page = self.scan(prefix, after.as_deref(), 1000).await?;
            if all.is_empty() {
                all = page.found;
            } else {
                all.extend(page.found);
            }
            if !page.more {
                return Ok((all, page.revision));
            }
        }
    }

    /// Shows `each` record under `prefix`, a page at a time, so that no more than a page is in memory.
    pub(crate) async fn for_each<T: Record>(
        &self,
        prefix: &Prefix<T>,
        mut each: impl FnMut(T),
    ) -> Result<(), Failure> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.scan(prefix, after.as_deref(), 1000).await?;
            after = page.found.last().map(|found| found.key.clone());
            page.found.into_iter().for_each(|found| each(found.record));
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Opens and reads the record that was found at `key`.
    pub(crate) fn open<T: Record>(&self, key: &[u8], sealed: &[u8]) -> Result<T, Failure> {
        decode(&self.unseal(key, sealed)?)
    }

    pub(crate) fn unseal(&self, key: &[u8], sealed: &[u8]) -> Result<SecretBytes, Failure> {
        self.key.open_record(key, sealed).map_err(|_| Failure::Corrupt)
    }

    pub(crate) fn seal(&self, key: &[u8], plain: &[u8]) -> Vec<u8> {
        self.key.seal_record(key, plain, &mut self.rng())
    }

    /// The source of randomness as the room of keys wants it.
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
    /// The commit that wrote the `index`-th of those that were asked for.
    pub(crate) fn written_at(&self, index: usize) -> Option<Revision> {
        self.entries.get(index).and_then(Option::as_ref).map(|entry| entry.revision)
    }

    /// The record at `key`, which is the `index`-th of those that were asked for.
    pub(crate) fn read<T: Record>(
        &self,
        records: &Records,
        index: usize,
        key: &Key<T>,
    ) -> Result<Option<T>, Failure> {
        match self.entries.get(index).and_then(Option::as_ref) {
            Some(entry) => records.open(key.bytes(), &entry.value).map(Some),
            None => Ok(None),
        }
    }
}
