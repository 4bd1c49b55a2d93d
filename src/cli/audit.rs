//! `dropsafe audit`: the audit log, newest first, and its verification.

use std::io::Write as _;

use clap::{Args, Subcommand};

use super::connect;
use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::TextTable;
use crate::client::{AuditListFilter, Client};
use crate::process::Exit;
use crate::wire::{AuditEntryView, ChainView};

/// Show the audit log, newest first, or verify it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// Only entries whose action, actor or target contains TEXT
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only entries of an action, such as secret.create, or of a kind, such as secret
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only entries of this actor
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only entries from TIME on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only entries before TIME (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Print all entries as JSON lines
    #[arg(long, conflicts_with_all = ["limit", "json"])]
    pub(crate) export: bool,
    /// Print at most N entries
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no entry was changed, removed or cut off
    Verify(JsonArgs),
}

impl AuditArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        if let Some(AuditCommand::Verify(JsonArgs { json })) = self.command {
            return verify(context, json).await;
        }
        let mut client = connect::open_client(context)?;
        // The store filters: the log can be far larger than what a filter leaves.
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
        let headings = ["TIME", "ACTOR", "ACTION", "OUTCOME", "TARGET", "DETAILS"];
        PagedList { json: self.json, limit: self.limit, headings, row, empty: "no entries" }
            .print(context, &mut client, Client::audit(&filter))
            .await
    }
}

async fn export(context: &mut CliContext, client: &mut Client, filter: &AuditListFilter) -> CommandResult {
    context.output.flush()?;
    // Past the buffer: an entry is written before the next one arrives, so that a log shipper is never behind.
    let mut sink = |piece: &[u8]| {
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
    // The operator and the server itself have no name beside their kind.
    let actor = if entry.actor_kind == entry.actor {
        entry.actor
    } else {
        format!("{} {}", entry.actor_kind, entry.actor)
    };
    [entry.at, actor, entry.action, entry.outcome, target, details.join(" ")]
}

async fn verify(context: &mut CliContext, json: bool) -> CommandResult {
    let verification = connect::open_client(context)?.verify_audit().await?;
    if json {
        context.output.json(&verification)?;
    } else {
        let row = |chain: &ChainView| {
            let fault = chain.fault.clone().unwrap_or_default();
            [chain.id.clone(), chain.length.to_string(), chain.state.clone(), fault]
        };
        TextTable::new(["CHAIN", "ENTRIES", "STATE", "FAULT"])
            .rows(&mut context.output, verification.chains.iter().map(row))?;
    }
    // After the output: the report is needed most when it is bad.
    if !verification.ok {
        return Err(CliError::failed("the audit log is damaged").hint(
            "entries were changed, removed or cut off in the byte store; keep a copy of it as evidence",
        ));
    }
    if !json {
        context.output.line(format!("audit log verified: {} entries", verification.entries))?;
    }
    Ok(Exit::Success)
}
