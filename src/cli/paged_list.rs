//! A list of any length, printed page by page as a table or a JSON array. At most one page is in memory.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::CliContext;
use super::error::CommandResult;
use super::output::JsonArray;
use super::table::TextTable;
use crate::client::{Client, Pages};
use crate::process::Exit;

/// How to print a list.
pub(crate) struct PagedList<F, const N: usize> {
    pub(crate) json: bool,
    /// The most items to print; `None` prints all.
    pub(crate) limit: Option<usize>,
    pub(crate) headings: [&'static str; N],
    /// The cells of an item.
    pub(crate) row: F,
    /// What standard error says if a table has no rows.
    pub(crate) empty: &'static str,
}

impl<F, const N: usize> PagedList<F, N> {
    /// Fetches and prints the pages, one after the other.
    pub(crate) async fn print<T: Serialize + DeserializeOwned>(
        self,
        context: &mut CliContext,
        client: &mut Client,
        mut pages: Pages<T>,
    ) -> CommandResult
    where
        F: Fn(T) -> [String; N],
    {
        let mut remaining = self.limit.unwrap_or(usize::MAX);
        let mut array = JsonArray::default();
        let mut table = TextTable::new(self.headings);
        // The limit is checked first: a page that nobody will see is not fetched.
        while remaining > 0
            && let Some(mut page) = pages.next(client).await?
        {
            page.truncate(remaining);
            remaining -= page.len();
            if self.json {
                for item in &page {
                    array.element(&mut context.output, item)?;
                }
            } else {
                table.rows(&mut context.output, page.into_iter().map(&self.row))?;
            }
            // A reader sees each page as it arrives, and one that has gone (`| head`) ends the loop.
            context.output.flush()?;
        }
        if self.json {
            array.end(&mut context.output)?;
        } else if table.is_empty() {
            // Not on standard output: a script that counts lines counts zero.
            context.output.note(self.empty);
        }
        Ok(Exit::Success)
    }
}
