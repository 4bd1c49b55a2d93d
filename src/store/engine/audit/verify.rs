//! Verification of the audit log: every entry, every link, every chain.
//!
//! The newest entries come first, so that each chain is followed from its head backwards with one expected MAC. Memory grows
//! with the number of chains, not of entries. After a fault, the verification continues.

use std::collections::BTreeMap;

use crate::domain::time::Timestamp;
use crate::store::engine::audit::chain::{entry_is_true, head_is_true};
use crate::store::engine::audit::tables::{
    self, Anchor, ChainId, Entry, EntryBody, Head, Link, Mac, Registry,
};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::records::Records;

/// The result of a verification.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Whether every chain is complete and none is missing.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// The chains, oldest first, and missing ones at the end.
    pub chains: Vec<ChainReport>,
}

/// The result for one chain.
#[derive(Clone, Debug)]
pub struct ChainReport {
    /// Its id, hexadecimal. A missing chain has its number instead.
    pub id: String,
    /// How many entries it should have.
    pub length: u64,
    /// Its state.
    pub state: ChainState,
    /// What is wrong, and where: the first fault from its end.
    pub fault: Option<String>,
}

/// The state of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// Complete. Its process runs, or was killed.
    Open,
    /// Complete, and ended by its process.
    Ended,
    /// Changed, cut or missing.
    Broken,
}

impl ChainState {
    /// `open`, `ended` or `broken`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ended => "ended",
            Self::Broken => "broken",
        }
    }
}

/// A chain that is followed backwards.
struct ChainWalk {
    head: Option<Head>,
    /// The number and the MAC that the next entry must have.
    expected: Option<(u64, Mac)>,
    read: u64,
    fault: Option<String>,
}

/// An entry as it was read. `entry` is `None` if it does not open.
struct ReadEntry<'a> {
    at: Timestamp,
    seq: u64,
    entry: Option<&'a (EntryBody, Entry)>,
}

pub(crate) async fn verify(records: &Records) -> Result<Verification, Failure> {
    // The count before the heads: a chain that begins in between is then one too many, which is no fault.
    let registry: Option<Registry> = open_or_none(records, tables::registry().bytes()).await?;
    let mut walks = heads(records).await?;
    let mut anchors = Vec::new();
    let mut entries = 0;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = records.kv.scan(tables::entries().bytes(), after.as_deref(), 1000).await?;
        for found in page.entries {
            if let Some((at, chain, seq)) = tables::entry_parts(&found.key) {
                let walk = walks.entry(chain).or_insert_with(|| ChainWalk::new(None));
                let entry = records.open::<Entry>(&found.key, &found.value);
                let entry = entry.and_then(|entry| Ok((entry.read()?, entry))).ok();
                walk.check(records, &chain, ReadEntry { at, seq, entry: entry.as_ref() });
                // Checked at the end, when all chains were read.
                if let Some((EntryBody { link: Link::Start { anchors: held, .. }, .. }, _)) = entry {
                    anchors.extend(held.into_iter().map(|anchor| (chain, anchor)));
                }
                entries += 1;
            }
            after = Some(found.key);
        }
        if !page.more {
            break;
        }
        // A long log must not keep others from the processor.
        tokio::task::yield_now().await;
    }
    drop_new_chains(records, &mut walks).await?;
    for (by, anchor) in anchors {
        check_anchor(records, &mut walks, &by, &anchor).await?;
    }
    Ok(report(walks, registry, entries))
}

async fn heads(records: &Records) -> Result<BTreeMap<ChainId, ChainWalk>, Failure> {
    let mut walks = BTreeMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = records.kv.scan(tables::heads().bytes(), after.as_deref(), 1000).await?;
        for found in page.entries {
            if let Some(chain) = tables::heads().id(&found.key) {
                let head = records.open::<Head>(&found.key, &found.value).ok();
                // A head that fails its MAC is treated as missing, and reported.
                let head = head.filter(|head| head_is_true(records, &chain, head));
                let damaged = head.is_none();
                let mut walk = ChainWalk::new(head);
                if damaged {
                    walk.fail(|| "its head was changed".to_owned());
                }
                walks.insert(chain, walk);
            }
            after = Some(found.key);
        }
        if !page.more {
            return Ok(walks);
        }
    }
}

async fn open_or_none<T: Record>(records: &Records, key: &[u8]) -> Result<Option<T>, Failure> {
    let (mut found, _) = records.kv.get(&[key.to_vec()]).await?;
    Ok(found.pop().flatten().and_then(|entry| records.open(key, &entry.value).ok()))
}

/// Decides about chains without a head: they began after the heads were read, or their heads are gone.
async fn drop_new_chains(records: &Records, walks: &mut BTreeMap<ChainId, ChainWalk>) -> Result<(), Failure> {
    let mut new_chains = Vec::new();
    for (chain, walk) in walks.iter_mut() {
        if walk.head.is_none() && walk.fault.is_none() {
            let head: Option<Head> = open_or_none(records, tables::head(chain).bytes()).await?;
            match head.filter(|head| head_is_true(records, chain, head)) {
                Some(_) => new_chains.push(*chain),
                None => walk.fail(|| "its head is missing".to_owned()),
            }
        }
    }
    // The next verification covers them.
    new_chains.iter().for_each(|chain| drop(walks.remove(chain)));
    Ok(())
}

async fn check_anchor(
    records: &Records,
    walks: &mut BTreeMap<ChainId, ChainWalk>,
    by: &ChainId,
    anchor: &Anchor,
) -> Result<(), Failure> {
    let Some(last) = anchor.length.checked_sub(1) else { return Ok(()) };
    let head = walks.get(&anchor.chain).and_then(|walk| walk.head.as_ref());
    let mut reached = head.map_or(0, |head| head.length);
    if reached < anchor.length {
        // The chain may have grown or begun between the read of its head and the start of the other chain.
        let head: Option<Head> = open_or_none(records, tables::head(&anchor.chain).bytes()).await?;
        let head = head.filter(|head| head_is_true(records, &anchor.chain, head));
        reached = head.map_or(0, |head| head.length);
    }
    if reached < anchor.length {
        let by = data_encoding::HEXLOWER.encode(by);
        walks
            .entry(anchor.chain)
            .or_insert_with(|| ChainWalk::new(None))
            .fail(|| format!("it had {} entries when chain {by} began, and has {reached}", anchor.length));
        return Ok(());
    }
    let key = tables::entry(anchor.at, &anchor.chain, last);
    let entry: Option<Entry> = open_or_none(records, key.bytes()).await?;
    if entry.is_none_or(|entry| entry.mac != anchor.last) {
        let fault = || format!("entry {last} is not the one that a later chain anchored");
        walks.entry(anchor.chain).or_insert_with(|| ChainWalk::new(None)).fail(fault);
    }
    Ok(())
}

fn report(walks: BTreeMap<ChainId, ChainWalk>, registry: Option<Registry>, entries: u64) -> Verification {
    // By the numbers in the heads: an id says nothing about how many chains there were.
    let mut indices: Vec<u64> = walks.values().filter_map(|walk| Some(walk.head.as_ref()?.index)).collect();
    indices.sort_unstable();
    let mut walks: Vec<(ChainId, ChainWalk)> = walks.into_iter().collect();
    walks.sort_by_key(|(_, walk)| walk.head.as_ref().map_or(u64::MAX, |head| head.index));
    let mut chains: Vec<ChainReport> = walks.into_iter().map(|(chain, walk)| walk.report(&chain)).collect();

    let begun = registry.as_ref().map_or(0, |registry| registry.chains);
    // A chain whose entries and head are all gone leaves only its number.
    let missing = (0..begun).filter(|index| indices.binary_search(index).is_err());
    chains.extend(missing.map(|index| ChainReport {
        id: format!("number {index}"),
        length: 0,
        state: ChainState::Broken,
        fault: Some("the whole chain is missing".to_owned()),
    }));
    // Without the count, a missing chain could not be noticed.
    if registry.is_none() && !chains.is_empty() {
        chains.push(ChainReport {
            id: "registry".to_owned(),
            length: 0,
            state: ChainState::Broken,
            fault: Some("the count of chains is missing or was changed".to_owned()),
        });
    }
    let ok = chains.iter().all(|chain| chain.state != ChainState::Broken);
    Verification { ok, entries, chains }
}

// === impl Walk ===

impl ChainWalk {
    fn new(head: Option<Head>) -> Self {
        let expected = head.as_ref().and_then(|head| Some((head.length.checked_sub(1)?, head.last)));
        Self { head, expected, read: 0, fault: None }
    }

    fn check(&mut self, records: &Records, chain: &ChainId, read: ReadEntry<'_>) {
        let ReadEntry { at, seq, entry } = read;
        // A chain without a head is judged when all entries were read.
        let Some(head) = &self.head else { return };
        let (index, ended, length) = (head.index, head.ended, head.length);
        if seq >= length {
            if ended {
                self.fail(|| format!("entry {seq} stands after its end"));
            }
            // An open chain may have grown since its head was read.
            return;
        }
        self.read += 1;
        let Some((body, entry)) = entry else {
            self.fail(|| format!("entry {seq} does not open"));
            self.expected = None;
            return;
        };
        match self.expected {
            Some((expected, _)) if seq < expected => {
                self.fail(|| format!("entries {} to {expected} are missing", seq + 1));
            }
            Some((expected, mac)) if seq > expected || entry.mac != mac => {
                self.fail(|| format!("entry {seq} does not fit the one after it"));
            }
            Some(_) | None => {}
        }
        let first = matches!(&body.link, Link::Start { index: own, .. } if *own == index);
        let last = body.link == Link::End;
        if !entry_is_true(records, chain, seq, entry) || body.event.at != at {
            self.fail(|| format!("entry {seq} was changed"));
        } else if first != (seq == 0) || last != (ended && seq + 1 == length) {
            self.fail(|| format!("entry {seq} is in the wrong place"));
        }
        // Also after a fault, so that one bad entry is one fault and not two.
        self.expected = seq.checked_sub(1).map(|before| (before, entry.previous));
    }

    /// Records a fault, if it is the first.
    fn fail(&mut self, fault: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(fault);
    }

    fn report(mut self, chain: &ChainId) -> ChainReport {
        let (read, length) = (self.read, self.head.as_ref().map_or(0, |head| head.length));
        if let Some((expected, _)) = self.expected {
            self.fail(|| format!("entries 0 to {expected} are missing"));
        } else if self.head.is_some() && read != length {
            self.fail(|| format!("{read} of its {length} entries are there"));
        } else if self.head.is_none() {
            self.fail(|| "its head is missing".to_owned());
        }
        let state = match (&self.fault, &self.head) {
            (None, Some(head)) if head.ended => ChainState::Ended,
            (None, _) => ChainState::Open,
            (Some(_), _) => ChainState::Broken,
        };
        ChainReport { id: data_encoding::HEXLOWER.encode(chain), length, state, fault: self.fault }
    }
}
