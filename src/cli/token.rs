//! `dropsafe token`: what people and services log in with.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::error::CommandResult;
use super::paged_list::PagedList;
use super::{CliContext, connect, duration, paged_list};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{CreateTokenRequest, TokenView};

/// Make, list and revoke member tokens
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    New(TokenCreateArgs),
    List(TokenListArgs),
    Revoke(TokenRevokeArgs),
}

/// Make a token, and print it alone on standard output; it is shown this once
#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// The member it is for; you unless said (the operator makes tokens for the operator)
    #[arg(long = "for", value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// How long it is good for, such as 24h or 7d; without end unless said
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the tokens
#[derive(Debug, Args)]
pub(crate) struct TokenListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Revoke a token
#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// The token's id (tok_…)
    #[arg(value_name = "TOKEN_ID")]
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whom a token without a member is for.
const OPERATOR: &str = "the operator";

impl TokenCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::New(new) => new.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
        }
    }
}

impl TokenCreateArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let ttl_seconds = self.ttl.map(|ttl| ttl.as_secs());
        let new = CreateTokenRequest { member: self.member, ttl_seconds, label: self.label };
        let made = connect::client(context)?.create_token(&new).await?;
        if self.json {
            context.output.json(&made)?;
        } else {
            context.output.only_copy(&made.token, "the token")?;
            let until = made
                .view
                .expires_at
                .as_deref()
                .map_or("until it is revoked".to_owned(), |at| format!("until {at}"));
            let member = made.view.member.as_deref().unwrap_or(OPERATOR);
            context.output.note(format!(
                "good for {member} {until}; to revoke it: dropsafe token revoke {}",
                made.view.id
            ));
        }
        Ok(Exit::Success)
    }
}

impl TokenListArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let pages = Client::tokens();
        let shown = PagedList {
            json: self.json,
            limit: None,
            headings: ["ID", "MEMBER", "LABEL", "MADE", "EXPIRES"],
            row,
            empty: "no tokens",
        };
        paged_list::print(context, &mut client, pages, shown).await
    }
}

fn row(token: TokenView) -> [String; 5] {
    [
        token.id,
        token.member.unwrap_or_else(|| OPERATOR.to_owned()),
        token.label.unwrap_or_default(),
        token.created_at,
        token.expires_at.unwrap_or_else(|| "never".to_owned()),
    ]
}

impl TokenRevokeArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        connect::client(context)?.revoke_token(&self.id).await?;
        if self.json {
            context.output.json(&serde_json::json!({ "id": self.id, "revoked": true }))?;
        } else {
            context.output.line(format!("revoked {}", self.id))?;
        }
        Ok(Exit::Success)
    }
}
