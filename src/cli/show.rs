//! `dropsafe show`: all about one secret but its value.

use clap::Args;

use super::error::CommandResult;
use super::list::scope;
use super::selector::{SelectorArgs, find};
use super::{CliContext, attributes, connect, table};
use crate::domain::value::Kind;
use crate::process::Exit;
use crate::wire::SecretView;

/// Show a secret's attributes; its value only when it is plain
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) which: SelectorArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ShowArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let secret = find(&mut client, &self.which.name, &self.which.scope).await?;
        if self.json {
            context.output.json(&secret)?;
        } else {
            table::fields(&mut context.output, &fields(secret))?;
        }
        Ok(Exit::Success)
    }
}

/// What is shown of a secret.
pub(crate) fn fields(secret: SecretView) -> Vec<(&'static str, String)> {
    let scope = scope(&secret);
    let value = match secret.value {
        Some(value) => String::from_utf8_lossy(value.into_secret().expose()).into_owned(),
        None if secret.kind == Kind::Plain => "(not shown to you)".to_owned(),
        None => secret.hint.map_or_else(|| "(write-only)".to_owned(), |hint| format!("{hint} (write-only)")),
    };
    let known = [
        ("name", secret.name),
        ("exported as", secret.env),
        ("scope", scope),
        ("type", secret.kind.to_string()),
        ("delivery", secret.delivery.to_string()),
    ];
    let rest = [
        ("value", value),
        ("version", secret.version),
        ("author", secret.author.unwrap_or_default()),
        ("created", secret.created_at),
        ("updated", secret.updated_at),
        ("id", secret.id),
    ];
    known.into_iter().chain(attributes::fields(secret.attributes)).chain(rest).collect()
}
