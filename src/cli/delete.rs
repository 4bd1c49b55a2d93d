//! `dropsafe delete`: future boots no longer receive the secret; the boots that still hold it are listed.

use clap::Args;

use super::connect;
use super::context::CliContext;
use super::error::CommandResult;
use super::list::format_scope;
use super::selector::{SelectorArgs, find};
use super::table::{TextTable, cell};
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
        let version = self.if_version.unwrap_or_else(|| secret.version.to_string());
        let deleted = client.delete_secret(secret.id, Some(&version)).await?;
        if self.json {
            context.output.json(&deleted)?;
            return Ok(Exit::Success);
        }
        context.output.line(format!("deleted {what}"))?;
        let holders = deleted.holders;
        if holders.incomplete {
            context.output.note("boots of an older version are still being counted");
        }
        match holders.current + holders.outdated {
            // Said explicitly: it is the answer to "is the old value still in use anywhere?".
            0 => context.output.line("no running boot holds it")?,
            count => {
                context.output.line(format!("running boots that still hold it: {count}"))?;
                let row = |holder: HolderView| {
                    let HolderView { boot, member, host, at, version, .. } = holder;
                    [boot.to_string(), member.to_string(), cell(host), at.to_string(), version.to_string()]
                };
                let running = deleted.held_by.into_iter().filter(|holder| holder.state.is_running());
                TextTable::new(["BOOT", "MEMBER", "HOST", "BOOTED", "VERSION"])
                    .rows(&mut context.output, running.map(row))?;
            }
        }
        if holders.lapsed > 0 {
            context.output.note(format!(
                "boots whose lifetime has passed without a report of their end: {}",
                holders.lapsed
            ));
        }
        Ok(Exit::Success)
    }
}
