//! `dropsafe delete`: future boots no longer get it; who still has it is told.

use clap::Args;

use super::error::{CliError, CommandResult};
use super::list::scope;
use super::selector::{SelectorArgs, find};
use super::table::TextTable;
use super::{CliContext, connect};
use crate::process::Exit;

/// Delete a secret
///
/// Boots from now on do not get it. What already runs keeps it: those boots are
/// listed. Asks first, on a terminal.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) which: SelectorArgs,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Delete this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl DeleteArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let secret = find(&mut client, &self.which.name, &self.which.scope).await?;
        let what = format!("{}, exported as {}, {}", secret.name, secret.env, scope(&secret));
        if !self.yes && context.terminal.can_ask() && !context.terminal.confirm(&format!("Delete {what}?"))? {
            return Err(CliError::refused("nothing is deleted"));
        }
        // What was looked at is what goes: a value that came in between stays.
        let version = self.if_version.as_deref().unwrap_or(&secret.version);
        let deleted = client.delete_secret(&secret.id, Some(version)).await?;
        if self.json {
            context.output.json(&deleted)?;
            return Ok(Exit::Success);
        }
        context.output.line(format!("deleted {what}"))?;
        match deleted.held_by.len() {
            0 => context.output.line("no boot that is still running is known to hold it")?,
            count => {
                context.output.line(format!("boots that still hold it, until they end: {count}"))?;
                let mut table = TextTable::new(["BOOT", "MEMBER", "HOST", "BOOTED", "VERSION"]);
                let row = |holder: crate::wire::HolderView| {
                    [holder.boot, holder.member, holder.host.unwrap_or_default(), holder.at, holder.version]
                };
                table.rows(&mut context.output, &deleted.held_by.into_iter().map(row).collect::<Vec<_>>())?;
            }
        }
        Ok(Exit::Success)
    }
}
