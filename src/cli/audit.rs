//! `dropsafe audit`: the audit log, newest first, its verification and its checkpoints.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::checkpoint::{self, AuditCheckpointArgs};
use super::connect;
use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::TextTable;
use crate::client::{AuditListFilter, Client};
use crate::process::Exit;
use crate::wire::{AuditEntryView, ChainView, ReleasedVersionView, RowFaultsView};

/// Show, verify or checkpoint the audit log
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// Only entries whose action, actor, target or released names contain TEXT
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only entries of an action, such as secret.create, or of a kind, such as secret
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only entries of this actor
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only entries about this secret, and boots that received it: its exported name, name or id
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
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
    Verify(AuditVerifyArgs),
    Checkpoint(AuditCheckpointArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    /// Also check that every row of the store is what the log says (the operator)
    #[arg(long)]
    pub(crate) state: bool,
    /// Check that the log continues the checkpoint in FILE
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Compare FILE with this newer checkpoint instead of the store; it must have been made with
    /// `audit checkpoint --since FILE`
    #[arg(long, value_name = "NEWER", requires = "checkpoint", requires = "key")]
    pub(crate) with: Option<PathBuf>,
    /// The store's public checkpoint key: the `vkey` line of a checkpoint that you trust
    #[arg(long, value_name = "VKEY", requires = "checkpoint")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

impl AuditArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self.command {
            Some(AuditCommand::Verify(args)) => return args.run(context).await,
            Some(AuditCommand::Checkpoint(args)) => return args.run(context).await,
            None => {}
        }
        let mut client = connect::open_client(context)?;
        // The store filters: the log can be far larger than what a filter leaves.
        let filter = AuditListFilter {
            q: self.text,
            action: self.action,
            actor: self.actor,
            secret: self.secret,
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
    let mut details: Vec<String> = entry
        .details
        .iter()
        .map(|(key, text)| match &entry.author {
            // People know names. The id tells two members of the same name apart.
            Some(author) if key == "author" => format!("author={author} ({text})"),
            _ => format!("{key}={text}"),
        })
        .collect();
    details.extend(entry.released.iter().flatten().map(|released| {
        let ReleasedVersionView { env, scope, version, .. } = released;
        format!("released={env}@{version} ({scope})")
    }));
    // The operator and the server itself have no name beside their kind.
    let actor = if entry.actor_kind == entry.actor {
        entry.actor
    } else {
        format!("{} {}", entry.actor_kind, entry.actor)
    };
    [entry.at, actor, entry.action, entry.outcome, target, details.join(" ")]
}

impl AuditVerifyArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        if let Some(old) = &self.checkpoint {
            let (with, key) = (self.with.as_deref(), self.key.as_deref());
            return checkpoint::verify(context, old, with, key, self.json.json).await;
        }
        let verification = connect::open_client(context)?.verify_audit(self.state).await?;
        if self.json.json {
            context.output.json(&verification)?;
        } else {
            let row = |chain: &ChainView| {
                let fault = chain.fault.clone().unwrap_or_default();
                [chain.id.clone(), chain.length.to_string(), chain.state.clone(), fault]
            };
            TextTable::new(["CHAIN", "ENTRIES", "STATE", "FAULT"])
                .rows(&mut context.output, verification.chains.iter().map(row))?;
        }
        let faults = verification.state.iter().flat_map(|state| &state.faults);
        let faults = faults.map(|RowFaultsView { table, fault, rows }| format!("{rows} {fault} in {table}"));
        let faults = faults.collect::<Vec<_>>().join(", ");
        // After the output: the report is needed most when it is bad.
        if !faults.is_empty() {
            return Err(CliError::failed(format_args!(
                "rows of the store are not what the log says: {faults}"
            ))
            .hint(
                "they were deleted, replaced or inserted in the byte store; keep a copy of it as evidence",
            ));
        }
        if !verification.ok {
            return Err(CliError::failed("the audit log is damaged").hint(
                "entries were changed, removed or cut off in the byte store; keep a copy of it as evidence",
            ));
        }
        if !self.json.json {
            let rows = verification.state.map_or_else(String::new, |state| format!(", {} rows", state.rows));
            context.output.line(format!("audit log verified: {} entries{rows}", verification.entries))?;
        }
        Ok(Exit::Success)
    }
}
