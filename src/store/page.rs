//! Pages of a list and the cursors between them. A cursor is sealed: it shows nothing and cannot be made up.

use std::fmt;

/// Where the next page starts. Opaque text of lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) String);

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

/// One page. A page may be short, even empty, and still have a `next`: the work behind one is bounded.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Of the next page; absent on the last.
    pub next: Option<Cursor>,
}
