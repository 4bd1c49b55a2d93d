//! Verification of the audit log: every entry, every link, every chain.
//!
//! The newest entries come first, so that each chain is followed from its head backwards with one expected MAC. Memory grows
//! with the number of chains, not of entries. After a fault, the verification continues.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;

use crate::crypto::merkle::MerkleTree;
use crate::kv::{KvEntry, SnapshotError};
use crate::store::engine::audit::chain::is_authentic_head;
use crate::store::engine::audit::chain_walk::{ChainReport, ChainWalk, EntryContent, ReadEntry, report};
use crate::store::engine::audit::pruned::{self, is_authentic_run};
use crate::store::engine::audit::row_sums::{RowPart, RowReport, RowSums, TooManyRows};
use crate::store::engine::audit::rows::{self, RowChange};
use crate::store::engine::audit::tables::{
    self, Anchor, ChainId, Entry, EntryBody, Head, Link, Mac, PrunedRun, Registry,
};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::records::Records;

/// The result of a verification.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Whether every chain is complete, none is missing, and every row that was read matches the log.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// The chains, oldest first, and missing ones at the end.
    pub chains: Vec<ChainReport>,
    /// The rows of the store beside the log. `None` if they were not read.
    pub rows: Option<RowReport>,
    /// With [`Coverage::Trees`], the tree of each chain by its id in hexadecimal. They are complete if `ok`.
    pub(crate) trees: BTreeMap<String, MerkleTree>,
}

impl Verification {
    /// Adds the rows of another pass.
    fn add_rows(&mut self, other: Self) {
        if let (Some(own), Some(rows)) = (&mut self.rows, other.rows) {
            own.add(rows);
        }
        self.ok &= other.ok;
    }
}

/// How often a verification begins again because the byte store dropped its snapshot.
pub(super) const TRIES: usize = 3;
/// Rows and entries of one page.
pub(super) const PAGE: usize = 1000;

/// What a verification reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage<'a> {
    /// The log.
    Log,
    /// The log, of which it makes trees. They prove that a chain continues as many entries as are here for its id in hexadecimal.
    Trees(&'a BTreeMap<String, u64>),
    /// The log, and every row of the store beside it.
    State,
}

/// Verifies the log as it was at one revision, and with [`Coverage::State`] the rows too.
pub(crate) async fn verify(
    records: &Records,
    coverage: Coverage<'_>,
    pace: Pace,
) -> Result<Verification, Failure> {
    let mut parts = 1;
    let mut tries = 0;
    loop {
        let mut verification: Option<Verification> = None;
        let mut outcome = Ok(());
        for part in 0..parts {
            match verify_part(records, coverage, RowPart { part, parts }, pace).await {
                Ok(found) => match &mut verification {
                    Some(all) => all.add_rows(found),
                    None => verification = Some(found),
                },
                Err(stop) => {
                    outcome = Err(stop);
                    break;
                }
            }
        }
        match (outcome, verification) {
            (Ok(()), Some(verification)) => return Ok(verification),
            // More rows than may be in memory at once: several passes, each over a part of them.
            (Err(PartStop::TooManyRows), _) => parts *= 2,
            (Err(PartStop::Expired), _) if tries < TRIES => tries += 1,
            (Err(PartStop::Failed(failure)), _) => return Err(failure),
            _ => return Err(Failure::Unavailable),
        }
    }
}

/// How fast a verification reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Full,
    /// Rests three times as long as it works, because nobody waits for it.
    Background,
}

impl Pace {
    pub(super) async fn rest(self, worked: Duration) {
        match self {
            // Yields, so that a long log does not block other tasks.
            Self::Full => tokio::task::yield_now().await,
            Self::Background => tokio::time::sleep(worked * 3).await,
        }
    }
}

/// Why a pass ended early.
pub(super) enum PartStop {
    TooManyRows,
    /// A pruned run stands for entries on both sides of where an earlier verification ended.
    Straddled,
    Expired,
    Failed(Failure),
}

impl From<Failure> for PartStop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<TooManyRows> for PartStop {
    fn from(_: TooManyRows) -> Self {
        Self::TooManyRows
    }
}

impl From<SnapshotError> for PartStop {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Expired => Self::Expired,
            SnapshotError::Read(error) => Self::Failed(error.into()),
        }
    }
}

/// One pass. In the order of the keys: the heads, the pruned runs and the count come before the entries.
async fn verify_part(
    records: &Records,
    coverage: Coverage<'_>,
    part: RowPart,
    pace: Pace,
) -> Result<Verification, PartStop> {
    let mut snapshot = records.kv.snapshot().await.map_err(Failure::from)?;
    let rows = (coverage == Coverage::State).then(|| RowSums::new(part));
    let mut pass = Pass::new(records, coverage, rows);
    let log = [&tables::HEADS, &tables::PRUNED, &tables::REGISTRY, &tables::ENTRIES];
    let mut after: Option<Vec<u8>> = None;
    loop {
        let began = Instant::now();
        let page = snapshot.page(after.as_deref(), PAGE).await?;
        pass.take_all(&page.entries)?;
        after = page.entries.into_iter().next_back().map(|last| last.key);
        let Some(last) = after.as_ref().filter(|_| page.more) else { break };
        if coverage != Coverage::State {
            // Everything that is not the log is skipped.
            let letter = last.first().copied().unwrap_or(0);
            match log.iter().map(|table| table.letter).find(|next| *next >= letter) {
                Some(next) if next > letter => after = Some(end_of(next - 1)),
                Some(_) => {}
                None => break,
            }
        }
        pace.rest(began.elapsed()).await;
    }
    Ok(pass.finish().await?)
}

/// A key after all keys that begin with `letter`.
pub(super) fn end_of(letter: u8) -> Vec<u8> {
    [&[letter], [0xff; 64].as_slice()].concat()
}

/// What a pass has found so far.
pub(super) struct Pass<'a> {
    records: &'a Records,
    coverage: Coverage<'a>,
    /// What an earlier verification found.
    pub(super) verified: BTreeMap<ChainId, (u64, Mac)>,
    pub(super) walks: BTreeMap<ChainId, ChainWalk>,
    anchors: Vec<(ChainId, Anchor)>,
    registry: Option<Registry>,
    entries: u64,
    rows: Option<RowSums>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(records: &'a Records, coverage: Coverage<'a>, rows: Option<RowSums>) -> Self {
        let (verified, walks, anchors) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { records, coverage, verified, walks, anchors, registry: None, entries: 0, rows }
    }

    /// Takes rows of the store.
    pub(super) fn take_all(&mut self, page: &[KvEntry]) -> Result<(), PartStop> {
        page.iter().try_for_each(|found| self.take(&found.key, &found.value))
    }

    /// The chains of which entries have to be read.
    pub(super) fn unfinished(&self) -> Vec<ChainId> {
        self.walks.iter().filter(|(_, walk)| !walk.is_finished()).map(|(chain, _)| *chain).collect()
    }

    /// The length of each chain, and the MAC of its last entry.
    pub(super) fn heads(&self) -> BTreeMap<ChainId, (u64, Mac)> {
        let heads = self.walks.iter().filter_map(|(chain, walk)| Some((*chain, walk.head.as_ref()?)));
        heads.map(|(chain, head)| (chain, (head.length, head.last))).collect()
    }

    /// Takes a row of the store.
    fn take(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), PartStop> {
        if let Some(chain) = tables::heads().id(key) {
            let head = self.records.open::<Head>(key, sealed).ok();
            // A head that fails its MAC is treated as missing, and reported.
            let head = head.filter(|head| is_authentic_head(self.records, &chain, head));
            let damaged = head.is_none();
            let mut walk = ChainWalk::new(head, self.verified.get(&chain).copied());
            if let Coverage::Trees(since) = self.coverage {
                walk.begin_tree(since.get(&HEXLOWER.encode(&chain)).copied().unwrap_or(0));
            }
            if damaged {
                walk.fail(|| "its head was changed".to_owned());
            }
            self.walks.insert(chain, walk);
        } else if let Some((chain, end)) = tables::pruned_parts(key) {
            let run = self.records.open::<PrunedRun>(key, sealed).ok();
            let run = run.filter(|run| is_authentic_run(self.records, &chain, end, run));
            let walk = self.walks.entry(chain).or_insert_with(|| ChainWalk::new(None, None));
            let Some(run) = run else {
                walk.fail(|| format!("the pruned run before entry {end} was changed"));
                return Ok(());
            };
            if walk.is_verified(run.begin) {
                return Err(PartStop::Straddled);
            }
            walk.records_rows |= !run.rows.is_empty();
            add_rows(&mut self.rows, &run.rows)?;
            if let Some(tree) = &mut walk.tree {
                pruned::leaves(&run).for_each(|(seq, leaf)| tree.add(seq, leaf));
            }
            // Without its rows and leaves, which would grow with the number of entries.
            walk.pruned.insert(end, PrunedRun { rows: Vec::new(), leaves: Vec::new(), ..run });
        } else if key == tables::registry().bytes() {
            self.registry = self.records.open(key, sealed).ok();
        } else if let Some((at, chain, seq)) = tables::entry_parts(key) {
            self.take_entry(ReadEntry { at, seq, entry: None }, chain, (key, sealed))?;
        } else if rows::is_logged(key)
            && let Some(rows) = &mut self.rows
        {
            rows.take_stored(key, sealed);
            rows.check_size()?;
        }
        Ok(())
    }

    fn take_entry(
        &mut self,
        place: ReadEntry<'_>,
        chain: ChainId,
        (key, sealed): (&[u8], &[u8]),
    ) -> Result<(), PartStop> {
        let walk = self.walks.entry(chain).or_insert_with(|| ChainWalk::new(None, None));
        if walk.pass_verified(place.seq) {
            return Ok(());
        }
        let entry = self.records.open::<Entry>(key, sealed);
        // A damaged entry is a finding and not a failure, so that the verification continues.
        let entry = entry.and_then(|entry| {
            let content = match entry.stub {
                Some(_) => EntryContent::Stub(entry.read_stub()?),
                None => EntryContent::Body(entry.read()?),
            };
            Ok((content, entry))
        });
        let entry = entry.ok();
        let is_true = walk.check(self.records, &chain, ReadEntry { entry: entry.as_ref(), ..place });
        self.entries += 1;
        let Some((content, entry)) = entry.filter(|_| is_true) else { return Ok(()) };
        if let Some(tree) = &mut walk.tree {
            let leaf = match &content {
                EntryContent::Body(_) => entry.leaf_hash(),
                EntryContent::Stub(stub) => stub.leaf,
            };
            tree.add(place.seq, leaf);
        }
        let (link, changes) = match content {
            EntryContent::Body(EntryBody { link, rows, .. }) => (link, rows),
            EntryContent::Stub(stub) => (Link::Next, stub.rows),
        };
        match link {
            // Checked at the end, when all chains were read.
            Link::Start { anchors, .. } => {
                self.anchors.extend(anchors.into_iter().map(|anchor| (chain, anchor)));
            }
            Link::Baseline => walk.is_baseline = true,
            Link::Next | Link::End => {}
        }
        // A baseline that was not finished counts for nothing: another one was.
        if walk.is_baseline && !walk.head.as_ref().is_some_and(|head| head.ended) {
            return Ok(());
        }
        walk.records_rows |= !changes.is_empty();
        add_rows(&mut self.rows, &changes)
    }

    pub(super) async fn finish(mut self) -> Result<Verification, Failure> {
        for (by, anchor) in self.anchors {
            check_anchor(self.records, &mut self.walks, &by, &anchor).await?;
        }
        check_baselines(&mut self.walks, !self.verified.is_empty());
        let take_tree =
            |(chain, walk): (&ChainId, &mut ChainWalk)| Some((HEXLOWER.encode(chain), walk.tree.take()?));
        let trees = self.walks.iter_mut().filter_map(take_tree).collect();
        let mut verification = report(self.walks, self.registry, self.entries);
        verification.trees = trees;
        verification.rows = self.rows.map(RowSums::finish);
        verification.ok &= verification.rows.as_ref().is_none_or(|rows| rows.faults.is_empty());
        Ok(verification)
    }
}

fn add_rows(sums: &mut Option<RowSums>, changes: &[RowChange]) -> Result<(), PartStop> {
    let Some(rows) = sums else { return Ok(()) };
    changes.iter().for_each(|change| rows.take_change(change));
    Ok(rows.check_size()?)
}

/// A baseline records the rows of a store that an older program wrote. A second one, or one of a store whose log already records
/// rows, would make the log match rows that somebody restored.
fn check_baselines(walks: &mut BTreeMap<ChainId, ChainWalk>, continues: bool) {
    let index = |walk: &ChainWalk| walk.head.as_ref().map_or(u64::MAX, |head| head.index);
    let is_complete =
        |walk: &ChainWalk| walk.is_baseline && walk.head.as_ref().is_some_and(|head| head.ended);
    let first = walks.values().filter(|walk| walk.records_rows).map(index).min();
    // The part that is not read again records rows.
    let first = if continues { Some(0) } else { first };
    for walk in walks.values_mut() {
        if is_complete(walk) && Some(index(walk)) > first {
            walk.fail(|| "it is a second baseline: the log already recorded rows before it".to_owned());
        }
    }
}

async fn open_or_none<T: Record>(records: &Records, key: &[u8]) -> Result<Option<T>, Failure> {
    let (mut found, _) = records.kv.get(&[key.to_vec()]).await?;
    Ok(found.pop().flatten().and_then(|entry| records.open(key, &entry.value).ok()))
}

/// Whether a pruned run stands for an entry.
pub(crate) async fn is_pruned(records: &Records, chain: &ChainId, seq: u64) -> Result<bool, Failure> {
    let after = tables::pruned(chain, seq).to_vec();
    let page = records.kv.scan(tables::all_pruned().bytes(), Some(&after), 1).await?;
    Ok(page.entries.first().is_some_and(|found| {
        let run = records.open::<PrunedRun>(&found.key, &found.value);
        tables::pruned_parts(&found.key).is_some_and(|(of, end)| {
            of == *chain
                && run.is_ok_and(|run| run.begin <= seq && is_authentic_run(records, chain, end, &run))
        })
    }))
}

async fn check_anchor(
    records: &Records,
    walks: &mut BTreeMap<ChainId, ChainWalk>,
    by: &ChainId,
    anchor: &Anchor,
) -> Result<(), Failure> {
    // An anchor of an empty chain asserts nothing.
    let Some(last) = anchor.length.checked_sub(1) else { return Ok(()) };
    let head = walks.get(&anchor.chain).and_then(|walk| walk.head.as_ref());
    let reached = head.map_or(0, |head| head.length);
    if reached < anchor.length {
        let by = HEXLOWER.encode(by);
        walks
            .entry(anchor.chain)
            .or_insert_with(|| ChainWalk::new(None, None))
            .fail(|| format!("it had {} entries when chain {by} began, and has {reached}", anchor.length));
        return Ok(());
    }
    let pruned = walks.get(&anchor.chain).and_then(|walk| walk.pruned.range(last + 1..).next());
    // The pruned run stands for it.
    if pruned.is_some_and(|(end, run)| (run.begin..*end).contains(&last)) {
        return Ok(());
    }
    let key = tables::entry(anchor.at, &anchor.chain, last);
    let entry: Option<Entry> = open_or_none(records, key.bytes()).await?;
    // It may have been pruned since the snapshot. The next verification then reads the pruned run.
    if entry.is_none() && is_pruned(records, &anchor.chain, last).await? {
        return Ok(());
    }
    // The length is not enough: a chain that was cut may have grown again with other entries.
    if entry.is_none_or(|entry| entry.mac != anchor.last) {
        let fault = || format!("entry {last} is not the one that a later chain anchored");
        walks.entry(anchor.chain).or_insert_with(|| ChainWalk::new(None, None)).fail(fault);
    }
    Ok(())
}
