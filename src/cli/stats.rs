//! `dropsafe stats`: how many secrets there are of each kind.

use std::collections::BTreeMap;

use clap::Args;

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::status::summarize_unusable;
use super::table::TextTable;
use super::{connect, table};
use crate::process::Exit;
use crate::wire::OutdatedSecretView;

/// Count the secrets that you can see, and the running boots that hold outdated ones
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
            ("running boots", counts.holders.running.to_string()),
            ("outdated boots", counts.holders.outdated.to_string()),
        ];
        table::print_fields(&mut context.output, &fields)?;
        print_counts(context, "PLUGIN", counts.by_plugin, counts.without_plugin)?;
        print_counts(context, "CATEGORY", counts.by_category, counts.without_category)?;
        if counts.unusable.count > 0 {
            context.output.line(format!("do not open: {}", summarize_unusable(&counts.unusable)))?;
        }
        print_outdated(context, counts.holders.secrets)?;
        Ok(Exit::Success)
    }
}

/// The secrets whose old values are still in use.
fn print_outdated(context: &mut CliContext, secrets: Vec<OutdatedSecretView>) -> Result<(), CliError> {
    if secrets.is_empty() {
        return Ok(());
    }
    let row = |OutdatedSecretView { secret, outdated }: OutdatedSecretView| {
        let state = if secret.deleted { "deleted" } else { "replaced" }.to_owned();
        [secret.env.to_string(), secret.id.to_string(), secret.scope.to_string(), state, outdated.to_string()]
    };
    TextTable::new(["OUTDATED", "ID", "SCOPE", "VALUE", "BOOTS"])
        .rows(&mut context.output, secrets.into_iter().map(row))
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
