//! Pages of a list and the cursors between them. A cursor is sealed: it reveals nothing and cannot be forged.

use std::fmt;

use data_encoding::BASE32_NOPAD;

use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// Items of a page by default.
const DEFAULT_LIMIT: usize = 100;
/// Items of a page at most.
const MAX_LIMIT: usize = 1000;
/// The key that a cursor is sealed for. No record has a key like it.
const PLACE: &[u8] = b"\0cursor";

/// Where the next page starts. An opaque text of lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor from a client. Using it fails with `invalid_request` if this store did not make it.
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
    /// The `next` of an earlier page. Absent: the first page.
    pub cursor: Option<Cursor>,
    /// The most items, up to 1,000. Absent: 100.
    pub limit: Option<usize>,
}

impl PageAsk {
    pub(crate) fn limit(&self) -> usize {
        // A limit of 0 would make a list without an end.
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
    }
}

/// One page. It may be short, even empty, and still have a `next`, because the work for a page is bounded.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// The cursor of the next page. Absent on the last page.
    pub next: Option<Cursor>,
}

impl Store {
    pub(crate) fn cursor(&self, after: &[u8]) -> Cursor {
        let sealed = self.records().seal(PLACE, after);
        let mut text = BASE32_NOPAD.encode(&sealed);
        // For addresses: lower case is easier to read and to compare.
        text.make_ascii_lowercase();
        Cursor(text)
    }

    /// The key in a cursor.
    pub(crate) fn read_cursor(&self, cursor: &Cursor) -> Result<Vec<u8>, Error> {
        let refused = || Error::Invalid { field: "cursor", why: "it is not a cursor of this store" };
        // Before it is decoded: the text comes from a client.
        if cursor.0.len() > 500 {
            return Err(refused());
        }
        let sealed = BASE32_NOPAD.decode(cursor.0.to_ascii_uppercase().as_bytes()).map_err(|_| refused())?;
        // Also refuses a cursor of another store, whose key is another one.
        let after = self.records().unseal(PLACE, &sealed).map_err(|_| refused())?;
        Ok(after.to_vec())
    }

    /// The key that a page starts after. `None` for the first page.
    pub(crate) fn page_start(&self, page: &PageAsk) -> Result<Option<Vec<u8>>, Error> {
        page.cursor.as_ref().map(|cursor| self.read_cursor(cursor)).transpose()
    }
}
