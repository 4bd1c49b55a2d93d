//! A list of any length, page by page: as a table, or as a JSON array. Never more than one page is in memory.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CliContext;
use super::error::CommandResult;
use super::output::JsonArray;
use super::table::TextTable;
use crate::client::{Client, Pages};
use crate::process::Exit;

/// How a list is shown.
pub(crate) struct PagedList<F, const N: usize> {
    /// As JSON.
    pub(crate) json: bool,
    /// At most so many.
    pub(crate) limit: Option<usize>,
    /// Columns.
    pub(crate) headings: [&'static str; N],
    /// Their content.
    pub(crate) row: F,
    /// What is said on standard error when there is nothing, in a table.
    pub(crate) empty: &'static str,
}

/// Prints what `pages` gives.
pub(crate) async fn print<T: Serialize + DeserializeOwned, F: Fn(T) -> [String; N], const N: usize>(
    context: &mut CliContext,
    client: &mut Client,
    mut pages: Pages<T>,
    shown: PagedList<F, N>,
) -> CommandResult {
    let mut left = shown.limit.unwrap_or(usize::MAX);
    let mut array = JsonArray::default();
    let mut table = TextTable::new(shown.headings);
    while left > 0
        && let Some(mut page) = pages.next(client).await?
    {
        page.truncate(left);
        left -= page.len();
        if shown.json {
            for item in &page {
                array.element(&mut context.output, item)?;
            }
        } else {
            table.rows(&mut context.output, &page.into_iter().map(&shown.row).collect::<Vec<_>>())?;
        }
        // A reader sees each page as it comes.
        context.output.flush()?;
    }
    if shown.json {
        array.end(&mut context.output)?;
    } else if table.is_empty() {
        context.output.note(shown.empty);
    }
    Ok(Exit::Success)
}
