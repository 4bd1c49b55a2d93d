//! `dropsafe audit`: the trail, newest first, and the proof that it is whole.

use clap::{Args, Subcommand};

use super::error::{CliError, CommandResult};
use super::paged_list::PagedList;
use super::table::TextTable;
use super::{CliContext, connect, paged_list};
use crate::client::{AuditListFilter, Client};
use crate::process::Exit;
use crate::wire::{AuditEntryView, ChainView};

/// Show the audit trail, newest first, or verify it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// Only entries with this in their action, actor or target
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only this action, such as secret.create, or this kind, such as secret
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only by this actor
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only from this time on, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// All of them as JSON lines, one entry a line
    #[arg(long, conflicts_with_all = ["limit", "json"])]
    pub(crate) export: bool,
    /// At most this many entries
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What else than to show it.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    Verify(AuditVerifyArgs),
}

/// Check that no entry was changed, removed or cut off
#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl AuditArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        if let Some(AuditCommand::Verify(verify)) = self.command {
            return verify.run(context).await;
        }
        let mut client = connect::client(context)?;
        let filter = AuditListFilter {
            q: self.text,
            action: self.action,
            actor: self.actor,
            since: self.since,
            until: self.until,
        };
        if self.export {
            return export(context, &mut client, &filter).await;
        }
        let headings = ["AT", "ACTOR", "ACTION", "OUTCOME", "TARGET", "DETAILS"];
        let shown = PagedList { json: self.json, limit: self.limit, headings, row, empty: "no entries" };
        paged_list::print(context, &mut client, Client::audit(&filter), shown).await
    }
}

/// Straight through: an entry is on its way out before the next has come.
async fn export(context: &mut CliContext, client: &mut Client, filter: &AuditListFilter) -> CommandResult {
    context.output.flush()?;
    let mut sink = |piece: &[u8]| {
        use std::io::Write as _;
        let mut out = std::io::stdout().lock();
        out.write_all(piece).and_then(|()| out.flush())
    };
    client.export_audit(filter, &mut sink).await?;
    Ok(Exit::Success)
}

fn row(entry: AuditEntryView) -> [String; 6] {
    let target = match (entry.target_kind, entry.target.or(entry.target_id)) {
        (Some(kind), Some(name)) => format!("{kind} {name}"),
        (kind, name) => kind.or(name).unwrap_or_default(),
    };
    let details: Vec<String> = entry.details.iter().map(|(key, text)| format!("{key}={text}")).collect();
    let actor = if entry.actor_kind == entry.actor {
        entry.actor
    } else {
        format!("{} {}", entry.actor_kind, entry.actor)
    };
    [entry.at, actor, entry.action, entry.outcome, target, details.join(" ")]
}

impl AuditVerifyArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let verification = connect::client(context)?.verify_audit().await?;
        if self.json {
            context.output.json(&verification)?;
        } else {
            let mut table = TextTable::new(["CHAIN", "ENTRIES", "STATE", "FAULT"]);
            let row = |chain: &ChainView| {
                let fault = chain.fault.clone().unwrap_or_default();
                [chain.id.clone(), chain.length.to_string(), chain.state.clone(), fault]
            };
            table.rows(&mut context.output, &verification.chains.iter().map(row).collect::<Vec<_>>())?;
        }
        if !verification.ok {
            return Err(CliError::refused("the audit trail is not whole").hint(
                "entries were changed, removed or cut off in the byte store; keep a copy of it as evidence",
            ));
        }
        if !self.json {
            context.output.line(format!("the audit trail is whole: {} entries", verification.entries))?;
        }
        Ok(Exit::Success)
    }
}
