//! The restores and the heads of the chains that a server has seen, which it keeps outside the byte store: a log that does not
//! continue them was rolled back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;

use crate::domain::epoch::RestoreEpoch;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::chain::{Reached, is_authentic_head};
use crate::store::engine::audit::tables::{self, ChainId, Entry, Head, Mac};
use crate::store::engine::audit::verify::is_pruned;
use crate::store::engine::failure::Failure;
use crate::store::engine::records::Records;

/// What a server has seen of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenHeads {
    /// The restores that it has accepted. The heads are those since the last one.
    pub(crate) epochs: Vec<RestoreEpoch>,
    heads: BTreeMap<ChainId, SeenHead>,
}

/// What the line of a restore begins with.
const EPOCH: &str = "epoch ";

#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenHead {
    length: u64,
    last: Mac,
    last_at: Timestamp,
}

impl SeenHeads {
    /// Reads the heads as they are now.
    pub(crate) async fn read(records: &Records) -> Result<Self, Failure> {
        let mut heads = BTreeMap::new();
        let each = |key: &[u8], sealed: &[u8]| {
            // A damaged head counts as missing: with one, a rollback must not go unnoticed.
            if let (Some(chain), Ok(head)) = (tables::heads().id(key), records.open::<Head>(key, sealed))
                && is_authentic_head(records, &chain, &head)
            {
                let Head { length, last, last_at, .. } = head;
                heads.insert(chain, SeenHead { length, last, last_at });
            }
            Ok(())
        };
        records.for_each_row(&tables::heads(), each).await?;
        Ok(Self { epochs: Vec::new(), heads })
    }

    /// Begins without heads, at the restore with this epoch.
    pub(crate) fn of_epoch(epoch: Option<RestoreEpoch>) -> Self {
        Self { epochs: epoch.into_iter().collect(), heads: BTreeMap::new() }
    }

    /// Adds the head of this process's own chain, if it is longer than the one that was seen.
    pub(crate) fn add_own(&mut self, own: Option<&Reached>) {
        let Some(Reached { chain, head: Head { length, last, last_at, .. }, .. }) = own else { return };
        if self.heads.get(chain).is_none_or(|seen| seen.length < *length) {
            self.heads.insert(*chain, SeenHead { length: *length, last: *last, last_at: *last_at });
        }
    }

    /// Reads what [`to_text`](Self::to_text) wrote. `None` if it is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let head = |line: &str| {
            let mut fields = line.split(' ');
            let chain = HEXLOWER.decode(fields.next()?.as_bytes()).ok()?.try_into().ok()?;
            let length = fields.next()?.parse().ok()?;
            let last_at = Timestamp::from_millis(fields.next()?.parse().ok()?);
            let last = HEXLOWER.decode(fields.next()?.as_bytes()).ok()?.try_into().ok()?;
            fields.next().is_none().then_some((chain, SeenHead { length, last, last_at }))
        };
        let mut seen = Self::default();
        for line in text.lines() {
            match line.strip_prefix(EPOCH) {
                Some(epoch) => seen.epochs.push(epoch.parse().ok()?),
                None => seen.heads.extend([head(line)?]),
            }
        }
        Some(seen)
    }

    /// One line for each restore, and one for each chain: id, length, milliseconds and MAC of the last entry.
    pub(crate) fn to_text(&self) -> String {
        let mut text: String = self.epochs.iter().map(|epoch| format!("{EPOCH}{epoch}\n")).collect();
        for (chain, SeenHead { length, last, last_at }) in &self.heads {
            let (chain, last) = (HEXLOWER.encode(chain), HEXLOWER.encode(last));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{chain} {length} {} {last}", last_at.as_millis());
        }
        text
    }

    /// Whether `now` continues all of these: no chain is missing or shorter, and each has the same entry where these end.
    pub(crate) async fn are_continued_by(&self, now: &Self, records: &Records) -> Result<bool, Failure> {
        for (chain, seen) in &self.heads {
            let Some(head) = now.heads.get(chain) else { return Ok(false) };
            // A chain without entries asserts nothing.
            let Some(seq) = seen.length.checked_sub(1) else { continue };
            if head == seen {
                continue;
            }
            if head.length <= seen.length {
                return Ok(false);
            }
            let key = tables::entry(seen.last_at, chain, seq);
            let entry: Option<Entry> = records.get(&key).await?;
            let is_same = match entry {
                Some(entry) => entry.mac == seen.last,
                None => is_pruned(records, chain, seq).await?,
            };
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
