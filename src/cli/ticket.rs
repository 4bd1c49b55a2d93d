//! `dropsafe ticket`: what machines boot with.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::listing::Shown;
use super::set::named;
use super::{Context, connect, duration, listing};
use crate::client::Client;
use crate::domain::cidr::Cidr;
use crate::domain::name::PluginName;
use crate::wire::{NewTicket, TicketView};

/// Make, list and revoke boot tickets
#[derive(Debug, Subcommand)]
pub enum Ticket {
    New(New),
    List(List),
    Revoke(Revoke),
}

/// Make a boot ticket, and print it alone on standard output; it is shown this once
///
/// The ticket carries the store's address, the pin of its key and a credential.
/// Give it to the agent as DROPSAFE_TICKET, in a file, or as a systemd
/// credential.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct New {
    /// The member it acts for; you unless said
    #[arg(long = "for", value_name = "MEMBER")]
    pub member: Option<String>,
    /// How long it is good for, such as 90m, 24h or 7d; without end unless said
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub ttl: Option<Duration>,
    /// How many boots it is good for; any number unless said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub uses: Option<u64>,
    /// Only secrets of this plugin and of none; may be repeated
    #[arg(long, value_name = "PLUGIN")]
    pub plugin: Vec<String>,
    /// Only from this network, as ADDRESS/BITS; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub source: Vec<String>,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List the tickets
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Revoke a ticket: boots with it are denied from now on
#[derive(Debug, Args)]
pub struct Revoke {
    /// The ticket's id (tkt_…)
    #[arg(value_name = "TICKET_ID")]
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Ticket {
    /// Runs it.
    pub async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::New(new) => new.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
        }
    }
}

impl New {
    async fn run(self, context: &mut Context) -> Outcome {
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

    fn wanted(self) -> Result<NewTicket, Failure> {
        for plugin in &self.plugin {
            named(PluginName::parse(plugin), "--plugin")?;
        }
        for source in &self.source {
            Cidr::parse(source)
                .map_err(|error| Failure::refused(error).during("--source").maybe_hint(error.hint()))?;
        }
        Ok(NewTicket {
            member: self.member,
            ttl_seconds: self.ttl.map(|ttl| ttl.as_secs()),
            uses: self.uses,
            plugins: (!self.plugin.is_empty()).then_some(self.plugin),
            sources: self.source,
            label: self.label,
        })
    }
}

impl List {
    async fn run(self, context: &mut Context) -> Outcome {
        let mut client = connect::client(context)?;
        let pages = Client::tickets();
        let shown = Shown {
            json: self.json,
            limit: None,
            headings: ["ID", "FOR", "LABEL", "STATE", "USED", "EXPIRES", "PLUGINS", "SOURCES"],
            row,
            empty: "no tickets",
        };
        listing::print(context, &mut client, pages, shown).await
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

impl Revoke {
    async fn run(self, context: &mut Context) -> Outcome {
        connect::client(context)?.revoke_ticket(&self.id).await?;
        if self.json {
            context.output.json(&serde_json::json!({ "id": self.id, "revoked": true }))?;
        } else {
            context.output.line(format!("revoked {}", self.id))?;
        }
        Ok(Exit::Success)
    }
}
