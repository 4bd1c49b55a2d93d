//! `dropsafe status`.

use clap::Args;

use super::error::CommandResult;
use super::{CliContext, connect, table};
use crate::process::Exit;

/// Show the state of the store, and who you are to it
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl StatusArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let status = client.status().await?;
        if self.json {
            context.output.json(&status)?;
            return Ok(Exit::Success);
        }
        let who = match (&status.role, &status.organization) {
            (Some(role), Some(organization)) => format!("{} ({role} of {organization})", status.identity),
            _ => status.identity,
        };
        let lock = if status.locked { "locked: boots are refused, deposits are taken" } else { "unlocked" };
        let backend =
            if status.healthy { status.backend } else { format!("{}, not healthy", status.backend) };
        let mut fields = vec![
            ("store", status.store),
            ("address", client.address().to_owned()),
            ("you", who),
            ("state", lock.to_owned()),
            ("deposit key", format!("{} (generation {})", status.fingerprint, status.generation)),
            ("byte store", format!("{backend}, revision {}", status.revision)),
            ("version", status.version),
            ("serving since", status.started_at),
        ];
        if status.reencrypt.running {
            let total = status.reencrypt.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
            fields.push(("re-encryption", format!("{} of {total}", status.reencrypt.done)));
        }
        table::fields(&mut context.output, &fields)?;
        Ok(Exit::Success)
    }
}
