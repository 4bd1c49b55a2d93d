//! The tables of the audit log: heads and entries of the chains, how much of each chain others have anchored, and the count.

use serde_bytes::ByteBuf;

use crate::crypto::merkle::{self, TreeHash};
use crate::domain::audit::AuditEvent;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::rows::{RowChange, StoredRowChangeV1};
use crate::store::engine::audit::stored_event::StoredEventV1;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, decode, record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::table::Table;

pub(crate) const HEADS: Table = Table::new(b'A', "chain heads");
pub(crate) const COVERS: Table = Table::new(b'C', "chain covers");
pub(crate) const ENTRIES: Table = Table::new(b'a', "audit entries");
pub(crate) const REGISTRY: Table = Table::new(b'G', "chain registry");
pub(crate) const PRUNED: Table = Table::new(b'D', "pruned entries");

pub(crate) type ChainId = [u8; 16];

/// A link: the MAC of an entry.
pub(crate) type Mac = [u8; 32];

/// An entry of a chain.
pub(crate) struct Entry {
    /// An [`EntryBody`] as it is stored: the MAC covers these bytes, whatever format they have. In a stub, a [`StubBody`].
    pub(crate) body: Vec<u8>,
    /// The MAC of the entry before; zeros in the first.
    pub(crate) previous: Mac,
    pub(crate) mac: Mac,
    /// In a stub, whose body was pruned: the MAC over its place, its links and what is left of its body.
    pub(crate) stub: Option<Mac>,
}

/// What is left of a pruned entry besides its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StubBody {
    pub(crate) rows: Vec<RowChange>,
    /// The entry's leaf in the tree of its chain.
    pub(crate) leaf: TreeHash,
}

/// The content of an entry.
pub(crate) struct EntryBody {
    pub(crate) event: AuditEvent,
    pub(crate) link: Link,
    /// The rows that its commit wrote, in the last entry of the commit.
    pub(crate) rows: Vec<RowChange>,
}

/// The position of an entry in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The first entry, with the chain's number and anchors of the other chains.
    Start { index: u64, anchors: Vec<Anchor> },
    /// Neither first nor last.
    Next,
    /// The last: the process ended in order.
    End,
    /// As `Next`; its rows were stored before the log recorded rows. See [`baseline`](super::baseline).
    Baseline,
}

/// The length of a chain when another one started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) chain: ChainId,
    pub(crate) length: u64,
    pub(crate) last: Mac,
    /// Time of that last entry, which is part of its key.
    pub(crate) at: Timestamp,
}

/// The head of a chain, written in the same commit as its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) index: u64,
    pub(crate) length: u64,
    /// The MAC of the last entry.
    pub(crate) last: Mac,
    pub(crate) started_at: Timestamp,
    pub(crate) last_at: Timestamp,
    pub(crate) ended: bool,
    /// The MAC over the fields above.
    pub(crate) mac: Mac,
}

/// How much of a chain other chains have anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    pub(crate) length: u64,
}

/// The pruned run of entries of a chain that were removed: those from `begin` to before `end`. Entry 0 stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrunedRun {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// The MAC of the entry before them.
    pub(crate) before: Mac,
    /// The MAC of the last removed entry.
    pub(crate) last: Mac,
    /// The MAC over the other fields.
    pub(crate) mac: Mac,
    /// The rows of the removed entries. Changes that follow each other are one.
    pub(crate) rows: Vec<RowChange>,
    /// The leaves of the removed entries. Older programs kept none.
    pub(crate) leaves: Vec<TreeHash>,
}

/// The number of chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registry {
    pub(crate) chains: u64,
}

impl Entry {
    /// Reads its content.
    pub(crate) fn read(&self) -> Result<EntryBody, Failure> {
        decode(&self.body)
    }

    /// Reads what is left in a stub.
    pub(crate) fn read_stub(&self) -> Result<StubBody, Failure> {
        // A stub of an older program has no body: its rows were never named, and its leaf is that of an empty body.
        if self.body.is_empty() {
            return Ok(StubBody { rows: Vec::new(), leaf: self.leaf_hash() });
        }
        decode(&self.body)
    }

    /// Returns the leaf of an entry in the tree of its chain (RFC 9162, section 2.1.1). The MAC is there in the place of random
    /// bytes: without its key nobody can compute it, so that those who receive the hash cannot try contents until one fits.
    pub(crate) fn leaf_hash(&self) -> TreeHash {
        merkle::leaf_hash(&[&self.body, &self.mac])
    }
}

pub(crate) fn registry() -> Key<Registry> {
    REGISTRY.singleton()
}

pub(crate) fn heads() -> Prefix<Head> {
    HEADS.all()
}

pub(crate) fn head(chain: &ChainId) -> Key<Head> {
    heads().key(chain)
}

pub(crate) fn covers() -> Prefix<Cover> {
    COVERS.all()
}

pub(crate) fn cover(chain: &ChainId) -> Key<Cover> {
    covers().key(chain)
}

pub(crate) fn all_pruned() -> Prefix<PrunedRun> {
    PRUNED.all()
}

/// Returns the key of the pruned run of the entries before `end`.
pub(crate) fn pruned(chain: &ChainId, end: u64) -> Key<PrunedRun> {
    all_pruned().key(&[chain.as_slice(), &end.to_be_bytes()].concat())
}

/// Reads chain and end of a pruned run from its key.
pub(crate) fn pruned_parts(key: &[u8]) -> Option<(ChainId, u64)> {
    let rest: &[u8; 24] = key.strip_prefix(&[PRUNED.letter])?.try_into().ok()?;
    let (chain, end) = rest.split_first_chunk::<16>()?;
    Some((*chain, u64::from_be_bytes(end.try_into().ok()?)))
}

pub(crate) fn entries() -> Prefix<Entry> {
    ENTRIES.all()
}

/// Returns the key of an entry. Keys sort newest first over all chains, and within one chain the later entry first.
pub(crate) fn entry(at: Timestamp, chain: &ChainId, seq: u64) -> Key<Entry> {
    // Complements, because a byte store scans in ascending order only.
    let newest_first = [newest_first(at).as_slice(), chain, &(!seq).to_be_bytes()].concat();
    entries().key(&newest_first)
}

/// Returns the key after which the entries older than `before` begin.
pub(crate) fn entries_before(before: Timestamp) -> Key<Entry> {
    // The greatest key of the millisecond `before` itself.
    entries().key(&[newest_first(before).as_slice(), &[0xff; 24]].concat())
}

/// Reads time, chain and number of an entry from its key.
pub(crate) fn entry_parts(key: &[u8]) -> Option<(Timestamp, ChainId, u64)> {
    let rest: &[u8; 32] = key.strip_prefix(&[ENTRIES.letter])?.try_into().ok()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (chain, seq) = rest.split_first_chunk::<16>()?;
    let millis = (!u64::from_be_bytes(*at) ^ SIGN).cast_signed();
    Some((Timestamp::from_millis(millis), *chain, !u64::from_be_bytes(seq.try_into().ok()?)))
}

/// Flips the sign bit, so that times before 1970 sort before the others.
const SIGN: u64 = 1 << 63;

fn newest_first(at: Timestamp) -> [u8; 8] {
    (!(at.as_millis().cast_unsigned() ^ SIGN)).to_be_bytes()
}

stored! {
    StoredAnchorV1 = Anchor { chain: [u8; 16], length: u64, last: [u8; 32], at: i64 }
}

stored! {
    enum StoredLinkV1 { Start { index: u64, anchors: Vec<StoredAnchorV1> }, Next, End, Baseline }
}

impl Convert<StoredLinkV1> for Link {
    fn to_stored(&self) -> Result<StoredLinkV1, Failure> {
        Ok(match self {
            Self::Start { index, anchors } => {
                StoredLinkV1::Start { index: *index, anchors: anchors.to_stored()? }
            }
            Self::Next => StoredLinkV1::Next,
            Self::End => StoredLinkV1::End,
            Self::Baseline => StoredLinkV1::Baseline,
        })
    }

    fn from_stored(stored: StoredLinkV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredLinkV1::Start { index, anchors } => {
                Self::Start { index, anchors: Convert::from_stored(anchors)? }
            }
            StoredLinkV1::Next => Self::Next,
            StoredLinkV1::End => Self::End,
            StoredLinkV1::Baseline => Self::Baseline,
        })
    }
}

stored! {
    StoredEntryBodyV1 = EntryBody { event: StoredEventV1, link: StoredLinkV1 }
    before { rows: Vec::new() }
}

stored! {
    StoredEntryBodyV2 = EntryBody {
        event: StoredEventV1,
        link: StoredLinkV1,
        rows: Vec<StoredRowChangeV1>,
    }
}

record! { EntryBody { 1 => StoredEntryBodyV1, } newest 2 => StoredEntryBodyV2 }

stored! {
    StoredEntryV1 = Entry { body: ByteBuf, previous: [u8; 32], mac: [u8; 32] }
    before { stub: None }
}

stored! {
    StoredEntryV2 = Entry { body: ByteBuf, previous: [u8; 32], mac: [u8; 32], stub: Option<[u8; 32]> }
}

record! { Entry { 1 => StoredEntryV1, } newest 2 => StoredEntryV2 }

stored! {
    StoredStubBodyV1 = StubBody { rows: Vec<StoredRowChangeV1>, leaf: [u8; 32] }
}

record! { StubBody {} newest 1 => StoredStubBodyV1 }

stored! {
    StoredPrunedRunV1 = PrunedRun { begin: u64, end: u64, before: [u8; 32], last: [u8; 32], mac: [u8; 32] }
    before { rows: Vec::new(), leaves: Vec::new() }
}

stored! {
    StoredPrunedRunV2 = PrunedRun {
        begin: u64,
        end: u64,
        before: [u8; 32],
        last: [u8; 32],
        mac: [u8; 32],
        rows: Vec<StoredRowChangeV1>,
        leaves: Vec<[u8; 32]>,
    }
}

record! { PrunedRun { 1 => StoredPrunedRunV1, } newest 2 => StoredPrunedRunV2 }

stored! {
    StoredHeadV1 = Head {
        index: u64,
        length: u64,
        last: [u8; 32],
        started_at: i64,
        last_at: i64,
        ended: bool,
        mac: [u8; 32],
    }
}

record! { Head {} newest 1 => StoredHeadV1 }

stored! {
    StoredCoverV1 = Cover { length: u64 }
}

record! { Cover {} newest 1 => StoredCoverV1 }

stored! {
    StoredRegistryV1 = Registry { chains: u64 }
}

record! { Registry {} newest 1 => StoredRegistryV1 }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_sort_newest_first_and_their_keys_read_back() {
        let at = |millis| Timestamp::from_millis(millis);
        let keys: Vec<Vec<u8>> = [(2000, 0), (1000, 7), (1000, 6), (0, 0), (-5, 1)]
            .into_iter()
            .map(|(millis, seq)| entry(at(millis), &[9; 16], seq).to_vec())
            .collect();
        assert!(keys.is_sorted());
        assert_eq!(entry_parts(&keys[1]), Some((at(1000), [9; 16], 7)));
        assert_eq!(entry_parts(&keys[4]), Some((at(-5), [9; 16], 1)));
        assert!(entries_before(at(1000)).bytes() > keys[2].as_slice());
        assert!(entries_before(at(1000)).bytes() < keys[3].as_slice());
    }
}
