//! `dropsafe delete`: future boots no longer get it; who still has it is told.

use clap::Args;

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::list::scope;
use super::table::Table;
use super::which::{Which, find};
use super::{Context, connect};

/// Delete a secret
///
/// Boots from now on do not get it. What already runs keeps it: those boots are
/// listed. Asks first, on a terminal.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Delete {
    #[command(flatten)]
    pub which: Which,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Delete this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Delete {
    /// Runs it.
    pub async fn run(self, context: &mut Context) -> Outcome {
        let mut client = connect::client(context)?;
        let secret = find(&mut client, &self.which.name, &self.which.scope).await?;
        let what = format!("{}, exported as {}, {}", secret.name, secret.env, scope(&secret));
        if !self.yes && context.terminal.can_ask() && !context.terminal.confirm(&format!("Delete {what}?"))? {
            return Err(Failure::refused("nothing is deleted"));
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
                let mut table = Table::new(["BOOT", "MEMBER", "HOST", "BOOTED", "VERSION"]);
                let row = |holder: crate::wire::HolderView| {
                    [holder.boot, holder.member, holder.host.unwrap_or_default(), holder.at, holder.version]
                };
                table.rows(&mut context.output, &deleted.held_by.into_iter().map(row).collect::<Vec<_>>())?;
            }
        }
        Ok(Exit::Success)
    }
}
