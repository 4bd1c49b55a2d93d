//! A page of a list.

use serde::{Deserialize, Serialize};

/// One page; `next` is the cursor of the following one and absent on the last.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PageView<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Opaque; pass it as `cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
