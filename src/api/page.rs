//! Pages of the store as pages of the API.

use crate::store;
use crate::wire::PageView;

/// The page with each item turned into its view.
pub(crate) fn page<T, V>(page: store::Page<T>, view: impl FnMut(T) -> V) -> PageView<V> {
    PageView {
        items: page.items.into_iter().map(view).collect(),
        next: page.next.map(|next| next.to_string()),
    }
}
