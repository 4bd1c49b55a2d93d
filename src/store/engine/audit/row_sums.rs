//! The rows of the store compared with the changes that the log records: what does not match was written, removed or restored
//! without this program.
//!
//! The sum of a row is, over all its changes, the digest after minus the digest before, and then minus the digest of the stored row. The
//! changes of a row form a path, so that the sum is zero if the row matches the log, in whatever order rows and entries are read. Only
//! rows whose sum is not zero are in memory.

use std::collections::HashMap;

use crate::store::engine::audit::refused::{RowId, row_id};
use crate::store::engine::audit::rows::{self, RowChange, RowDigest};

/// Rows in memory: about 150 MB.
const MAX_ROWS: usize = 2_000_000;

/// A part of the rows, by the hashes of their keys.
#[derive(Clone, Copy)]
pub(crate) struct RowPart {
    pub(crate) part: u32,
    pub(crate) parts: u32,
}

/// More rows than may be in memory.
pub(crate) struct TooManyRows;

/// The sums.
pub(crate) struct RowSums {
    part: RowPart,
    /// The letters of the only tables whose rows count.
    tables: Option<&'static [u8]>,
    sums: HashMap<RowId, RowSum>,
    stored: u64,
}

#[derive(Clone, Copy, Default)]
struct RowSum {
    sum: u128,
    letter: u8,
    is_stored: bool,
    is_logged: bool,
}

/// The rows that were read, and those that do not match the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowReport {
    /// Rows that are stored.
    pub rows: u64,
    /// Rows that do not match the log.
    pub faults: Vec<RowFault>,
}

/// A row that does not match the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowFault {
    /// The letter of its table.
    pub letter: u8,
    /// What happened to it.
    pub kind: RowFaultKind,
    pub(crate) id: RowId,
}

/// What happened to a row without this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowFaultKind {
    /// It was deleted.
    Missing,
    /// It is not what the log says: changed, or an older version of it.
    Replaced,
    /// The log does not have it: somebody created it, or restored it after its deletion. Rows of some tables are then reported as
    /// replaced.
    Inserted,
}

impl RowFaultKind {
    /// `missing`, `replaced` or `inserted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Replaced => "replaced",
            Self::Inserted => "inserted",
        }
    }
}

impl RowSums {
    pub(crate) fn new(part: RowPart) -> Self {
        Self { part, tables: None, sums: HashMap::new(), stored: 0 }
    }

    /// The sums of the rows of a few tables.
    pub(crate) fn of_tables(letters: &'static [u8]) -> Self {
        Self { tables: Some(letters), ..Self::new(RowPart { part: 0, parts: 1 }) }
    }

    /// Takes a row as it is stored.
    pub(crate) fn take_stored(&mut self, key: &[u8], sealed: &[u8]) {
        let digest = rows::digest(sealed);
        self.update(key, |row| {
            row.is_stored = true;
            row.sum = row.sum.wrapping_sub(number(&digest));
        });
        self.stored += 1;
    }

    /// Takes a change that the log records.
    pub(crate) fn take_change(&mut self, change: &RowChange) {
        self.update(&change.key, |row| {
            row.is_logged = true;
            let [before, after] =
                [&change.before, &change.after].map(|digest| digest.as_ref().map_or(0, number));
            row.sum = row.sum.wrapping_add(after).wrapping_sub(before);
        });
    }

    /// Refuses more rows than may be in memory.
    pub(crate) fn check_size(&self) -> Result<(), TooManyRows> {
        if self.sums.len() > MAX_ROWS { Err(TooManyRows) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> RowReport {
        let faults = self.sums.into_iter().map(|(id, row)| RowFault {
            letter: row.letter,
            kind: match (row.is_stored, row.is_logged) {
                (true, true) => RowFaultKind::Replaced,
                (true, false) => RowFaultKind::Inserted,
                (false, _) => RowFaultKind::Missing,
            },
            id,
        });
        let mut faults: Vec<RowFault> = faults.collect();
        faults.sort_unstable();
        RowReport { rows: self.stored, faults }
    }

    fn update(&mut self, key: &[u8], change: impl FnOnce(&mut RowSum)) {
        let letter = key.first().copied().unwrap_or(0);
        if self.tables.is_some_and(|letters| !letters.contains(&letter)) {
            return;
        }
        let id = row_id(key);
        if self.part.parts > 1
            && u32::from_be_bytes([0, id[0], id[1], id[2]]) % self.part.parts != self.part.part
        {
            return;
        }
        let row = self.sums.entry(id).or_default();
        row.letter = letter;
        change(row);
        // Most rows fit once both sides were read.
        if row.sum == 0 {
            self.sums.remove(&id);
        }
    }
}

impl RowReport {
    pub(crate) fn add(&mut self, other: Self) {
        // Each pass reads all rows, and finds the faults of its part.
        self.faults.extend(other.faults);
        self.faults.sort_unstable();
    }
}

/// The part of a digest that is summed. Nobody can choose a row for it: 2^128 rows would have to be tried.
fn number(digest: &RowDigest) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(half)
}
