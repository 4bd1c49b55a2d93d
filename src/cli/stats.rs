//! `dropsafe stats`: how many secrets there are of each kind.

use std::collections::BTreeMap;

use clap::Args;

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::table::TextTable;
use super::{connect, table};
use crate::process::Exit;

/// Count the secrets that you can see
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl StatsArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let counts = connect::open_client(context)?.statistics().await?;
        if self.json {
            context.output.json(&counts)?;
            return Ok(Exit::Success);
        }
        let fields = [
            ("secrets", counts.total.to_string()),
            ("encrypted", counts.encrypted.to_string()),
            ("plain", counts.plain.to_string()),
            ("shared", counts.shared.to_string()),
            ("private", counts.private.to_string()),
            ("auto-install on", counts.auto_install.to_string()),
            ("auto-install off", counts.not_auto_install.to_string()),
            ("files", counts.files.to_string()),
        ];
        table::print_fields(&mut context.output, &fields)?;
        print_counts(context, "PLUGIN", counts.by_plugin, counts.without_plugin)?;
        print_counts(context, "CATEGORY", counts.by_category, counts.without_category)?;
        Ok(Exit::Success)
    }
}

fn print_counts(
    context: &mut CliContext,
    heading: &'static str,
    by_name: BTreeMap<String, u64>,
    without: u64,
) -> Result<(), CliError> {
    // A table of nothing but "(none)" would repeat the total.
    if by_name.is_empty() {
        return Ok(());
    }
    let named = by_name.into_iter().map(|(name, count)| [name, count.to_string()]);
    // In parentheses, which the name of no plugin or category can contain.
    let rest = (without > 0).then(|| ["(none)".to_owned(), without.to_string()]);
    TextTable::new([heading, "SECRETS"]).rows(&mut context.output, named.chain(rest))
}
