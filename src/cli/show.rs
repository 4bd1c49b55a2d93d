//! `dropsafe show`: everything about one secret but its value.

use clap::Args;

use super::context::CliContext;
use super::error::CommandResult;
use super::list::format_scope;
use super::selector::{SelectorArgs, find};
use super::{attributes, connect, table};
use crate::domain::value::Kind;
use crate::process::Exit;
use crate::wire::SecretView;

/// Show a secret's attributes, and the value if it is plain
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ShowArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        // Finding it returns everything that is shown here, so no further call is needed.
        let secret = find(&mut client, &self.selector.name, &self.selector.scope).await?;
        if self.json {
            context.output.json(&secret)?;
        } else {
            table::print_fields(&mut context.output, &fields(secret))?;
        }
        Ok(Exit::Success)
    }
}

/// What people see of a secret.
pub(crate) fn fields(secret: SecretView) -> Vec<(&'static str, String)> {
    let scope = format_scope(&secret);
    let value = match secret.value {
        // A plain value need not be text; what is not is replaced, since this is for people.
        Some(value) => String::from_utf8_lossy(value.into_secret().expose()).into_owned(),
        None if secret.kind == Kind::Plain => "(not visible to you)".to_owned(),
        None => secret.hint.map_or_else(|| "(write-only)".to_owned(), |hint| format!("{hint} (write-only)")),
    };
    let first = [
        ("name", secret.name.to_string()),
        ("exported as", secret.env.to_string()),
        ("scope", scope),
        ("type", secret.kind.to_string()),
        ("delivery", secret.delivery.to_string()),
    ];
    let last = [
        ("value", value),
        ("version", secret.version.to_string()),
        ("author", table::cell(secret.author)),
        ("created", secret.created_at.to_string()),
        ("updated", secret.updated_at.to_string()),
        ("id", secret.id.to_string()),
    ];
    first.into_iter().chain(attributes::fields(&secret.attributes)).chain(last).collect()
}
