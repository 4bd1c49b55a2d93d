//! The tables of the audit log: heads and entries of the chains, how much of each chain others have anchored, and the count.

use serde_bytes::ByteBuf;

use crate::domain::audit::{
    Actor, ActorKind, AuditAction, AuditEvent, AuditText, DetailKey, Outcome, Target, TargetKind,
};
use crate::domain::id::OrgId;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, convert_as_text, decode, record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::table::Table;

pub(crate) const HEADS: Table = Table::new(b'A', "chain heads");
pub(crate) const COVERS: Table = Table::new(b'C', "chain covers");
pub(crate) const ENTRIES: Table = Table::new(b'a', "audit entries");
pub(crate) const REGISTRY: Table = Table::new(b'G', "chain registry");

pub(crate) type ChainId = [u8; 16];

/// A link: the MAC of an entry.
pub(crate) type Mac = [u8; 32];

/// An entry of a chain.
pub(crate) struct Entry {
    /// An [`EntryBody`] as it is stored: the MAC covers these bytes, whatever format they have.
    pub(crate) body: Vec<u8>,
    /// The MAC of the entry before; zeros in the first.
    pub(crate) previous: Mac,
    pub(crate) mac: Mac,
}

/// The content of an entry.
pub(crate) struct EntryBody {
    pub(crate) event: AuditEvent,
    pub(crate) link: Link,
}

/// What an entry is to its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The first: its place among all chains, and what the others had reached.
    Start { index: u64, anchors: Vec<Anchor> },
    /// Neither first nor last.
    Next,
    /// The last: the process ended in order.
    End,
}

/// What a chain had reached when another began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) chain: ChainId,
    pub(crate) length: u64,
    pub(crate) last: Mac,
    /// Time of that last entry, which is part of its key.
    pub(crate) at: Timestamp,
}

/// How far a chain is. Kept beside the entries, and written with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) index: u64,
    pub(crate) length: u64,
    /// The MAC of the last entry.
    pub(crate) last: Mac,
    pub(crate) started_at: Timestamp,
    pub(crate) last_at: Timestamp,
    pub(crate) ended: bool,
    /// Over all of the above.
    pub(crate) mac: Mac,
}

/// How much of a chain other chains have anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    pub(crate) length: u64,
}

/// How many chains were begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registry {
    pub(crate) chains: u64,
}

impl Entry {
    /// Reads its content.
    pub(crate) fn read(&self) -> Result<EntryBody, Failure> {
        decode(&self.body)
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

pub(crate) fn entries() -> Prefix<Entry> {
    ENTRIES.all()
}

/// Returns the key of an entry. Keys sort newest first over all chains, and within one chain the later entry first.
pub(crate) fn entry(at: Timestamp, chain: &ChainId, seq: u64) -> Key<Entry> {
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

// === stored structs ===

convert_as_text!(ActorKind, AuditAction, DetailKey, Outcome, TargetKind);

impl Convert<String> for AuditText {
    fn to_stored(&self) -> Result<String, Failure> {
        Ok(self.as_str().to_owned())
    }

    fn from_stored(stored: String) -> Result<Self, Failure> {
        Self::from_stored_text(&stored).map_err(|_| Failure::Corrupt)
    }
}

impl Convert<[u8; 16]> for OrgId {
    fn to_stored(&self) -> Result<[u8; 16], Failure> {
        Ok(*self.as_bytes())
    }

    fn from_stored(stored: [u8; 16]) -> Result<Self, Failure> {
        Ok(Self::from_bytes(stored))
    }
}

/// Milliseconds since 1970.
impl Convert<i64> for Timestamp {
    fn to_stored(&self) -> Result<i64, Failure> {
        Ok(self.as_millis())
    }

    fn from_stored(stored: i64) -> Result<Self, Failure> {
        Ok(Self::from_millis(stored))
    }
}

stored! {
    StoredActorV1 = Actor { kind: String, name: Option<String>, id: Option<String> }
}

stored! {
    StoredTargetV1 = Target { kind: String, name: Option<String>, id: Option<String> }
}

stored! {
    StoredEventV1 = AuditEvent {
        at: i64,
        org: Option<[u8; 16]>,
        actor: StoredActorV1,
        action: String,
        target: Option<StoredTargetV1>,
        outcome: String,
        details: Vec<(String, String)>,
    }
}

stored! {
    StoredAnchorV1 = Anchor { chain: [u8; 16], length: u64, last: [u8; 32], at: i64 }
}

stored! {
    enum StoredLinkV1 { Start { index: u64, anchors: Vec<StoredAnchorV1> }, Next, End }
}

impl Convert<StoredLinkV1> for Link {
    fn to_stored(&self) -> Result<StoredLinkV1, Failure> {
        Ok(match self {
            Self::Start { index, anchors } => {
                StoredLinkV1::Start { index: *index, anchors: anchors.to_stored()? }
            }
            Self::Next => StoredLinkV1::Next,
            Self::End => StoredLinkV1::End,
        })
    }

    fn from_stored(stored: StoredLinkV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredLinkV1::Start { index, anchors } => {
                Self::Start { index, anchors: Convert::from_stored(anchors)? }
            }
            StoredLinkV1::Next => Self::Next,
            StoredLinkV1::End => Self::End,
        })
    }
}

stored! {
    StoredEntryBodyV1 = EntryBody { event: StoredEventV1, link: StoredLinkV1 }
}

record! { EntryBody {} newest 1 => StoredEntryBodyV1 }

stored! {
    StoredEntryV1 = Entry { body: ByteBuf, previous: [u8; 32], mac: [u8; 32] }
}

record! { Entry {} newest 1 => StoredEntryV1 }

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
