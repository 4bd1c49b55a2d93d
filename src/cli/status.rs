//! `dropsafe status`: the state of the store, and the caller's identity.

use clap::Args;

use super::context::CliContext;
use super::error::CommandResult;
use super::{connect, table};
use crate::process::Exit;

/// Show the state of the store and your identity
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl StatusArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        let status = client.status().await?;
        if self.json {
            context.output.json(&status)?;
            return Ok(Exit::Success);
        }
        let identity = match (&status.role, &status.organization) {
            (Some(role), Some(organization)) => format!("{} ({role} of {organization})", status.identity),
            // The operator, who belongs to no organization.
            _ => status.identity,
        };
        let lock =
            if status.locked { "locked: boots are refused, deposits are accepted" } else { "unlocked" };
        let backend =
            if status.healthy { status.backend } else { format!("{}, not healthy", status.backend) };
        let mut fields = vec![
            ("store", status.store),
            // The client's and not what was typed: it shows which store the environment or the login selected.
            ("address", client.address().to_owned()),
            ("identity", identity),
            ("state", lock.to_owned()),
            ("deposit key", format!("{} (generation {})", status.fingerprint, status.generation)),
            ("byte store", format!("{backend}, revision {}", status.revision)),
            ("version", status.version),
            ("started", status.started_at),
        ];
        if status.reencrypt.running {
            // The server counts in the background, and may have only begun.
            let total = status.reencrypt.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
            fields.push(("re-encryption", format!("{} of {total}", status.reencrypt.done)));
        }
        table::print_fields(&mut context.output, &fields)?;
        Ok(Exit::Success)
    }
}
