//! Lists in pages: their parameters and responses.

use super::query::{FromQuery, QueryReader};
use crate::domain::name::MemberName;
use crate::store::{Cursor, Page, PageAsk};
use crate::wire::PageView;

/// The parameters that every list has.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The `next` of the page before; absent for the first page.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// The largest number of items on the page. Default: 100.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: usize,
}

impl From<PageQuery> for PageAsk {
    fn from(page: PageQuery) -> Self {
        Self { cursor: page.cursor, limit: Some(page.limit) }
    }
}

impl FromQuery for PageQuery {
    const NAMES: &'static [&'static str] = &[];
    const PAGED: bool = true;

    fn read(query: &mut QueryReader) -> Self {
        Self { cursor: query.cursor(), limit: query.limit() }
    }
}

/// A list with a filter.
pub(crate) struct Paged<F> {
    pub(crate) filter: F,
    pub(crate) page: PageAsk,
}

impl<F: FromQuery> FromQuery for Paged<F> {
    const NAMES: &'static [&'static str] = F::NAMES;
    const PAGED: bool = true;

    fn read(query: &mut QueryReader) -> Self {
        // Both are read before the result is checked, so that faults of either are reported.
        Self { filter: F::read(query), page: PageQuery::read(query).into() }
    }
}

/// The filter of a list of tokens or tickets.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OwnerQuery {
    /// Only those of this member.
    pub(crate) member: Option<MemberName>,
}

impl FromQuery for OwnerQuery {
    const NAMES: &'static [&'static str] = &["member"];

    fn read(query: &mut QueryReader) -> Self {
        Self { member: query.parsed("member") }
    }
}

/// Renders a page of the store, each item by `view`.
pub(crate) fn page_view<T, V>(page: Page<T>, view: impl FnMut(T) -> V) -> PageView<V> {
    PageView {
        items: page.items.into_iter().map(view).collect(),
        // The store made the cursor, and only the store interprets it.
        next: page.next.map(|next| next.to_string()),
    }
}

/// Renders a list that fits one page.
pub(crate) fn whole_list<T, V>(items: impl IntoIterator<Item = T>, view: impl FnMut(T) -> V) -> PageView<V> {
    PageView { items: items.into_iter().map(view).collect(), next: None }
}
