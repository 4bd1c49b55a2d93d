//! `dropsafe ticket`: what machines boot with.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::error::{CliError, CommandResult};
use super::paged_list::PagedList;
use super::set::named;
use super::{CliContext, connect, duration, paged_list};
use crate::client::Client;
use crate::domain::cidr::Cidr;
use crate::domain::name::PluginName;
use crate::process::Exit;
use crate::wire::{CreateTicketRequest, TicketView};

/// Make, list and revoke boot tickets
#[derive(Debug, Subcommand)]
pub(crate) enum TicketCommand {
    New(TicketCreateArgs),
    List(TicketListArgs),
    Revoke(TicketRevokeArgs),
}

/// Make a boot ticket, and print it alone on standard output; it is shown this once
///
/// The ticket carries the store's address, the pin of its key and a credential.
/// Give it to the agent as DROPSAFE_TICKET, in a file, or as a systemd
/// credential.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TicketCreateArgs {
    /// The member it acts for; you unless said
    #[arg(long = "for", value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// How long it is good for, such as 90m, 24h or 7d; without end unless said
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,
    /// How many boots it is good for; any number unless said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) uses: Option<u64>,
    /// Only secrets of this plugin and of none; may be repeated
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) plugin: Vec<String>,
    /// Only from this network, as ADDRESS/BITS; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub(crate) source: Vec<String>,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the tickets
#[derive(Debug, Args)]
pub(crate) struct TicketListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Revoke a ticket: boots with it are denied from now on
#[derive(Debug, Args)]
pub(crate) struct TicketRevokeArgs {
    /// The ticket's id (tkt_…)
    #[arg(value_name = "TICKET_ID")]
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl TicketCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::New(new) => new.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
        }
    }
}

impl TicketCreateArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let json = self.json;
        let new = self.wanted()?;
        let made = connect::client(context)?.create_ticket(&new).await?;
        if json {
            context.output.json(&made)?;
            return Ok(Exit::Success);
        }
        context.output.only_copy(&made.ticket, "the ticket")?;
        let view = &made.view;
        let until =
            view.expires_at.as_deref().map_or("until it is revoked".to_owned(), |at| format!("until {at}"));
        let uses = view.uses.map_or("any number of boots".to_owned(), |uses| format!("boots: {uses}"));
        context.output.note(format!(
            "acts for {} {until}; {uses}; to revoke it: dropsafe ticket revoke {}",
            view.member, view.id
        ));
        Ok(Exit::Success)
    }

    fn wanted(self) -> Result<CreateTicketRequest, CliError> {
        for plugin in &self.plugin {
            named(PluginName::parse(plugin), "--plugin")?;
        }
        for source in &self.source {
            Cidr::parse(source)
                .map_err(|error| CliError::refused(error).during("--source").maybe_hint(error.hint()))?;
        }
        Ok(CreateTicketRequest {
            member: self.member,
            ttl_seconds: self.ttl.map(|ttl| ttl.as_secs()),
            uses: self.uses,
            plugins: (!self.plugin.is_empty()).then_some(self.plugin),
            sources: self.source,
            label: self.label,
        })
    }
}

impl TicketListArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let pages = Client::tickets();
        let shown = PagedList {
            json: self.json,
            limit: None,
            headings: ["ID", "FOR", "LABEL", "STATE", "USED", "EXPIRES", "PLUGINS", "SOURCES"],
            row,
            empty: "no tickets",
        };
        paged_list::print(context, &mut client, pages, shown).await
    }
}

fn row(ticket: TicketView) -> [String; 8] {
    let used = match (ticket.used, ticket.uses) {
        (used, Some(uses)) => format!("{} of {uses}", used.unwrap_or(0)),
        _ => String::new(),
    };
    [
        ticket.id,
        ticket.member,
        ticket.label.unwrap_or_default(),
        if ticket.usable { "usable" } else { "over" }.to_owned(),
        used,
        ticket.expires_at.unwrap_or_else(|| "never".to_owned()),
        ticket.plugins.map(|plugins| plugins.join(",")).unwrap_or_default(),
        ticket.sources.join(","),
    ]
}

impl TicketRevokeArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        connect::client(context)?.revoke_ticket(&self.id).await?;
        if self.json {
            context.output.json(&serde_json::json!({ "id": self.id, "revoked": true }))?;
        } else {
            context.output.line(format!("revoked {}", self.id))?;
        }
        Ok(Exit::Success)
    }
}
