//! `dropsafe ticket`: what machines boot with.

use std::time::Duration;

use clap::Args;
use clap::Subcommand;

use super::duration;

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
