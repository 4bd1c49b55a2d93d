//! Pages of a list and the cursors between them. A cursor is sealed: it shows nothing and cannot be made up.

use std::fmt;

use data_encoding::BASE32_NOPAD;

use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// Items of a page when nothing was asked.
const DEFAULT: usize = 100;
/// Items of a page at most.
const MOST: usize = 1000;
/// What a cursor is sealed for, in place of a record's key; no record's key starts like that.
const PLACE: &[u8] = b"\0cursor";

/// Where the next page starts. Opaque text of lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor as a client gave it back; whether it is one shows when it is used (`invalid_request`).
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default)]
pub struct PageAsk {
    /// From a former page's `next`; absent: the first.
    pub cursor: Option<Cursor>,
    /// How many items at most; absent: 100. More than 1,000 are never given.
    pub limit: Option<usize>,
}

impl PageAsk {
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT).clamp(1, MOST)
    }
}

/// One page. A page may be short, even empty, and still have a `next`: the work behind one is bounded.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Of the next page; absent on the last.
    pub next: Option<Cursor>,
}

impl Store {
    pub(crate) fn cursor(&self, after: &[u8]) -> Cursor {
        let sealed = self.records().seal(PLACE, after);
        let mut text = BASE32_NOPAD.encode(&sealed);
        text.make_ascii_lowercase();
        Cursor(text)
    }

    /// What a cursor was made of.
    pub(crate) fn read_cursor(&self, cursor: &Cursor) -> Result<Vec<u8>, Error> {
        let refused = || Error::Invalid { field: "cursor", why: "it is none that this store gave" };
        if cursor.0.len() > 500 {
            return Err(refused());
        }
        let sealed = BASE32_NOPAD.decode(cursor.0.to_ascii_uppercase().as_bytes()).map_err(|_| refused())?;
        let after = self.records().unseal(PLACE, &sealed).map_err(|_| refused())?;
        Ok(after.to_vec())
    }

    /// As [`read_cursor`](Self::read_cursor), when there is one.
    pub(crate) fn start_of(&self, page: &PageAsk) -> Result<Option<Vec<u8>>, Error> {
        page.cursor.as_ref().map(|cursor| self.read_cursor(cursor)).transpose()
    }
}
