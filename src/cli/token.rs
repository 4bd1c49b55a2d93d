//! `dropsafe token`: the credentials that people and services log in with.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::CommandResult;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::{connect, duration};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{CreateTokenRequest, TokenView};

/// Create, list and revoke tokens
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    New(TokenCreateArgs),
    /// List the tokens
    List(JsonArgs),
    Revoke(TokenRevokeArgs),
}

/// Create a token and print it; it is shown only once
#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// Service that you manage and that logs in with it (default: you; for the operator: the operator)
    #[arg(long = "for", value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// For a monitoring system: it reads the metrics and does nothing else (operator)
    #[arg(long, conflicts_with = "member")]
    pub(crate) metrics: bool,
    /// Time until it expires, such as 24h or 7d (default: never expires)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,
    /// Label to display
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Revoke a token
#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// Id of the token (tok_…)
    #[arg(value_name = "TOKEN_ID")]
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The owner of a token without a member.
const OPERATOR: &str = "the operator";

fn owner(view: &TokenView) -> &str {
    match &view.member {
        Some(member) => member.as_str(),
        None if view.metrics => "metrics",
        None => OPERATOR,
    }
}

impl TokenCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::New(args) => args.run(context, &mut client).await,
            Self::List(JsonArgs { json }) => {
                let headings = ["ID", "MEMBER", "AUTHOR", "LABEL", "CREATED", "EXPIRES"];
                PagedList { json, limit: None, headings, row, empty: "no tokens" }
                    .print(context, &mut client, Client::tokens())
                    .await
            }
            Self::Revoke(TokenRevokeArgs { id, json }) => {
                client.revoke_token(&id).await?;
                let document = serde_json::json!({ "id": id, "revoked": true });
                context.output.json_or_line(json, &document, || format!("revoked {id}"))?;
                Ok(Exit::Success)
            }
        }
    }
}

impl TokenCreateArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        // A duration and not a date: the store's clock decides, and this machine's may be wrong.
        let ttl_seconds = self.ttl.map(|ttl| ttl.as_secs());
        let request = CreateTokenRequest {
            member: self.member.map(Into::into),
            ttl_seconds,
            label: self.label.map(Into::into),
            metrics: self.metrics,
        };
        let created = client.create_token(&request).await?;
        if self.json {
            context.output.json(&created)?;
            return Ok(Exit::Success);
        }
        context.output.credential(&created.token, "the token")?;
        let view = &created.view;
        let expiry = view.expires_at.map_or("never expires".to_owned(), |at| format!("expires {at}"));
        let member = owner(view);
        // With the id, which nothing in the token itself shows.
        context
            .output
            .note(format!("token of {member}; {expiry}; to revoke it: dropsafe token revoke {}", view.id));
        Ok(Exit::Success)
    }
}

fn row(token: TokenView) -> [String; 6] {
    let author = match (&token.author, &token.member) {
        (Some(author), _) => author.to_string(),
        (None, None) => OPERATOR.to_owned(),
        // A version from before authors were stored created it.
        (None, Some(_)) => "unknown".to_owned(),
    };
    [
        token.id.to_string(),
        owner(&token).to_owned(),
        author,
        token.label.unwrap_or_default(),
        token.created_at.to_string(),
        token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
    ]
}
