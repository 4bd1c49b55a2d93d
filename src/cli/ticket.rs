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
    #[command(flatten)]
    pub(crate) grant: GrantArgs,
    /// Time until it expires, such as 90m, 24h or 7d, or none
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_ttl)]
    pub(crate) ttl: TicketLimit<Duration>,
    /// Maximum number of boots, or unlimited
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_uses)]
    pub(crate) uses: TicketLimit<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whom a ticket or another identity acts for, and the limits that all kinds have.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Member whose secrets the machine boots with (default: you)
    #[arg(long = "for", value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Time after which a boot with it counts as ended (default: until its end
    /// is reported)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) lifetime: Option<Duration>,
    /// Only secrets of this plugin and secrets without a plugin; may be repeated
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) plugin: Vec<String>,
    /// Only boots from this network, as ADDRESS/BITS; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub(crate) source: Vec<String>,
    /// Label to display
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
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

/// A limit of a ticket, or no limit, which somebody has to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TicketLimit<T>(pub(crate) Option<T>);

pub(crate) fn parse_ttl(text: &str) -> Result<TicketLimit<Duration>, &'static str> {
    if text == "none" {
        return Ok(TicketLimit(None));
    }
    let expected = "expected a duration of at least a second, such as 90m, 24h or 7d, or none";
    duration::parse(text).map(|ttl| TicketLimit(Some(ttl))).map_err(|_| expected)
}

pub(crate) fn parse_uses(text: &str) -> Result<TicketLimit<u64>, &'static str> {
    if text == "unlimited" {
        return Ok(TicketLimit(None));
    }
    let uses = text.parse().ok().filter(|uses| (1..=1_000_000_000).contains(uses));
    uses.map(|uses| TicketLimit(Some(uses))).ok_or("expected a number from 1 to 1000000000, or unlimited")
}

impl TicketCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::New(args) => args.run(context).await,
            Self::List(JsonArgs { json }) => {
                let mut client = connect::open_client(context)?;
                let headings =
                    ["ID", "MEMBER", "LABEL", "STATE", "USED", "EXPIRES", "LIFETIME", "PLUGINS", "SOURCES"];
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
        let request = self.grant.request(self.ttl, self.uses)?;
        let created = connect::open_client(context)?.create_ticket(&request).await?;
        if json {
            context.output.json(&created)?;
            return Ok(Exit::Success);
        }
        context.output.credential(&created.ticket, "the ticket")?;
        let view = &created.view;
        let expiry = view.expires_at.map_or("never expires".to_owned(), |at| format!("expires {at}"));
        let uses = view.uses.map_or("unlimited".to_owned(), |uses| uses.to_string());
        // With the id, which nothing in the ticket itself shows.
        context.output.note(format!(
            "acts for {}; {expiry}; boots: {uses}; to revoke it: dropsafe ticket revoke {}",
            view.member, view.id
        ));
        if let Some(warning) = warn_of_long_life(view) {
            context.output.note(warning);
        }
        Ok(Exit::Success)
    }
}

impl GrantArgs {
    /// The request for a ticket with these limits, or the grant of another identity.
    pub(crate) fn request(
        self,
        ttl: TicketLimit<Duration>,
        uses: TicketLimit<u64>,
    ) -> Result<CreateTicketRequest, CliError> {
        // The store checks these too. Here the error names the flag.
        for plugin in &self.plugin {
            PluginName::parse(plugin).map_err(invalid_name("--plugin"))?;
        }
        for source in &self.source {
            Cidr::parse(source)
                .map_err(|error| CliError::failed(error).context("--source").optional_hint(error.hint()))?;
        }
        Ok(CreateTicketRequest {
            member: self.member.map(Into::into),
            // A duration and not a date: the store's clock decides, and this machine's may be wrong.
            ttl_seconds: ttl.0.map(|ttl| ttl.as_secs()),
            uses: uses.0,
            lifetime_seconds: self.lifetime.map(|lifetime| lifetime.as_secs()),
            // An empty list would mean: no plugin at all.
            plugins: (!self.plugin.is_empty()).then(|| self.plugin.into_iter().map(Into::into).collect()),
            sources: self.source.into_iter().map(Into::into).collect(),
            label: self.label.map(Into::into),
        })
    }
}

/// Says what it means that a ticket has no limit of time or of uses.
fn warn_of_long_life(ticket: &TicketView) -> Option<&'static str> {
    match (ticket.expires_at, ticket.uses) {
        (None, None) => Some(
            "long-lived: until it is revoked, anyone with a copy of it can boot and read what it releases, any number of times",
        ),
        (None, Some(_)) => {
            Some("long-lived: a use that is left can be spent at any time until it is revoked")
        }
        (Some(_), None) => {
            Some("unlimited: until it expires, anyone with a copy of it can boot and read what it releases")
        }
        (Some(_), Some(_)) => None,
    }
}

fn row(ticket: TicketView) -> [String; 9] {
    let used = match (ticket.used, ticket.uses) {
        (used, Some(uses)) => format!("{} of {uses}", used.unwrap_or(0)),
        // The store counts only where there is a limit.
        _ => String::new(),
    };
    [
        ticket.id.to_string(),
        ticket.member.to_string(),
        ticket.label.unwrap_or_default(),
        if ticket.usable { "active" } else { "inactive" }.to_owned(),
        used,
        ticket.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
        ticket.lifetime_seconds.map(duration::display).unwrap_or_default(),
        ticket.plugins.map(|plugins| plugins.join(",")).unwrap_or_default(),
        ticket.sources.join(","),
    ]
}
