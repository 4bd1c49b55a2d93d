//! `dropsafe stats`: how many secrets there are of which sort.

use std::collections::BTreeMap;

use clap::Args;

use super::error::{CliError, CommandResult};
use super::table::TextTable;
use super::{CliContext, connect, table};
use crate::process::Exit;

/// Count the secrets that you may see
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl StatsArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let found = connect::client(context)?.statistics().await?;
        if self.json {
            context.output.json(&found)?;
            return Ok(Exit::Success);
        }
        let fields = [
            ("secrets", found.total.to_string()),
            ("encrypted", found.encrypted.to_string()),
            ("plain", found.plain.to_string()),
            ("shared", found.shared.to_string()),
            ("private", found.private.to_string()),
            ("installed", found.auto_install.to_string()),
            ("not installed", found.not_auto_install.to_string()),
            ("files", found.files.to_string()),
        ];
        table::fields(&mut context.output, &fields)?;
        counts(context, "PLUGIN", found.by_plugin, found.without_plugin)?;
        counts(context, "CATEGORY", found.by_category, found.without_category)?;
        Ok(Exit::Success)
    }
}

fn counts(
    context: &mut CliContext,
    what: &'static str,
    by: BTreeMap<String, u64>,
    without: u64,
) -> Result<(), CliError> {
    if by.is_empty() {
        return Ok(());
    }
    let named = by.into_iter().map(|(name, count)| [name, count.to_string()]);
    let rest = (without > 0).then(|| ["(none)".to_owned(), without.to_string()]);
    let rows: Vec<_> = named.chain(rest).collect();
    TextTable::new([what, "SECRETS"]).rows(&mut context.output, &rows)
}
