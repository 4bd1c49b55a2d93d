//! `dropsafe token`: what people and services log in with.

use std::time::Duration;

use clap::Args;
use clap::Subcommand;

use super::duration;

/// Make, list and revoke member tokens
#[derive(Debug, Subcommand)]
pub enum Token {
    New(New),
    List(List),
    Revoke(Revoke),
}

/// Make a token, and print it alone on standard output; it is shown this once
#[derive(Debug, Args)]
pub struct New {
    /// The member it is for; you unless said
    #[arg(long = "for", value_name = "MEMBER")]
    pub member: Option<String>,
    /// How long it is good for, such as 24h or 7d; without end unless said
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub ttl: Option<Duration>,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List the tokens
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Revoke a token
#[derive(Debug, Args)]
pub struct Revoke {
    /// The token's id (tok_…)
    #[arg(value_name = "TOKEN_ID")]
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
