//! The upgrade of a store whose audit log does not record rows yet: a chain that records all rows as they are, ended in the commit
//! that raises the format in the header.
//!
//! Stop all servers of an older version first: what they write meanwhile is not named, and the verification reports it.

use std::collections::BTreeSet;

use crate::kv::{CommitError, KvEntry, Precondition, SnapshotError, Write};
use crate::store::engine::audit::chain::{Chain, Links, NewEntries};
use crate::store::engine::audit::rows::{self, RowChange};
use crate::store::engine::audit::tables::{self, ChainId, Entry, Head, Link};
use crate::store::engine::clock::Clock;
use crate::store::engine::failure::Failure;
use crate::store::engine::header::{FIRST_WITH_ROWS, FORMAT, HEADER, Header, header, read_header};
use crate::store::engine::journal::CommitHook;
use crate::store::engine::records::Records;

/// Rows of one page, and of one entry.
const PAGE: usize = 500;
/// Stamps of one commit: at most as many as the byte store with the smallest commits accepts in addition to the entries.
const STAMPS: usize = 16;

/// Raises the format in the header to the newest, durably, before this program writes what an older one cannot read.
///
/// # Errors
/// `Corrupt` also if the header has an older format but the log already records rows: somebody lowered the format so that restored
/// rows would be accepted.
pub(crate) async fn upgrade(
    records: &Records,
    mut found: KvEntry,
    hook: &dyn CommitHook,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    loop {
        let upgraded = match read_header(&found.value, &records.key) {
            Header::Ours(FORMAT) => return Ok(()),
            Header::Ours(format) if format < FIRST_WITH_ROWS => {
                Baseline::new(records, hook, clock, &found).write().await
            }
            Header::Ours(_) => {
                let write = Write::Put(HEADER.to_vec(), header(&records.key));
                records.kv.commit(unchanged(&found), vec![write]).await.map(drop).map_err(Failure::from)
            }
            // A newer version has already upgraded the store.
            _ => return Err(Failure::NewerFormat),
        };
        match upgraded {
            // Another server of the same store upgrades it too. What this one has written is ignored, because its chain is not ended.
            Err(Failure::Conflict) => {
                let (mut entries, _) = records.kv.get(&[HEADER.to_vec()]).await?;
                found = entries.pop().flatten().ok_or(Failure::Corrupt)?;
            }
            outcome => return outcome,
        }
    }
}

fn unchanged(header: &KvEntry) -> Vec<Precondition> {
    vec![Precondition::At(HEADER.to_vec(), header.revision)]
}

struct Baseline<'a> {
    records: &'a Records,
    hook: &'a dyn CommitHook,
    clock: &'a dyn Clock,
    header: &'a KvEntry,
    chain: Chain,
    ended: BTreeSet<ChainId>,
    /// The stamps that no row was found for yet.
    stamps: BTreeSet<Vec<u8>>,
    /// The stamp of the rows that are being read, and those rows.
    covered: Option<(Vec<u8>, Vec<RowChange>)>,
    rows: Vec<RowChange>,
    writes: Vec<Write>,
}

impl<'a> Baseline<'a> {
    fn new(
        records: &'a Records,
        hook: &'a dyn CommitHook,
        clock: &'a dyn Clock,
        header: &'a KvEntry,
    ) -> Self {
        Self {
            records,
            hook,
            clock,
            header,
            chain: Chain::default(),
            ended: BTreeSet::new(),
            stamps: BTreeSet::new(),
            covered: None,
            rows: Vec::new(),
            writes: Vec::new(),
        }
    }

    async fn write(mut self) -> Result<(), Failure> {
        let mut snapshot = self.records.kv.snapshot().await?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = snapshot.page(after.as_deref(), PAGE).await.map_err(|error| match error {
                // The next start tries again.
                SnapshotError::Expired => Failure::Unavailable,
                SnapshotError::Read(error) => error.into(),
            })?;
            for found in &page.entries {
                self.take(&found.key, &found.value)?;
                if self.writes.len() >= STAMPS {
                    self.flush().await?;
                }
            }
            self.flush().await?;
            after = page.entries.into_iter().next_back().map(|last| last.key);
            if !page.more {
                break;
            }
        }
        self.finish_stamp()?;
        // Scopes that have no secret any more.
        for stamp in std::mem::take(&mut self.stamps) {
            self.write_stamp(stamp, &[])?;
            if self.writes.len() >= STAMPS {
                self.flush().await?;
            }
        }
        self.flush().await?;
        let Some(mut links) = self.chain.end(self.records, self.clock.now())? else {
            return Err(Failure::Internal);
        };
        links.writes.push(Write::Put(HEADER.to_vec(), header(&self.records.key)));
        self.commit(links).await
    }

    fn take(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), Failure> {
        if let Some(chain) = tables::heads().id(key) {
            if self.records.open::<Head>(key, sealed)?.ended {
                self.ended.insert(chain);
            }
        } else if let Some((_, chain, _)) = tables::entry_parts(key) {
            let entry: Entry = self.records.open(key, sealed)?;
            if entry.stub.is_some() {
                return if entry.read_stub()?.rows.is_empty() { Ok(()) } else { Err(Failure::Corrupt) };
            }
            let body = entry.read()?;
            // A baseline whose chain is not ended is ignored.
            let counts = body.link != Link::Baseline || self.ended.contains(&chain);
            if counts && !body.rows.is_empty() {
                return Err(Failure::Corrupt);
            }
        } else if self.hook.is_stamp(key) {
            self.stamps.insert(key.to_vec());
        } else if rows::is_logged(key) {
            let change = RowChange { key: key.to_vec(), before: None, after: Some(rows::digest(sealed)) };
            if let Some(stamp) = self.hook.stamp_key(key) {
                // The rows of a stamp follow each other.
                if self.covered.as_ref().is_none_or(|(of, _)| *of != stamp) {
                    self.finish_stamp()?;
                }
                self.covered.get_or_insert_with(|| (stamp, Vec::new())).1.push(change.clone());
            }
            self.rows.push(change);
        }
        Ok(())
    }

    fn finish_stamp(&mut self) -> Result<(), Failure> {
        match self.covered.take() {
            Some((stamp, covered)) => self.write_stamp(stamp, &covered),
            None => Ok(()),
        }
    }

    fn write_stamp(&mut self, key: Vec<u8>, covered: &[RowChange]) -> Result<(), Failure> {
        let covered: Vec<&RowChange> = covered.iter().collect();
        let stamp = self.hook.stamp(self.records, None, &covered)?;
        let sealed = self.records.seal(&key, &stamp);
        self.stamps.remove(&key);
        self.rows.push(RowChange { key: key.clone(), before: None, after: Some(rows::digest(&sealed)) });
        self.writes.push(Write::Put(key, sealed));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let entries =
            NewEntries { events: Vec::new(), rows: std::mem::take(&mut self.rows), link: Link::Baseline };
        let mut links = self.chain.extend(self.records, entries, self.clock.now()).await?;
        links.writes.append(&mut self.writes);
        self.commit(links).await
    }

    async fn commit(&mut self, mut links: Links) -> Result<(), Failure> {
        links.preconditions.extend(unchanged(self.header));
        match self.records.kv.commit(links.preconditions, links.writes).await {
            Ok(revision) => {
                self.chain.committed(links.next, revision);
                Ok(())
            }
            Err(CommitError::Conflict { .. }) => Err(Failure::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}
