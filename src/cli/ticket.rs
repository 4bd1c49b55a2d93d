//! `dropsafe ticket`: the credentials that machines boot with.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::{CliError, CommandResult, invalid_name};
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::{connect, duration};
use crate::client::Client;
use crate::domain::cidr::Cidr;
use crate::domain::name::PluginName;
use crate::process::Exit;
use crate::wire::{CreateTicketRequest, TicketView};

/// Create, list and revoke boot tickets
#[derive(Debug, Subcommand)]
pub(crate) enum TicketCommand {
    New(TicketCreateArgs),
    /// List the tickets
    List(JsonArgs),
    Revoke(TicketRevokeArgs),
}

/// Create a boot ticket and print it; it is shown only once
///
/// The ticket contains the store's address, the pin of its TLS key and a
/// credential. Give it to the agent as DROPSAFE_TICKET, in a file, or as a systemd
/// credential. It is the only text on standard output.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TicketCreateArgs {
    /// Member whose secrets the ticket boots with (default: you)
    #[arg(long = "for", value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Time until it expires, such as 90m, 24h or 7d (default: never expires)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,
    /// Maximum number of boots (default: unlimited)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) uses: Option<u64>,
    /// Only secrets of this plugin and secrets without a plugin; may be repeated
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) plugin: Vec<String>,
    /// Only boots from this network, as ADDRESS/BITS; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub(crate) source: Vec<String>,
    /// Label to display
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Revoke a ticket: boots with it are denied from now on
#[derive(Debug, Args)]
pub(crate) struct TicketRevokeArgs {
    /// Id of the ticket (tkt_…)
    #[arg(value_name = "TICKET_ID")]
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl TicketCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::New(args) => args.run(context).await,
            Self::List(JsonArgs { json }) => {
                let mut client = connect::open_client(context)?;
                let headings = ["ID", "MEMBER", "LABEL", "STATE", "USED", "EXPIRES", "PLUGINS", "SOURCES"];
                PagedList { json, limit: None, headings, row, empty: "no tickets" }
                    .print(context, &mut client, Client::tickets())
                    .await
            }
            Self::Revoke(TicketRevokeArgs { id, json }) => {
                connect::open_client(context)?.revoke_ticket(&id).await?;
                let document = serde_json::json!({ "id": id, "revoked": true });
                context.output.json_or_line(json, &document, || format!("revoked {id}"))?;
                Ok(Exit::Success)
            }
        }
    }
}

impl TicketCreateArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let json = self.json;
        let request = self.request()?;
        let created = connect::open_client(context)?.create_ticket(&request).await?;
        if json {
            context.output.json(&created)?;
            return Ok(Exit::Success);
        }
        context.output.credential(&created.ticket, "the ticket")?;
        let view = &created.view;
        let expiry =
            view.expires_at.as_deref().map_or("never expires".to_owned(), |at| format!("expires {at}"));
        let uses = view.uses.map_or("unlimited".to_owned(), |uses| uses.to_string());
        // With the id, which nothing in the ticket itself shows.
        context.output.note(format!(
            "acts for {}; {expiry}; boots: {uses}; to revoke it: dropsafe ticket revoke {}",
            view.member, view.id
        ));
        Ok(Exit::Success)
    }

    fn request(self) -> Result<CreateTicketRequest, CliError> {
        // The store checks these too. Here the error names the flag.
        for plugin in &self.plugin {
            PluginName::parse(plugin).map_err(invalid_name("--plugin"))?;
        }
        for source in &self.source {
            Cidr::parse(source)
                .map_err(|error| CliError::failed(error).context("--source").optional_hint(error.hint()))?;
        }
        Ok(CreateTicketRequest {
            member: self.member,
            // A duration and not a date: the store's clock decides, and this machine's may be wrong.
            ttl_seconds: self.ttl.map(|ttl| ttl.as_secs()),
            uses: self.uses,
            // An empty list would mean: no plugin at all.
            plugins: (!self.plugin.is_empty()).then_some(self.plugin),
            sources: self.source,
            label: self.label,
        })
    }
}

fn row(ticket: TicketView) -> [String; 8] {
    let used = match (ticket.used, ticket.uses) {
        (used, Some(uses)) => format!("{} of {uses}", used.unwrap_or(0)),
        // The store counts only where there is a limit.
        _ => String::new(),
    };
    [
        ticket.id,
        ticket.member,
        ticket.label.unwrap_or_default(),
        if ticket.usable { "active" } else { "inactive" }.to_owned(),
        used,
        ticket.expires_at.unwrap_or_else(|| "never".to_owned()),
        ticket.plugins.map(|plugins| plugins.join(",")).unwrap_or_default(),
        ticket.sources.join(","),
    ]
}
