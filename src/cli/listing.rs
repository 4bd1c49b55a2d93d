//! A list of any length, page by page: as a table, or as a JSON array. Never more than one page is in memory.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use super::exit::Exit;
use super::failure::Outcome;
use super::output::JsonArray;
use super::table::Table;
use crate::client::{Client, Pages};

/// How a list is shown.
pub struct Shown<F, const N: usize> {
    /// As JSON.
    pub json: bool,
    /// At most so many.
    pub limit: Option<usize>,
    /// Columns.
    pub headings: [&'static str; N],
    /// Their content.
    pub row: F,
    /// What is said on standard error when there is nothing, in a table.
    pub empty: &'static str,
}

/// Prints what `pages` gives.
pub async fn print<T: Serialize + DeserializeOwned, F: Fn(T) -> [String; N], const N: usize>(
    context: &mut Context,
    client: &mut Client,
    mut pages: Pages<T>,
    shown: Shown<F, N>,
) -> Outcome {
    let mut left = shown.limit.unwrap_or(usize::MAX);
    let mut array = JsonArray::default();
    let mut table = Table::new(shown.headings);
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
