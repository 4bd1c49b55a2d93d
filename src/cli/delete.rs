//! `dropsafe delete`: future boots no longer receive the secret; the boots that still hold it are listed.

use clap::Args;

use super::connect;
use super::context::CliContext;
use super::error::CommandResult;
use super::list::format_scope;
use super::selector::{SelectorArgs, find};
use super::table::TextTable;
use crate::process::Exit;
use crate::wire::HolderView;

/// Delete a secret
///
/// Future boots do not receive it. Running workloads keep it; their boots are
/// listed. On a terminal, asks for confirmation first.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    /// Fail if the current version is not VERSION
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl DeleteArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        let secret = find(&mut client, &self.selector.name, &self.selector.scope).await?;
        let what = format!("{}, exported as {}, {}", secret.name, secret.env, format_scope(&secret));
        context.confirm(self.yes, &format!("Delete {what}?"), "nothing is deleted")?;
        // Always a precondition: a value that somebody stored while the question was open must survive.
        let version = self.if_version.as_deref().unwrap_or(&secret.version);
        let deleted = client.delete_secret(&secret.id, Some(version)).await?;
        if self.json {
            context.output.json(&deleted)?;
            return Ok(Exit::Success);
        }
        context.output.line(format!("deleted {what}"))?;
        match deleted.held_by.len() {
            // Said explicitly: it is the answer to "is the old value still in use anywhere?".
            0 => context.output.line("no active boot holds it")?,
            count => {
                context.output.line(format!("active boots that still hold it: {count}"))?;
                let row = |holder: HolderView| {
                    [holder.boot, holder.member, holder.host.unwrap_or_default(), holder.at, holder.version]
                };
                TextTable::new(["BOOT", "MEMBER", "HOST", "BOOTED", "VERSION"])
                    .rows(&mut context.output, deleted.held_by.into_iter().map(row))?;
            }
        }
        Ok(Exit::Success)
    }
}
