//! `dropsafe status`: the state of the store, and the caller's identity.

use clap::Args;

use super::context::CliContext;
use super::error::CommandResult;
use super::{connect, re_encrypt, table};
use crate::domain::pin::Pin;
use crate::process::Exit;
use crate::wire::{StateCheckView, UnusableSecretsView};

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
        connect::follow_pins(context, &status)?;
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
            ("store", status.store.to_string()),
            // The client's and not what was typed: it shows which store the environment or the login selected.
            ("address", client.address().to_owned()),
            ("identity", identity),
            ("state", lock.to_owned()),
            ("deposit key", format!("{} (generation {})", status.fingerprint, status.generation)),
            ("byte store", format!("{backend}, revision {}", status.revision)),
            ("version", status.version),
            ("started", status.started_at.to_string()),
        ];
        fields.extend(join_pins(&status.pins).map(|pins| ("TLS pins", pins)));
        if let Some(check) = &status.state_check {
            let StateCheckView { started_at, entries, rows, ok, faults, .. } = check;
            let outcome = match (ok, check.ended_at) {
                (false, _) => {
                    format!("FAILED at {started_at}: {faults} rows are not what the audit log says")
                }
                (true, None) => format!("running since {started_at}"),
                (true, Some(_)) => format!("ok at {started_at}: {entries} audit entries, {rows} rows"),
            };
            fields.push(("verification", outcome));
        }
        if status.reencrypt.running {
            // The server counts in the background, and may have only begun.
            let total = status.reencrypt.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
            fields.push(("re-encryption", format!("{} of {total}", status.reencrypt.done)));
        }
        let unopened = status.reencrypt.left + status.reencrypt.damaged;
        if unopened > 0 && !status.reencrypt.running {
            let kept = format!(
                "generations kept for secrets that do not open: {}",
                re_encrypt::list(&status.reencrypt.kept)
            );
            fields.push(("re-encryption", kept));
        }
        if status.unusable.count > 0 {
            fields.push(("do not open", summarize_unusable(&status.unusable)));
        }
        table::print_fields(&mut context.output, &fields)?;
        Ok(Exit::Success)
    }
}

/// The pins as an address takes them. `None` from an older server.
fn join_pins(pins: &[Pin]) -> Option<String> {
    let pins: Vec<String> = pins.iter().map(ToString::to_string).collect();
    (!pins.is_empty()).then(|| pins.join(","))
}

/// How many secrets do not open, and which: the operator sees no names.
pub(crate) fn summarize_unusable(unusable: &UnusableSecretsView) -> String {
    let UnusableSecretsView { count, secrets } = unusable;
    let plural = if *count == 1 { "" } else { "s" };
    let names: Vec<String> = secrets.iter().map(|it| format!("{} ({})", it.name, it.scope)).collect();
    match names.is_empty() {
        true => format!("{count} secret{plural}: `dropsafe status` names them to those who may see them"),
        false => format!("{count} secret{plural}: {}: deposit again or delete", names.join(", ")),
    }
}
