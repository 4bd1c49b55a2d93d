//! One chain of the audit log, followed from its head backwards.

use std::collections::BTreeMap;

use crate::crypto::merkle::MerkleTree;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::chain::is_authentic_entry;
use crate::store::engine::audit::pruned::is_authentic_stub;
use crate::store::engine::audit::tables::{
    ChainId, Entry, EntryBody, Head, Link, Mac, PrunedRun, Registry, StubBody,
};
use crate::store::engine::audit::verify::Verification;
use crate::store::engine::records::Records;

/// The result for one chain.
#[derive(Clone, Debug)]
pub struct ChainReport {
    /// Its id, hexadecimal. A missing chain has its number instead.
    pub id: String,
    /// How many entries it should have.
    pub length: u64,
    /// Its state.
    pub state: ChainState,
    /// The fault nearest to the end of the chain, and its place.
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
pub(super) struct ChainWalk {
    pub(super) head: Option<Head>,
    /// The number and the MAC that the next entry must have.
    expected: Option<(u64, Mac)>,
    /// Its pruned runs, by their ends.
    pub(super) pruned: BTreeMap<u64, PrunedRun>,
    read: u64,
    /// The length and the last MAC that an earlier verification found. What is before them is not read again.
    verified: Option<(u64, Mac)>,
    fault: Option<String>,
    /// Whether it records the rows of a store that an older program wrote.
    pub(super) is_baseline: bool,
    pub(super) records_rows: bool,
    /// The tree of its entries, if one is made.
    pub(super) tree: Option<MerkleTree>,
}

/// An entry as it was read. `entry` is `None` if it does not open.
pub(super) struct ReadEntry<'a> {
    pub(super) at: Timestamp,
    pub(super) seq: u64,
    pub(super) entry: Option<&'a (EntryContent, Entry)>,
}

pub(super) enum EntryContent {
    Body(EntryBody),
    Stub(StubBody),
}

impl ChainWalk {
    pub(super) fn new(head: Option<Head>, verified: Option<(u64, Mac)>) -> Self {
        // A head of length 0 expects no entry.
        let expected = head.as_ref().and_then(|head| Some((head.length.checked_sub(1)?, head.last)));
        let (pruned, is_baseline, records_rows) = (BTreeMap::new(), false, false);
        let length = head.as_ref().map_or(0, |head| head.length);
        let mut walk = Self {
            head,
            expected,
            pruned,
            read: 0,
            verified,
            fault: None,
            is_baseline,
            records_rows,
            tree: None,
        };
        if let Some((verified, _)) = verified.filter(|(verified, _)| *verified > length) {
            walk.fail(|| format!("it had {verified} entries when it was verified, and has {length}"));
        }
        walk.stop_at_verified();
        walk
    }

    /// Whether an earlier verification has read this entry.
    pub(super) fn is_verified(&self, seq: u64) -> bool {
        self.verified.is_some_and(|(length, _)| seq < length)
    }

    /// Returns whether an earlier verification has read this entry. Otherwise it has to be checked.
    pub(super) fn pass_verified(&mut self, seq: u64) -> bool {
        let is_verified = self.is_verified(seq);
        if is_verified {
            // The entries down to it may have been pruned since.
            self.skip_pruned(seq);
            self.stop_at_verified();
        }
        is_verified
    }

    /// Whether every entry that was to be read has been.
    pub(super) fn is_finished(&self) -> bool {
        self.expected.is_none()
    }

    fn stop_at_verified(&mut self) {
        let (Some((length, last)), Some((expected, mac))) = (self.verified, self.expected) else { return };
        if expected + 1 != length {
            return;
        }
        // The length is not enough: a chain that was cut may have grown again with other entries.
        if mac != last {
            self.fail(|| format!("entry {expected} is not the one that was verified"));
        }
        self.read += length;
        self.expected = None;
    }

    /// Begins the tree of its entries, which proves that it continues the first `old` of them.
    pub(super) fn begin_tree(&mut self, old: u64) {
        self.tree = self.head.as_ref().map(|head| MerkleTree::new(head.length, old));
    }

    /// Returns whether the entry is authentic, wherever it is.
    pub(super) fn check(&mut self, records: &Records, chain: &ChainId, read: ReadEntry<'_>) -> bool {
        let ReadEntry { at, seq, entry } = read;
        // A chain without a head is reported when all entries were read.
        let Some(head) = &self.head else { return false };
        let (index, ended, length) = (head.index, head.ended, head.length);
        if seq >= length {
            self.fail(|| format!("entry {seq} follows the chain's end"));
            return false;
        }
        self.read += 1;
        self.skip_pruned(seq);
        let Some((body, entry)) = entry else {
            self.fail(|| format!("entry {seq} does not open"));
            self.expected = None;
            return false;
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
        let (first, last, is_true) = match body {
            EntryContent::Body(EntryBody { event, link, .. }) => (
                matches!(link, Link::Start { index: own, .. } if *own == index),
                *link == Link::End,
                is_authentic_entry(records, chain, seq, entry) && event.at == at,
            ),
            // Neither the first nor the last entry is ever pruned.
            EntryContent::Stub(_) => (false, false, is_authentic_stub(records, chain, seq, at, entry)),
        };
        if !is_true {
            self.fail(|| format!("entry {seq} was changed"));
        } else if first != (seq == 0) || last != (ended && seq + 1 == length) {
            self.fail(|| format!("entry {seq} is in the wrong place"));
        }
        // Also after a fault, so that one bad entry is one fault and not two.
        self.expected = seq.checked_sub(1).map(|before| (before, entry.previous));
        self.stop_at_verified();
        is_true
    }

    /// Continues before the pruned entries, if those between the last entry and the one that was read were pruned.
    fn skip_pruned(&mut self, seq: u64) {
        while let Some((expected, mac)) = self.expected
            && seq < expected
            && let Some(run) = self.pruned.get(&(expected + 1))
            && mac == run.last
        {
            self.read += run.end - run.begin;
            // The first removed entry is 1 or later.
            self.expected = run.begin.checked_sub(1).map(|before| (before, run.before));
        }
    }

    /// Records a fault, if it is the first.
    pub(super) fn fail(&mut self, fault: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(fault);
    }

    pub(super) fn report(mut self, chain: &ChainId) -> ChainReport {
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

/// Returns the result for all chains.
pub(super) fn report(
    walks: BTreeMap<ChainId, ChainWalk>,
    registry: Option<Registry>,
    entries: u64,
) -> Verification {
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
    // Without the count, a missing chain could not be noticed. With an older one, the next chain takes a number again.
    if (registry.is_none() && !chains.is_empty()) || indices.len() as u64 > begun {
        chains.push(ChainReport {
            id: "registry".to_owned(),
            length: 0,
            state: ChainState::Broken,
            fault: Some("the count of chains is missing or wrong, or was reset to an older value".to_owned()),
        });
    }
    let ok = chains.iter().all(|chain| chain.state != ChainState::Broken);
    Verification { ok, entries, chains, rows: None, trees: BTreeMap::new() }
}
